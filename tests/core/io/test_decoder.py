"""Compressed frames are decoded in a child process: one that aborts, hangs or is killed costs a sentence."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from tmca_core.errors import StudyReadError
from tmca_core.io import _decoder
from tmca_core.io._decoder import CHILD, DecoderProcess

PLUGIN = "pylibjpeg"


@pytest.fixture
def image():
    return pydicom.dcmread(get_testdata_file("MR_small_jp2klossless.dcm"))


@pytest.fixture
def make_decoder(tmp_path):
    """Start the real child program with a line of its own put in before it decodes."""
    made = []

    def make(line="", limit_s=15.0):
        program = tmp_path / "child.py"
        text = CHILD.read_text()
        assert "    options = request[" in text
        program.write_text(text.replace("    options = request[", f"    {line}\n    options = request[", 1))
        made.append(DecoderProcess(program, limit_s))
        return made[-1]

    yield make
    for decoder in made:
        decoder.close()


def test_a_decoder_that_aborts_costs_a_sentence(make_decoder, image):
    decoder = make_decoder("os.abort()")
    with pytest.raises(StudyReadError, match=r"scan.dcm: the decoder pylibjpeg stopped on this file \(JPEG 2000"):
        decoder.decode("scan.dcm", image, PLUGIN)


def test_a_decoder_that_hangs_is_stopped(make_decoder, image):
    decoder = make_decoder("import time; time.sleep(600)", limit_s=0.5)
    begin = time.monotonic()
    with pytest.raises(StudyReadError, match=r"no frame within 0.5 seconds and was stopped"):
        decoder.decode("scan.dcm", image, PLUGIN)
    assert time.monotonic() - begin < 60


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="only Linux keeps to the limit")
def test_a_decoder_that_wants_all_memory_is_refused_it_and_goes_on(make_decoder, image):
    decoder = make_decoder("bytearray(1 << 35) if request['options']['rows'] == 64 else None")
    with pytest.raises(StudyReadError, match=r"asked for more memory than such an image needs"):
        decoder.decode("scan.dcm", image, PLUGIN)
    other = pydicom.dcmread(get_testdata_file("examples_jpeg2k.dcm"))
    assert decoder.decode("scan.dcm", other, PLUGIN)[0].shape == (1, 480, 640, 3)


def test_what_a_decoder_prints_is_no_pixel(make_decoder, image):
    frames, photometric = make_decoder("print('noise', flush=True)").decode("scan.dcm", image, PLUGIN)
    np.testing.assert_array_equal(frames[0], pydicom.dcmread(get_testdata_file("MR_small.dcm")).pixel_array)
    assert photometric == "MONOCHROME2"


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
def test_a_child_killed_between_two_files_is_replaced(make_decoder, image):
    decoder = make_decoder()
    first, _ = decoder.decode("scan.dcm", image, PLUGIN)
    os.kill(decoder._child._process.pid, signal.SIGKILL)
    decoder._child._process.wait()
    np.testing.assert_array_equal(decoder.decode("scan.dcm", image, PLUGIN)[0], first)


def test_a_missing_program_is_said(tmp_path, image):
    with pytest.raises(StudyReadError, match="the program that decodes it could not be started"):
        DecoderProcess(tmp_path / "absent.py").decode("scan.dcm", image, PLUGIN)


def test_the_child_gets_no_name(image):
    image.PatientName = "Canary^Name"
    request, _ = _decoder._request(image, PLUGIN, 1)
    assert "Canary" not in str(request)
