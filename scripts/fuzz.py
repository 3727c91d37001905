"""Read damaged files: each is a scan of finite numbers or one sentence, within limits of time and memory.

The mutant of a number depends on nothing but the number and the seed. The number reached is kept in ``OUT/state.json``,
from which the next run goes on; a file that fails stays in ``OUT`` under its number.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gzip
import io
import json
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gdcm
import nibabel
import numpy as np
import pydicom.data
from PIL import Image

from tmca_core.errors import TmcaError
from tmca_core.io import read_scan

DICOM = Path(pydicom.data.__file__).parent
NIFTI = Path(nibabel.__file__).parent / "tests" / "data"
SHIPPED = sorted(path for folder in (DICOM, NIFTI) for path in folder.rglob("*") if path.is_file())
IMAGES = {".dcm", "", ".nii", ".gz", ".hdr", ".img", ".mha"}
LARGEST = 60_000  # bytes of a file to be damaged: a reader's paths do not depend on its size
LIMIT_S = 60.0  # 15 of the decoder, and the rest for a busy machine
MEMORY = 3 << 30  # that reading may take besides what the program has at its start
CHECKED = {".gz", ".png"}  # formats whose checksums cover every voxel


@dataclass
class Tally:
    """What came of the mutants."""

    read: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)


def seeds() -> dict[str, bytes]:
    """Return the files to damage by name: those that pydicom and nibabel ship, and one of each other format."""
    files = {
        f"{number}_{path.name}": path.read_bytes()
        for number, path in enumerate(SHIPPED)
        if path.suffix in IMAGES and 0 < path.stat().st_size < LARGEST
    }
    return files | _made()


def _made() -> dict[str, bytes]:
    grey = (np.add.outer(np.arange(40), np.arange(48)) * 2).astype(np.uint8)
    colour = np.stack([grey, grey.T[:40, :40].repeat(2, 1)[:, :48], 255 - grey], axis=-1)
    files = {}
    for suffix in ("png", "jpg", "bmp", "webp", "tif"):
        for kind, picture in (("grey", grey), ("colour", colour)):
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, _pillow_name(suffix))
            files[f"{kind}.{suffix}"] = buffer.getvalue()
    buffer = io.BytesIO()
    pages = [Image.fromarray(grey), Image.fromarray(255 - grey)]
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:], compression="tiff_deflate")
    files["pages.tif"] = buffer.getvalue()
    volume = np.arange(4 * 6 * 8, dtype=np.int16).reshape(4, 6, 8)
    header = "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 8 6 4\nendian: little\n"
    header += "space directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (0,0,0)\nencoding: {}\n\n"
    files["plain.nrrd"] = header.format("raw").encode() + volume.tobytes()
    files["packed.nrrd"] = header.format("gzip").encode() + gzip.compress(volume.tobytes(), mtime=0)
    header = "ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = {}\nDimSize = 8 6 4\n"
    header += "ElementSpacing = 1 2 3\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    files["plain.mha"] = header.format(False).encode() + volume.tobytes()
    packed = zlib.compress(volume.tobytes())
    sized = header.replace("DimSize", f"CompressedDataSize = {len(packed)}\nDimSize")
    files["packed.mha"] = sized.format(True).encode() + packed
    return files | {"lossless.dcm": _jpeg_lossless()}


def _jpeg_lossless() -> bytes:
    """Return a small MR image in JPEG lossless, for which nobody ships a file."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(DICOM / "test_files" / "MR_small.dcm"))
    reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    change.Change()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lossless.dcm")
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.Write()
        return path.read_bytes()


def _pillow_name(suffix: str) -> str:
    return {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper())


def mutant(content: bytes, rng: np.random.Generator) -> bytes:
    """Return the bytes damaged in one of five ways."""
    changed = bytearray(content)
    place, kind = int(rng.integers(len(content))), int(rng.integers(5))
    if kind == 0:
        changed[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        for other in rng.integers(0, len(content), 8):
            changed[other] = int(rng.integers(256))
    elif kind == 2:
        del changed[place:]
    elif kind == 3:
        changed[place : place + 64] = bytes(len(changed[place : place + 64]))
    else:
        changed[place:place] = rng.bytes(int(rng.integers(1, 32)))
    return bytes(changed)


def read(path: Path) -> Any:
    """Return the pixels, or None for a file that is refused.

    Raises
    ------
    AssertionError
        If it took too long, the message is not one line with the file's name, or a value is not finite.

    """
    begin = time.monotonic()
    scan, message = None, ""
    try:
        scan = read_scan(path)
    except TmcaError as error:
        message = error.message
    assert time.monotonic() - begin < LIMIT_S, "took too long"
    if scan is None:
        assert path.name in message or path.with_suffix(".img").name in message, f"no name in: {message}"
        assert "\n" not in message, f"several lines: {message}"
        return None
    assert scan.pixels.size, "no pixels"
    assert np.isfinite(scan.pixels).all(), "values that are not finite"
    return scan.pixels


class Fuzzer:
    """Reads mutants by number.

    Parameters
    ----------
    folder : Path
        Where mutants are written, one at a time.
    seed : int
        Of all mutants.

    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self._folder, self._seed = folder, seed
        self._files = seeds()
        self._names = list(self._files)
        self._originals: dict[str, Any] = {}
        self.tally = Tally()

    def try_one(self, number: int) -> None:
        """Read a mutant and count what came of it; one that fails stays in the folder."""
        rng = np.random.default_rng([self._seed, number])
        name = self._names[int(rng.integers(len(self._names)))]
        path = self._folder / f"{number}_{name}"
        path.write_bytes(mutant(self._files[name], rng))
        try:
            pixels = read(path)
            if pixels is not None and path.suffix in CHECKED:
                assert np.array_equal(pixels, self._original(name)), "other voxels, despite a checksum"
        except Exception as error:  # noqa: BLE001 - whatever is no TmcaError is what is looked for
            self.tally.failures.append(f"{path.name}: {type(error).__name__}: {error}")
            return
        path.unlink()
        if pixels is None:
            self.tally.refused += 1
        else:
            self.tally.read += 1

    def _original(self, name: str) -> Any:
        if name not in self._originals:
            path = self._folder / name
            path.write_bytes(self._files[name])
            self._originals[name] = read(path)
            path.unlink()
        return self._originals[name]


def main() -> int:
    """Go on from the number that was reached; return 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=20_000, help="stop at this number")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="or after so many of the processor")
    parser.add_argument("--out", type=Path, default=Path("fuzz_out"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    state_file, unfinished = arguments.out / "state.json", arguments.out / "state.json.part"
    state = {"next": 0, "read": 0, "refused": 0, "failures": []}
    with contextlib.suppress(FileNotFoundError):
        state = json.loads(state_file.read_text(encoding="utf-8"))
    fuzzer = Fuzzer(arguments.out)
    fuzzer.tally = Tally(state["read"], state["refused"], state["failures"])
    limit_memory()
    begin, number = time.process_time(), int(state["next"])
    while number < arguments.mutants and time.process_time() - begin < arguments.seconds:
        faulthandler.dump_traceback_later(2 * LIMIT_S, exit=True)
        fuzzer.try_one(number)
        number += 1
        unfinished.write_text(json.dumps({"next": number, **vars(fuzzer.tally)}), encoding="utf-8")
        unfinished.replace(state_file)  # whole, whenever the run is stopped
    faulthandler.cancel_dump_traceback_later()
    tally = fuzzer.tally
    lines = [f"{number} mutants: {tally.read} read, {tally.refused} refused in words, {len(tally.failures)} failed"]
    sys.stdout.write("\n".join(lines + tally.failures) + "\n")
    return bool(tally.failures)


def limit_memory() -> None:
    """Let this process grow by so much from here, where the system keeps to it (Linux)."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    raise SystemExit(main())
