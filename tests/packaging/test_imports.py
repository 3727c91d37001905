from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_tmca

ROOT = Path(__file__).parents[2]
MODULES = sorted(module.name for module in pkgutil.walk_packages(napari_tmca.__path__, "napari_tmca."))


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=120)
    return set(result.stdout.split())


def test_importing_every_module_of_the_plugin_leaves_torch_out():
    loaded = loaded_after("import " + ", ".join(MODULES))
    assert set(MODULES) <= loaded
    assert not {"torch", "transformers"} & loaded


def test_the_panel_opens_before_anything_heavy_is_imported():
    loaded = loaded_after(
        "import napari_tmca.widgets, napari_tmca.session\n"
        "from tmca_core.model.store import model_in_use\n"
        "model_in_use(), napari_tmca.session.parse_report('')"
    )
    heavy = {"torch", "transformers", "pydicom", "nibabel", "scipy.ndimage", "scipy.stats"}
    assert not heavy & loaded


def test_the_default_model_answers_without_transformers():
    loaded = loaded_after(
        "from tmca_core.predictor import Predictor\n"
        "from tmca_core.phantom import make_phantom\n"
        "from tmca_core.report import parse_report\n"
        "predictor = Predictor.load(device='cpu')\n"
        "predictor.set_scan(make_phantom(0).scan)\n"
        "assert predictor.predict(parse_report('Opacity in the left lower zone.')).mask.any()"
    )
    assert "torch" in loaded
    assert "transformers" not in loaded


def test_reading_a_scan_needs_no_torch_and_no_gui():
    loaded = loaded_after(
        "import tmca_core.io.read, tmca_core.io.write, tmca_core.report, tmca_core.metrics\n"
        "import tmca_core.phantom, tmca_core.samples"
    )
    assert not {"torch", "transformers", "napari", "qtpy", "magicgui"} & loaded


@pytest.mark.parametrize("module", ["tmca_core.cli", "tmca_core.samples", "tmca_core.model.checkpoint"])
def test_importing_opens_no_connection(module):
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit('connected at import')\n"
        f"socket.socket.connect = refuse\nimport {module}"
    )
    assert module in loaded_after(code)


def test_the_manifest_is_valid_and_every_command_can_be_imported():
    manifest = PluginManifest.from_file(ROOT / "napari.yaml")
    manifest.validate_imports()


def test_the_manifest_in_the_package_is_the_one_at_the_top():
    assert (ROOT / "napari_tmca" / "napari.yaml").read_bytes() == (ROOT / "napari.yaml").read_bytes()
