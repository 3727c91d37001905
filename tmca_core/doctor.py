"""What `tmca doctor` looks at: is everything there that the command line and the panel need, and what to do if not.

Whatever may crash or hang (graphics drivers, a broken torch) is asked in a child process with a time limit.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from tmca_core.errors import CheckpointError
from tmca_core.model.checkpoint import DEFAULT_MODEL, MANIFEST, find_model, list_models, models_folder, verify
from tmca_core.terminal import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEEDED = ("torch", "transformers", "safetensors", "numpy", "scikit-image", "pillow", "pydicom", "nibabel")
INSTALL_ALL = 'pip install "napari-tmca[all]"'
MIN_FREE_BYTES = 500_000_000
MIN_OPENGL = (2, 1)
_TORCH_LIMIT_S, _OPENGL_LIMIT_S = 180, 60
_QT_BINDINGS = ("PySide6", "PyQt6", "PyQt5", "PySide2")

_TORCH_PROBE = """
import json, torch
from tmca_core.device import choose_device, trains_in_bfloat16
cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
found = {"cuda": cuda, "mps": torch.backends.mps.is_available(), "threads": torch.get_num_threads()}
print(json.dumps({**found, "bfloat16": trains_in_bfloat16("auto", choose_device())}))
"""

_OPENGL_PROBE = """
import json, sys
from qtpy.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
application = QGuiApplication(sys.argv[:1])
surface, context = QOffscreenSurface(), QOpenGLContext()
surface.create()
if not (context.create() and context.makeCurrent(surface)):
    sys.exit("Qt cannot make an OpenGL context")
functions = context.functions() if hasattr(context, "functions") else None
renderer = functions.glGetString(0x1F01) if functions else ""
found = context.format()
print(json.dumps({"version": [found.majorVersion(), found.minorVersion()], "renderer": str(renderer)}))
"""


class State(StrEnum):
    """How a check ended. ``WARN``: something optional is missing. ``FAIL``: the program cannot do its job."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes
    ----------
    state : State
        How it ended.
    found : str
        What was looked at and found.
    advice : str
        What to do; "" if nothing.

    """

    state: State
    found: str
    advice: str = ""


def run_checks() -> Iterator[Check]:
    """Yield all findings, quick ones first."""
    yield check_program()
    yield from check_packages()
    yield from check_models()
    yield check_disk(user_cache_path("napari-tmca"))
    yield check_folder(user_cache_path("napari-tmca"))
    yield check_devices()
    yield check_qt()
    yield check_opengl()


def check_program() -> Check:
    """Say which program runs on which Python and system."""
    system = f"{platform.system()} {platform.release()} ({platform.machine()})"
    return Check(
        State.OK, f"napari-tmca {installed_version('napari-tmca')}, Python {platform.python_version()}, {system}"
    )


def check_packages() -> Iterator[Check]:
    """Look for the packages that every command needs, and for napari."""
    versions = {name: _version(name) for name in NEEDED}
    there = ", ".join(f"{name} {found}" for name, found in versions.items() if found)
    missing = [name for name, found in versions.items() if not found]
    if there:
        yield Check(State.OK, there)
    if missing:
        yield Check(State.FAIL, f"not installed: {', '.join(missing)}", INSTALL_ALL)
    napari = _version("napari")
    if napari:
        yield Check(State.OK, f"napari {napari}")
    else:
        yield Check(State.WARN, "napari is not installed; the command line works without it", INSTALL_ALL)


def check_models() -> Iterator[Check]:
    """Compare every file of every installed model with the sha256 in its manifest."""
    models = list_models()
    for info in models:
        try:
            verify(info)
        except CheckpointError as error:
            yield Check(State.FAIL, error.message, error.hint)
        else:
            yield Check(State.OK, f"model {info.name} {info.version}: intact (sha256 {info.weights_sha256[:12]})")
    readable = {info.folder for info in models}
    for manifest in sorted(models_folder().glob(f"*/{MANIFEST}")):
        if manifest.parent not in readable:
            yield Check(State.WARN, f"{manifest}: cannot be read, this model is not offered", "Copy its folder anew.")
    if not any(info.name == DEFAULT_MODEL for info in models):
        yield _missing_default_model()


def _missing_default_model() -> Check:
    try:
        folder = find_model(DEFAULT_MODEL)
    except CheckpointError as error:
        return Check(State.FAIL, error.message, f"Reinstall the program: {INSTALL_ALL}")
    return Check(State.FAIL, f"{folder}: the manifest of {DEFAULT_MODEL} cannot be read", "Reinstall the program.")


def check_disk(folder: Path) -> Check:
    """Look at the free space where ``folder`` is or will be."""
    free = shutil.disk_usage(_nearest_existing(folder)).free
    found = f"{format_bytes(free)} free on the disk of {folder}"
    if free < MIN_FREE_BYTES:
        return Check(State.WARN, found, "Free some space: results of large volumes may not fit.")
    return Check(State.OK, found)


def check_folder(folder: Path) -> Check:
    """Look whether the cache folder can be written to; it is not made."""
    nearest = _nearest_existing(folder)
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return Check(State.OK, f"cache folder {folder}")
    return Check(State.WARN, f"cache folder {folder} cannot be written to", "Sample downloads need it: ask for access.")


def check_devices() -> Check:
    """Ask torch for its devices."""
    answer, trouble = _ask(_TORCH_PROBE, _TORCH_LIMIT_S)
    if answer is None:
        return Check(State.FAIL, f"torch does not start: {trouble}", f"Reinstall it: {INSTALL_ALL}")
    devices = [f"cpu ({answer['threads']} threads)", *(f"cuda ({name})" for name in answer["cuda"])]
    precision = "bfloat16" if answer["bfloat16"] else "float32"
    return Check(State.OK, f"devices: {', '.join(devices + ['mps'] * bool(answer['mps']))}; trains in {precision}")


def check_qt() -> Check:
    """Look for a Qt binding, the one that Qt programs here would use first."""
    found = [name for name in _QT_BINDINGS if importlib.util.find_spec(name)]
    if found:
        return Check(State.OK, "Qt binding: " + ", ".join(f"{name} {_version(name)}" for name in found))
    return Check(State.WARN, "no Qt binding; the command line works without it, the panel does not", INSTALL_ALL)


def check_opengl() -> Check:
    """Ask for an OpenGL context as napari needs it."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return Check(State.WARN, "no display: OpenGL was not tried", "Without a screen, start napari with xvfb-run -a.")
    answer, trouble = _ask(_OPENGL_PROBE, _OPENGL_LIMIT_S)
    advice = (
        "The panel needs OpenGL 2.1: update the graphics driver (on Debian and Ubuntu: apt install libgl1 libegl1)."
    )
    if answer is None:
        return Check(State.WARN, f"OpenGL does not work here: {trouble}", advice)
    found = f"OpenGL {'.'.join(map(str, answer['version']))} {printable_renderer(answer)}".rstrip()
    return Check(State.OK, found) if tuple(answer["version"]) >= MIN_OPENGL else Check(State.WARN, found, advice)


def printable_renderer(answer: dict[str, Any]) -> str:
    """Return the renderer's name in brackets, or nothing where the Qt binding does not tell it."""
    return f"({answer['renderer']})" if answer["renderer"] else ""


def _ask(probe: str, limit_s: float) -> tuple[dict[str, Any] | None, str]:
    """Run a probe in a child process; return its JSON answer, or ``None`` and what went wrong."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {limit_s:.0f} seconds"
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer, ""
    said = [line for line in done.stderr.strip().splitlines() if line.strip()]
    return None, said[-1].strip() if said else f"it ended with code {done.returncode}"


def _version(package: str) -> str:
    try:
        return installed_version(package)
    except PackageNotFoundError:
        return ""


def _nearest_existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
