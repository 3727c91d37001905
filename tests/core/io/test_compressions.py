"""Every compression of DICOM gives the values put in; without its decoder, the sentence names what to install."""

from __future__ import annotations

import base64
import struct

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    MPEG2MPML,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
)

from tmca_core.errors import StudyReadError
from tmca_core.io import _dicom_pixels as pixels_module
from tmca_core.io import read_scan

# np.arange(100, 148, dtype=np.uint16).reshape(6, 8), made by OpenJPH 0.26.3; no encoder of it is installed here.
HTJ2K_STREAM = base64.b64decode(
    "/0//UQApQAAAAAAIAAAABgAAAAAAAAAAAAAACAAAAAYAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQkJCQ"
    "kJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAEgAAf+TwAAlDwUHdAAAAMAAEsAAEoD4AEd0AMIAh3QAwAASQAARgPwScwAA"
    "4wDAACSAAE74s+MA7u7ASb61AP/Z"
)


def _lossless_jpeg(image, predictor, bits):
    """Encode (Y, X) or (Y, X, 3) as JPEG process 14; categories 0..16 have codes of 5 bits, each its own number."""
    samples = image.reshape(*image.shape[:2], -1).astype(np.int64)
    rows, columns, count = samples.shape
    left, above, corner = (np.zeros_like(samples) for _ in range(3))
    left[:, 1:], above[1:], corner[1:, 1:] = samples[:, :-1], samples[:-1], samples[:-1, :-1]
    rules = (left, above, corner, left + above - corner, left + (above - corner >> 1), above + (left - corner >> 1))
    predicted = (*rules, left + above >> 1)[predictor - 1]
    predicted[0], predicted[:, 0] = left[0], above[:, 0]
    predicted[0, 0] = 1 << (bits - 1)
    stream = []
    for difference in ((samples - predicted + 0x8000) % 0x10000 - 0x8000).ravel().tolist():
        size = abs(difference).bit_length()
        stream.append(f"{size:05b}")
        if 0 < size < 16:
            stream.append(f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}")
    text = "".join(stream)
    text += "1" * (-len(text) % 8)
    scan = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8)).replace(b"\xff", b"\xff\x00")
    parts = b"".join(bytes([i + 1, 0x11, 0]) for i in range(count))
    frame = struct.pack(">BHHB", bits, rows, columns, count) + parts
    table = bytes([0, *[17 * (n == 5) for n in range(1, 17)], *range(17)])
    header = bytes([count, *(b for i in range(count) for b in (i + 1, 0)), predictor, 0, 0])
    segments = ((0xC3, frame), (0xC4, table), (0xDA, header))
    body = b"".join(bytes([0xFF, code]) + struct.pack(">H", len(data) + 2) + data for code, data in segments)
    return b"\xff\xd8" + body + scan + b"\xff\xd9"


@pytest.fixture
def save_coded(make_dicom, tmp_path):
    def save(image, frames, syntax, **elements):
        dataset = make_dicom(image, **elements)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate(frames)
        dataset["PixelData"].VR = "OB"
        dataset.save_as(tmp_path / "scan.dcm", enforce_file_format=True)
        return tmp_path / "scan.dcm"

    return save


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg_is_decoded(save_coded, rng, predictor, bits):
    image = rng.integers(0, 1 << bits, (17, 23)).astype(np.uint8 if bits == 8 else np.uint16)
    image[:4, :4] = 0  # and the longest steps
    image[1, 1], image[2, 2] = (1 << bits) - 1, 1 << (bits - 1)
    coded = _lossless_jpeg(image, predictor, bits)
    path = save_coded(image, [coded], JPEGLossless, BitsStored=bits, HighBit=bits - 1)
    np.testing.assert_array_equal(read_scan(path).pixels, image)


def test_signed_lossless_jpeg_of_several_frames_is_decoded(save_coded, rng):
    frames = rng.integers(-2000, 2000, (3, 9, 11)).astype(np.int16)
    path = save_coded(frames, [_lossless_jpeg(frame.view(np.uint16), 1, 16) for frame in frames], JPEGLosslessSV1)
    np.testing.assert_array_equal(read_scan(path).pixels, frames)


def test_lossless_jpeg_in_colour_is_decoded(save_coded, rng):
    image = rng.integers(0, 256, (12, 10, 3)).astype(np.uint8)
    path = save_coded(image, [_lossless_jpeg(image, 1, 8)], JPEGLosslessSV1)
    np.testing.assert_array_equal(read_scan(path).pixels, image)


@pytest.mark.parametrize("left", [0.3, 0.9])
def test_a_cut_off_lossless_jpeg_is_refused(save_coded, rng, left):
    image = rng.integers(0, 4096, (40, 30)).astype(np.uint16)
    coded = _lossless_jpeg(image, 1, 16)
    path = save_coded(image, [coded[: int(left * len(coded))]], JPEGLosslessSV1)
    with pytest.raises(StudyReadError, match=r"its compressed pixels \(JPEG Lossless.* are damaged"):
        read_scan(path)


@pytest.mark.parametrize("syntax", [HTJ2K, HTJ2KLossless])
def test_high_throughput_jpeg_2000_is_decoded(save_coded, syntax):
    image = np.arange(100, 148, dtype=np.uint16).reshape(6, 8)
    np.testing.assert_array_equal(read_scan(save_coded(image, [HTJ2K_STREAM], syntax)).pixels, image)


@pytest.mark.parametrize(("bits", "decoder"), [(8, "pillow"), (12, "gdcm")])
def test_extended_jpeg_goes_to_the_decoder_of_its_bits(make_dicom, bits, decoder):
    dataset = make_dicom(np.zeros((4, 4), np.uint16), BitsStored=bits)
    dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    assert pixels_module._plugin("scan.dcm", dataset) == decoder


@pytest.mark.parametrize(
    ("syntax", "package"),
    [
        (JPEGLossless, "pip install python-gdcm. Or convert"),
        (JPEGExtended12Bit, "pip install python-gdcm. Or convert"),
        (JPEGLSLossless, "pip install pyjpegls. Or convert"),
        (JPEG2000Lossless, "pip install pylibjpeg-openjpeg. Or convert"),
        (HTJ2K, "pip install pylibjpeg-openjpeg. Or convert"),
        (MPEG2MPML, "^Convert"),
    ],
)
def test_a_missing_decoder_is_named_with_how_to_install_it(save_coded, monkeypatch, syntax, package):
    monkeypatch.setattr(pixels_module, "_PLUGINS", ())
    path = save_coded(np.zeros((4, 4), np.uint16), [b"\xff\xd8 nothing"], syntax, BitsStored=12)
    with pytest.raises(StudyReadError, match="no decoder for its compression") as caught:
        read_scan(path)
    assert package.removeprefix("^") in caught.value.hint
    assert caught.value.hint.startswith("Convert" if package.startswith("^") else "Install")
