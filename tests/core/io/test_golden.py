"""What every file of pydicom's and nibabel's wheels, and some made here, was read as: a change of any value is noticed.

`golden.json` holds, per file, its own sha256 and either that of its voxels or, where a lossy codec may round otherwise
on another machine, their mean and deviation. ``TMCA_WRITE_GOLDEN=1`` writes it anew; look at the difference before you
commit it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.uid import JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit

from tmca_core.errors import TmcaError
from tmca_core.io import read_scan
from tmca_core.io.read import read_mask

GOLDEN = Path(__file__).with_name("golden.json")
WHEELS = {
    "pydicom": Path(pydicom.__file__).parent / "data" / "test_files",
    "nibabel": Path(nib.__file__).parent / "tests" / "data",
}
LOSSY = {JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000}


def _made(folder):
    """Write a fixed picture or volume in every format that is written without DICOM, and return the paths."""
    rng = np.random.default_rng(20)
    image = rng.integers(0, 4000, (9, 14)).astype(np.uint16)
    volume = rng.integers(-1000, 2000, (7, 6, 5)).astype(np.int16)
    oblique = np.array([[-0.67, 0.2, 0.1, 30], [0.2, 0.88, -0.3, -20], [0.06, 0.3, 2.9, 10], [0, 0, 0, 1.0]])
    Image.fromarray(image).save(folder / "grey16.png")
    Image.fromarray(rng.integers(0, 256, (9, 14, 3)).astype(np.uint8)).save(folder / "colour.bmp")
    Image.fromarray(rng.integers(0, 256, (9, 14, 3)).astype(np.uint8)).save(folder / "colour.webp", lossless=True)
    tifffile.imwrite(folder / "grey16.tif", image, photometric="minisblack", compression="zlib")
    nib.save(nib.Nifti1Image(volume, oblique), folder / "oblique.nii.gz")
    scaled = nib.Nifti2Image(volume, np.diag([2.0, -1.0, 3.0, 1.0]))
    scaled.header.set_slope_inter(0.5, -7)
    nib.save(scaled, folder / "scaled.nii")
    size = " ".join(map(str, volume.shape))
    head = f"NRRD0004\ntype: short\ndimension: 3\nsizes: {size}\nendian: little\nencoding: raw\nspace: LPS\n"
    head += "space directions: (0.7,0,0) (0,0.9,0) (0,0,3)\nspace origin: (1,2,3)\n\n"
    (folder / "volume.nrrd").write_bytes(head.encode() + volume.tobytes(order="F"))
    head = f"ObjectType = Image\nNDims = 3\nDimSize = {size}\nElementType = MET_SHORT\nElementSpacing = 1 2 3\n"
    head += "TransformMatrix = 1 0 0 0 -1 0 0 0 -1\nOffset = 4 5 6\nElementDataFile = LOCAL\n"
    (folder / "volume.mha").write_bytes(head.encode() + volume.tobytes(order="F"))
    return {f"made/{path.name}": path for path in sorted(folder.iterdir())}


def _shipped():
    paths = {}
    for wheel, folder in WHEELS.items():
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            if path.suffix in (".dcm", ".nii", ".gz", ".hdr", ".mha") or (path.suffix == "" and wheel == "pydicom"):
                paths[f"{wheel}/{path.relative_to(folder).as_posix()}"] = path
    return paths


def _is_lossy(path):
    try:
        return pydicom.dcmread(path, stop_before_pixels=True).file_meta.get("TransferSyntaxUID") in LOSSY
    except Exception:  # noqa: BLE001  (whatever it is, it has no such syntax)
        return False


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def _of(path):
    """Return what a file is read as, or that it is refused."""
    entry = {"file": _sha256(path.read_bytes())}
    try:
        scan = read_scan(path)
    except TmcaError:
        return entry | {"refused": True}
    pixels = np.ascontiguousarray(scan.pixels)
    entry |= {"shape": list(pixels.shape), "dtype": pixels.dtype.str.lstrip("<=|>")}
    if _is_lossy(path):
        entry |= {"mean": round(float(pixels.mean()), 2), "deviation": round(float(pixels.std()), 2)}
    else:
        entry["voxels"] = _sha256(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())
    if scan.affine_ras is not None:
        entry["affine_ras"] = np.round(scan.affine_ras, 4).tolist()
    if scan.spacing_mm is not None:
        entry["spacing_mm"] = np.round(scan.spacing_mm, 4).tolist()
    return entry


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_value_is_what_it_was(tmp_path):
    paths = _shipped() | _made(tmp_path)
    if os.environ.get("TMCA_WRITE_GOLDEN"):
        text = ",\n".join(f"{json.dumps(name)}: {json.dumps(_of(path))}" for name, path in paths.items())
        GOLDEN.write_text("{\n" + text + "\n}\n")
    golden = json.loads(GOLDEN.read_text())
    seen = 0
    for name, expected in golden.items():
        if name not in paths or _sha256(paths[name].read_bytes()) != expected["file"]:
            assert name in paths or not name.startswith("made/"), name
            continue  # another release of the wheel ships another file
        found = _of(paths[name])
        seen += 1
        for key in ("mean", "deviation"):
            assert found.pop(key, 0.0) == pytest.approx(expected.pop(key, 0.0), rel=0.01, abs=0.5), name
        for key in ("affine_ras", "spacing_mm"):
            np.testing.assert_allclose(found.pop(key, 0.0), expected.pop(key, 0.0), atol=2e-4, err_msg=name)
        assert found == expected, name
    assert seen > 150


def test_a_mask_of_every_bit_depth_is_what_it_was(tmp_path):
    mask = np.random.default_rng(3).integers(0, 2, (11, 13)).astype(np.uint8)
    for name, values in (
        ("mask1.png", mask.astype(bool)),
        ("mask8.png", mask * 255),
        ("mask16.png", mask * np.uint16(300)),
    ):
        Image.fromarray(values).save(tmp_path / name)
        np.testing.assert_array_equal(read_mask(tmp_path / name), mask.astype(bool), err_msg=name)
