"""Pictures are decoded in a child process: a decoder that aborts, hangs or wants all memory costs a sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tmca_core.errors import ChoiceError, StudyReadError
from tmca_core.io import picture, read_scan
from tmca_core.io._files import Kind
from tmca_core.io.picture import CHILD, PictureProcess

GREY = np.arange(0, 240, 2, dtype=np.uint8).reshape(10, 12)
PLACE = "            pixels, is_rgb, notes = _decoder_of("


@pytest.fixture
def save(tmp_path):
    def save(name="scan.png", pixels=GREY, **options):
        Image.fromarray(pixels).save(tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.fixture
def make_decoder(tmp_path):
    """Start the real child program with a line of its own put in before it decodes."""
    made = []

    def make(line="pass", limit_s=15.0):
        program = tmp_path / "child.py"
        text = CHILD.read_text()
        assert PLACE in text
        program.write_text(text.replace(PLACE, f"            {line}\n{PLACE}", 1))
        made.append(PictureProcess(program, limit_s))
        return made[-1]

    yield make
    for decoder in made:
        decoder.close()


@pytest.mark.parametrize(("suffix", "kind"), [("png", Kind.PNG), ("jpg", Kind.JPEG), ("tif", Kind.TIFF)])
def test_a_picture_on_which_its_decoder_aborts_costs_a_sentence(make_decoder, save, suffix, kind):
    decoder = make_decoder("import os; os.abort()")
    with pytest.raises(StudyReadError, match=rf"scan.{suffix}: the decoder stopped on this file \({kind}, .* affected"):
        decoder.decode(save(f"scan.{suffix}"), kind)


def test_after_an_abort_the_next_picture_is_read(make_decoder, save):
    decoder = make_decoder("import os; os.abort() if path.name == 'bad.png' else None")
    with pytest.raises(StudyReadError, match="stopped"):
        decoder.decode(save("bad.png"), Kind.PNG)
    np.testing.assert_array_equal(decoder.decode(save(), Kind.PNG)[0], GREY)


def test_a_picture_decoder_that_hangs_is_stopped(make_decoder, save):
    decoder = make_decoder("import time; time.sleep(600)", limit_s=0.5)
    begin = time.monotonic()
    with pytest.raises(StudyReadError, match=r"no picture within 0.5 seconds and was stopped"):
        decoder.decode(save(), Kind.PNG)
    assert time.monotonic() - begin < 60


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="only Linux keeps to the limit")
def test_a_picture_decoder_that_wants_all_memory_is_refused_it_and_goes_on(make_decoder, save):
    decoder = make_decoder("bytearray(1 << 35) if path.name == 'bad.png' else None")
    with pytest.raises(StudyReadError, match=r"asked for more memory than such a picture needs"):
        decoder.decode(save("bad.png"), Kind.PNG)
    np.testing.assert_array_equal(decoder.decode(save(), Kind.PNG)[0], GREY)


def test_what_a_picture_decoder_prints_is_no_pixel(make_decoder, save):
    decoder = make_decoder("print('noise', flush=True)")
    np.testing.assert_array_equal(decoder.decode(save(), Kind.PNG)[0], GREY)


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
def test_a_picture_decoder_killed_between_two_files_is_replaced(make_decoder, save):
    decoder = make_decoder()
    path = save()
    decoder.decode(path, Kind.PNG)
    os.kill(decoder._child._process.pid, signal.SIGKILL)
    decoder._child._process.wait()
    np.testing.assert_array_equal(decoder.decode(path, Kind.PNG)[0], GREY)


def test_a_missing_program_of_the_picture_decoder_is_said(tmp_path, save):
    with pytest.raises(StudyReadError, match="the program that decodes pictures could not be started"):
        PictureProcess(tmp_path / "absent.py").decode(save(), Kind.PNG)


def test_one_decoder_serves_many_pictures_and_threads(save):
    paths = [save(f"{number}.png", GREY + np.uint8(number)) for number in range(8)]
    found = {}
    threads = [threading.Thread(target=lambda p=path: found.update({p: read_scan(p)})) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, path in enumerate(paths):
        np.testing.assert_array_equal(found[path].pixels, GREY + np.uint8(number))


def test_a_large_picture_passes_whole(save):
    large = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), dtype=np.uint8)  # more than is sent at once
    np.testing.assert_array_equal(read_scan(save("scan.bmp", large)).pixels, large)


def test_a_page_that_is_not_there_is_a_choice(save):
    pages = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    path = save()
    pages[0].save(path.with_name("pages.tif"), save_all=True, append_images=pages[1:])
    with pytest.raises(ChoiceError, match="from 1 to 2, got 5") as error:
        read_scan(path.with_name("pages.tif"), frame=5)
    assert error.value.options == ("volume 1", "volume 2")


def test_a_loader_that_asks_for_it_decodes_in_its_own_process(save, monkeypatch):
    monkeypatch.setattr(picture, "_shared", None)
    for name in ("scan.png", "scan.tif"):
        np.testing.assert_array_equal(read_scan(save(name), in_process=True).pixels, GREY)


def test_the_child_imports_no_reader_of_other_formats_and_is_soon_ready():
    code = (
        "import sys, tmca_core.io.raster, tmca_core.io.tiff; print('pydicom' in sys.modules, 'nibabel' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(CHILD).parents[2])
    assert told.stdout.split() == ["False", "False"]
