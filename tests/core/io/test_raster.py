"""Pictures keep their values, come upright, and every decision about them is told."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tmca_core.errors import ConfigError, StudyReadError
from tmca_core.io import read_scan
from tmca_core.io.spacing import parse_spacing

GREY = np.arange(0, 240, 2, dtype=np.uint8).reshape(10, 12)
RGB = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)


def _saved(tmp_path, image, name="scan.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_grey_is_read_as_it_is(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    scan = read_scan(_saved(tmp_path, Image.fromarray(GREY), f"scan.{suffix}", **options))
    np.testing.assert_array_equal(scan.pixels, GREY)
    assert (scan.is_rgb, scan.shape, scan.spacing_mm, scan.affine_ras, scan.native) == (
        False,
        (10, 12),
        None,
        None,
        None,
    )


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_colour_is_read_as_it_is(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    scan = read_scan(_saved(tmp_path, Image.fromarray(RGB), f"scan.{suffix}", **options))
    np.testing.assert_array_equal(scan.pixels, RGB)
    assert scan.is_rgb
    assert scan.shape == (10, 12)


def test_jpeg_is_read_within_its_loss(tmp_path):
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    scan = read_scan(_saved(tmp_path, Image.fromarray(smooth), "scan.jpeg", quality=95))
    np.testing.assert_allclose(scan.pixels.astype(int), smooth, atol=3)


def test_16_bits_are_kept(tmp_path):
    deep = GREY.astype(np.uint16) * 257 + 3
    scan = read_scan(_saved(tmp_path, Image.fromarray(deep)))
    np.testing.assert_array_equal(scan.pixels, deep)
    assert scan.pixels.dtype == np.uint16
    assert scan.notes == ()


def test_1_bit_becomes_0_and_255(tmp_path):
    scan = read_scan(_saved(tmp_path, Image.fromarray(GREY > 100).convert("1")))
    np.testing.assert_array_equal(scan.pixels, np.where(GREY > 100, 255, 0))
    assert scan.notes == ("A 1-bit picture: read as 0 and 255.",)


def test_alpha_is_dropped_and_told(tmp_path):
    scan = read_scan(_saved(tmp_path, Image.fromarray(np.dstack([RGB, GREY]))))
    np.testing.assert_array_equal(scan.pixels, RGB)
    assert scan.notes == ("The alpha channel is dropped.",)


def test_grey_with_alpha_is_grey(tmp_path):
    scan = read_scan(_saved(tmp_path, Image.fromarray(np.dstack([GREY, GREY])).convert("LA")))
    np.testing.assert_array_equal(scan.pixels, GREY)
    assert scan.notes == ("The alpha channel is dropped.",)


def test_a_picture_drawn_in_alpha_alone_is_refused(tmp_path):
    hidden = np.dstack([np.zeros_like(RGB), GREY])
    with pytest.raises(StudyReadError, match="got one drawn in the alpha channel alone"):
        read_scan(_saved(tmp_path, Image.fromarray(hidden)))


def test_equal_channels_are_grey_and_told(tmp_path):
    scan = read_scan(_saved(tmp_path, Image.fromarray(np.dstack([GREY] * 3))))
    np.testing.assert_array_equal(scan.pixels, GREY)
    assert not scan.is_rgb
    assert scan.notes == ("The three colour channels are equal: read as grey.",)


def test_palette_becomes_rgb(tmp_path):
    palette = Image.fromarray(GREY // 100).convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    scan = read_scan(_saved(tmp_path, palette))
    np.testing.assert_array_equal(scan.pixels[-1, -1], [0, 0, 255])
    assert scan.notes == ("Palette colours are read as RGB.",)


def test_cmyk_becomes_rgb(tmp_path):
    scan = read_scan(_saved(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "scan.jpg"))
    assert scan.pixels[4, 4].tolist() == pytest.approx([254, 0, 0], abs=6)
    assert "CMYK colours are converted to RGB." in scan.notes


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_tag_gives_the_same_upright_picture(tmp_path, orientation, suffix):
    upright = np.zeros((32, 48), dtype=np.uint8)
    upright[:16, :8] = 250
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that make the stored picture
    stored = Image.fromarray(upright)
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    scan = read_scan(_saved(tmp_path, stored, f"scan.{suffix}", exif=exif))
    np.testing.assert_allclose(scan.pixels.astype(int), upright, atol=8)
    assert bool(scan.notes) == (orientation > 1)


def test_of_an_animation_the_first_picture_is_read(tmp_path):
    first, second = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    scan = read_scan(_saved(tmp_path, first, save_all=True, append_images=[second]))
    np.testing.assert_array_equal(scan.pixels, RGB)
    assert scan.notes == ("The file holds 2 pictures: the first one is read.",)


def test_paper_resolution_is_no_spacing(tmp_path):
    assert read_scan(_saved(tmp_path, Image.fromarray(GREY), dpi=(300, 300))).spacing_mm is None


def test_a_constant_image_is_read_and_told(tmp_path):
    scan = read_scan(_saved(tmp_path, Image.fromarray(np.full_like(GREY, 7))))
    assert scan.notes == ("The image is constant: every value is 7.",)


def test_one_pixel_is_an_image(tmp_path):
    assert read_scan(_saved(tmp_path, Image.fromarray(GREY[:1, :1]))).shape == (1, 1)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_a_cut_off_picture_is_refused(tmp_path, rng, suffix, share):
    noise = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path = _saved(tmp_path, noise, f"scan.{suffix}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(StudyReadError, match=r"the file is damaged \(.*\). Copy or export it again."):
        read_scan(path)


def test_no_flipped_bit_of_a_png_goes_unseen(tmp_path, rng):
    pixels = rng.integers(0, 65536, (24, 24), dtype=np.uint16)
    path = _saved(tmp_path, Image.fromarray(pixels))
    content = path.read_bytes()
    for bit in rng.integers(0, 8 * len(content), 200):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(flipped)
        try:
            read = read_scan(path).pixels
        except StudyReadError:
            continue
        np.testing.assert_array_equal(read, pixels)


def _png_of_size(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (14_000, 13_000)], ids=["2500M", "182M"])
def test_a_decompression_bomb_is_refused_with_its_size(tmp_path, width, height):
    (tmp_path / "bomb.png").write_bytes(_png_of_size(width, height))
    with pytest.raises(StudyReadError, match=rf"bomb.png: .*({width * height}|{width} x {height})"):
        read_scan(tmp_path / "bomb.png")


def test_a_picture_without_pixels_is_refused(tmp_path):
    (tmp_path / "zero.png").write_bytes(_png_of_size(0, 4))
    with pytest.raises(StudyReadError, match=r"zero.png: the file is damaged"):
        read_scan(tmp_path / "zero.png")


def test_16_bit_colour_is_told_to_lose_depth(tmp_path):
    deep = np.zeros((4, 4, 3), dtype=">u2")
    deep[..., 1] = np.arange(16).reshape(4, 4) * 4000
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    content = _png_of_size(4, 4)
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    path = tmp_path / "deep.png"
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    path.write_bytes(content[:8] + body)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.pixels, deep >> 8)
    assert "16 bits per channel are read as 8." in scan.notes


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_pixels_are_contiguous_and_can_be_shared_with_torch(tmp_path, suffix):
    flags = read_scan(_saved(tmp_path, Image.fromarray(GREY), f"scan.{suffix}")).pixels.flags
    assert (flags.c_contiguous, flags.writeable) == (True, True)


def test_a_spacing_can_be_given_by_hand_and_is_told(tmp_path):
    path = _saved(tmp_path, Image.fromarray(GREY))
    scan = read_scan(path, spacing=(0.14, 0.15))
    assert (scan.spacing_mm, scan.notes) == (
        (0.14, 0.15),
        ("Spacing given by hand, 0.14 x 0.15 mm: the file states none.",),
    )
    with pytest.raises(StudyReadError, match=r"expected a spacing of 2 lengths, \(y, x\), got 3"):
        read_scan(path, spacing=(1, 1, 1))
    with pytest.raises(ValueError, match="two or three positive lengths"):
        read_scan(path, spacing=(0, 1))


@pytest.mark.parametrize(
    ("text", "lengths"), [("5,0.7,0.7", (5, 0.7, 0.7)), ("5 0.7 0.7", (5, 0.7, 0.7)), ("1 x 2", (1, 2))]
)
def test_a_spacing_is_read_from_text(text, lengths):
    assert parse_spacing(text) == lengths


@pytest.mark.parametrize("text", ["", "1", "a,b", "1,-1", "nan 1", "1 2 3 4"])
def test_a_text_that_is_no_spacing_is_refused(text):
    with pytest.raises(ConfigError, match="expected two or three lengths in mm"):
        parse_spacing(text)
