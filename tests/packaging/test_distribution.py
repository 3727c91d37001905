from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    "napari_tmca",
    "tmca_core",
    "napari.yaml",
    "pyproject.toml",
    "hatch_build.py",
    "README.md",
    "LICENSE",
    "LICENSE-WEIGHTS",
)
WEIGHTS = "tmca_core/weights/tmca-compact"
WEIGHTS_FILES = ("config.json", "manifest.json", "metadata.json", "model.safetensors", "vocab.txt")
DISCOVER = (
    "from npe2 import PluginManager; pm = PluginManager(); pm.discover(include_npe1=False); "
    "m = pm.get_manifest('napari-tmca'); print(m.display_name, len(m.contributions.widgets)); "
    "import napari_tmca; print(napari_tmca.__file__)"
)


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=240, **options).stdout


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """A clean copy of the sources: what a clone holds, no build product, a few bytes for the weights, for speed."""
    folder = tmp_path_factory.mktemp("source") / "napari-tmca"
    folder.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "model.safetensors")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignore)
        else:
            shutil.copyfile(ROOT / name, folder / name)
    (folder / WEIGHTS / "model.safetensors").write_bytes(b"stand-in")
    (folder / "napari_tmca" / "napari.yaml").unlink(missing_ok=True)
    return folder


@pytest.fixture(scope="session")
def built(source, tmp_path_factory):
    """A folder with a wheel, an sdist, and in ``again`` the wheel built from the sdist."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--wheel", "--outdir", str(out), str(source))
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(next(out.glob("*.tar.gz"))) as archive:
        archive.extractall(unpacked, filter="data")
    (sdist,) = unpacked.iterdir()
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(out / "again"), str(sdist))
    return out


def test_the_wheel_holds_manifest_types_and_licences(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        assert wheel.read("napari_tmca/napari.yaml") == (ROOT / "napari.yaml").read_bytes()
    assert {"napari_tmca/py.typed", "tmca_core/py.typed", "tmca_core/report/rules.toml"} <= names
    assert {name.rsplit("/", 1)[-1] for name in names} >= {"LICENSE", "LICENSE-WEIGHTS", "entry_points.txt"}
    assert not [name for name in names if name.startswith("tests/") or name.endswith(".pyc")]


def test_weights_and_word_lists_are_packed(built):
    expected = {f"{WEIGHTS}/{name}" for name in WEIGHTS_FILES}
    expected |= {f"tmca_core/report/{name}.toml" for name in ("identity", "rules", "writers")}
    for wheel in (next(built.glob("*.whl")), next((built / "again").glob("*.whl"))):
        with zipfile.ZipFile(wheel) as archive:
            assert expected <= set(archive.namelist())
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        assert expected <= {name.split("/", 1)[-1] for name in archive.getnames()}


def test_the_base_install_names_no_qt_binding(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        metadata = wheel.read(next(n for n in wheel.namelist() if n.endswith("METADATA"))).decode()
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    base = [line.lower() for line in required if "extra ==" not in line]
    assert not [line for line in base if re.search(r"pyside|pyqt\d|napari\[", line)]
    assert any("pyside6" in line.lower() and "extra == 'all'" in line for line in required)


@pytest.mark.parametrize("kind", ["wheel", "wheel from sdist", "editable"])
def test_an_install_registers_the_plugin(kind, source, built, tmp_path):
    run(sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", str(tmp_path / "venv"))
    python = next(path for path in (tmp_path / "venv").glob("*/python*") if path.stem == "python")
    site = run(str(python), "-c", "import site; print(site.getsitepackages()[0])").strip()
    # The tests may run in a virtual environment themselves; its libraries are what the new one sees behind its own.
    ours = run(sys.executable, "-c", "import site; print(site.getsitepackages()[0])").strip()
    wheel = {"wheel": built, "wheel from sdist": built / "again"}
    target = source if kind == "editable" else next(wheel[kind].glob("*.whl"))
    flags = ["--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check", "--target", site]
    editable = ["--editable"] if kind == "editable" else []
    run(sys.executable, "-m", "pip", "install", *flags, *editable, str(target))
    (Path(site) / "zz_behind.pth").write_text(ours + "\n")
    display_name, where = run(str(python), "-c", DISCOVER, cwd=tmp_path).strip().splitlines()
    assert display_name.startswith("TMCA")
    assert Path(where).is_relative_to(source if kind == "editable" else site)
