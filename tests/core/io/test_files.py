"""Whatever is chosen as a scan, the answer is an image or one clear sentence."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tmca_core.errors import StudyReadError
from tmca_core.io import SCAN_SUFFIXES, read_mask, read_scan, write_json, write_mask
from tmca_core.io import read as read_module
from tmca_core.study import Scan

posix_only = pytest.mark.skipif(os.name == "nt", reason="POSIX files")


def _file(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("read", [read_scan, read_mask])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.png", b"", r"empty.png: the file is empty \(0 bytes\)"),
        ("notes.png", b"Dear colleague, thank you for the referral.", "notes.png: not an image"),
        # Without the time of day, which would name the test otherwise in each process that collects it.
        ("model.nii.gz", gzip.compress(b"not a scan at all" * 100, mtime=0), "model.nii.gz: not an image"),
        ("report.dcm", b"%PDF-1.7 and more", "report.dcm: not an image"),
        ("zip.gz", gzip.compress(gzip.compress(b"nothing", mtime=0), mtime=0), "zip.gz: not an image"),
        ("short.dcm", bytes(20), "short.dcm: not an image"),
    ],
)
def test_what_is_no_image_is_said(tmp_path, read, name, content, message):
    with pytest.raises(StudyReadError, match=message):
        read(_file(tmp_path / name, content))


@pytest.mark.parametrize("read", [read_scan, read_mask])
def test_a_missing_file_is_said(tmp_path, read):
    with pytest.raises(StudyReadError, match=r"absent.png: no such file. Check the path."):
        read(str(tmp_path / "absent.png"))


def test_a_folder_as_a_mask_is_said(tmp_path):
    with pytest.raises(StudyReadError, match="expected a file, got a folder"):
        read_mask(tmp_path)


def test_a_folder_without_slices_is_said(tmp_path):
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(
        StudyReadError, match="expected a folder with DICOM slices, got 1 files and no slice among them"
    ):
        read_scan(tmp_path)


@posix_only
def test_a_broken_link_is_said(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "absent.png")
    with pytest.raises(StudyReadError, match="a broken link"):
        read_scan(tmp_path / "link.png")


@posix_only
def test_a_link_to_itself_is_said(tmp_path):
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    with pytest.raises(StudyReadError, match=r"(?i)loop.png: .*symbolic links"):
        read_scan(tmp_path / "loop.png")


@posix_only
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(StudyReadError, match="expected a file, got a device or pipe"):
        read_scan(tmp_path / "pipe.png")


def test_a_file_that_may_not_be_read_is_said(tmp_path, monkeypatch):
    path = _file(tmp_path / "scan.png", b"\x89PNG\r\n\x1a\n")

    def deny(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", deny)
    with pytest.raises(StudyReadError, match=r"scan.png: no permission to read it. Check the permissions"):
        read_scan(path)


@pytest.mark.parametrize("name", ["scan.jpg", "scan.dcm", "scan.nii.gz", "scan.tif"])
def test_content_counts_and_a_lying_suffix_is_told(tmp_path, name):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(pixels).save(tmp_path / name, format="PNG")
    scan = read_scan(tmp_path / name)
    np.testing.assert_array_equal(scan.pixels, pixels)
    assert any("The content is PNG, although the name ends in" in note for note in scan.notes)


def test_an_unknown_suffix_is_no_lie(tmp_path):
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(tmp_path / "IM.0001", format="PNG")
    assert read_scan(tmp_path / "IM.0001").notes == ()


def test_names_beyond_ascii_are_read(tmp_path):
    path = tmp_path / "Röntgen 胸部 🫁.PNG"
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(path)
    assert read_scan(path).source == path


def test_suffixes_are_listed_with_their_dot():
    assert {".png", ".jpg", ".tif", ".nii", ".nii.gz", ".dcm"} <= set(SCAN_SUFFIXES)


def test_a_file_that_is_written_to_while_it_is_read_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "scan.png"
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(path)
    inner = read_module.read_picture

    def written_to(*arguments, **options):
        scan = inner(*arguments, **options)
        with path.open("ab") as file:
            file.write(b"more")
        return scan

    monkeypatch.setattr(read_module, "read_picture", written_to)
    with pytest.raises(StudyReadError, match=r"scan.png: the file changed while it was read. Wait until it is copied"):
        read_scan(path)


ODD_NAMES = {
    "not UTF-8": b"\xff\xe9.png",
    "emoji": "\U0001f600.png".encode(),
    "device": b"con.png",
    "dot and blank at the end": b"scan.png. ",
    "255 bytes": b"m" * 251 + b".png",
}


@pytest.mark.skipif(os.name == "nt", reason="names that Windows has not")
@pytest.mark.skipif(sys.platform == "darwin", reason="its disks keep UTF-8 alone")
@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".nii.gz"])
def test_odd_names_are_read_and_written_or_the_limit_is_named(tmp_path, name, suffix):
    name = name.replace(b".png", suffix.encode())[-255:]
    path = tmp_path / os.fsdecode(name)
    plain = tmp_path / f"plain{suffix}"
    values = np.arange(48, dtype=np.uint8).reshape(6, 8)
    scan = Scan(np.stack([values] * 3) if suffix == ".nii.gz" else values)
    write_mask(plain, scan.pixels > 20, scan)
    plain.rename(path)
    found = read_scan(path)
    np.testing.assert_array_equal(found.pixels > 0, scan.pixels > 20)
    if path.name.endswith(suffix):
        write_mask(path, scan.pixels > 30, scan)
        np.testing.assert_array_equal(read_mask(path), scan.pixels > 30)
    write_json(tmp_path / "told.json", {"image": str(path)})
    assert json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))["image"] == str(path)
    path.write_bytes(b"no image")
    with pytest.raises(StudyReadError, match="not an image") as error:
        read_scan(path)
    str(error.value).encode()


@pytest.mark.skipif(os.name == "nt", reason="names that Windows has not")
@pytest.mark.skipif(sys.platform == "darwin", reason="its disks keep UTF-8 alone")
def test_a_name_that_is_no_text_passes_the_command_line(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.png"
    with open(path, "wb") as file:
        file.write(b"no image")
    arguments = [sys.executable, "-m", "tmca_core.cli", "predict", path, "--out", os.fsencode(tmp_path), "--no-report"]
    done = subprocess.run(arguments, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(rb"error: \xff.png: not an image: expected PNG")
