"""Each finding of the doctor, in a good state and in the bad one it is there for."""

from __future__ import annotations

import json
import subprocess
from collections import namedtuple

import pytest

from tmca_core import doctor
from tmca_core.doctor import Check, State
from tmca_core.model import checkpoint

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def models_root(tmp_path, monkeypatch):
    """An empty folder of installed models, and no bundled one."""
    root = tmp_path / "models"
    root.mkdir()
    monkeypatch.setattr(checkpoint, "models_folder", lambda: root)
    monkeypatch.setattr(doctor, "models_folder", lambda: root)
    monkeypatch.setattr(checkpoint, "_bundled_folder", lambda: tmp_path / "bundled")
    return root


def install_model(root, name: str = checkpoint.DEFAULT_MODEL):
    """A folder with the files of a model whose manifest vouches for them."""
    folder = root / name
    folder.mkdir()
    names = (checkpoint.CONFIG, checkpoint.VOCABULARY, checkpoint.WEIGHTS)
    for file_name in names:
        (folder / file_name).write_bytes(file_name.encode())
    sha256 = {file_name: checkpoint.sha256_of(folder / file_name) for file_name in names}
    manifest = {"format": checkpoint.FORMAT, "name": name, "version": "1.0", "sha256": sha256}
    (folder / checkpoint.MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def answers(stdout: str = "", stderr: str = "", code: int = 0):
    """A stand-in for `subprocess.run` that has this to say."""
    return lambda command, **_: subprocess.CompletedProcess(command, code, stdout, stderr)


def never_answers(command, timeout, **_):
    raise subprocess.TimeoutExpired(command, timeout)


def test_program_and_packages_of_this_environment_are_found():
    assert "napari-tmca" in doctor.check_program().found
    found = list(doctor.check_packages())
    assert all(check.state is not State.FAIL for check in found)
    assert "torch 2" in found[0].found


def test_a_missing_package_fails_with_what_to_install(monkeypatch):
    monkeypatch.setattr(doctor, "NEEDED", ("numpy", "no-such-package"))
    failed = [check for check in doctor.check_packages() if check.state is State.FAIL]
    assert failed == [Check(State.FAIL, "not installed: no-such-package", doctor.INSTALL_ALL)]


def test_an_intact_model_is_ok(models_root):
    install_model(models_root)
    (check,) = doctor.check_models()
    assert check.state is State.OK
    assert "model tmca-compact 1.0: intact" in check.found


def test_one_flipped_byte_in_the_weights_fails(models_root):
    weights = install_model(models_root) / checkpoint.WEIGHTS
    content = bytearray(weights.read_bytes())
    content[3] ^= 1
    weights.write_bytes(content)
    (check,) = doctor.check_models()
    assert check.state is State.FAIL
    assert "model.safetensors: the file is damaged or was changed" in check.found


def test_a_missing_default_model_fails(models_root):
    install_model(models_root, "another")
    checks = list(doctor.check_models())
    assert [check.state for check in checks] == [State.OK, State.FAIL]
    assert checks[1].advice == f"Reinstall the program: {doctor.INSTALL_ALL}"


def test_a_damaged_manifest_is_named_and_not_passed_over(models_root):
    install_model(models_root)
    (install_model(models_root, "other") / checkpoint.MANIFEST).write_text("{", encoding="utf-8")
    states = {check.state: check.found for check in doctor.check_models()}
    assert "other" in states[State.WARN]


@pytest.mark.parametrize(("free", "state"), [(10**12, State.OK), (10**6, State.WARN)], ids=["plenty", "little"])
def test_free_disk(tmp_path, monkeypatch, free, state):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: Usage(free, 0, free))
    assert doctor.check_disk(tmp_path / "not" / "yet").state is state


def test_cache_folder_is_not_made_by_looking(tmp_path):
    folder = tmp_path / "cache"
    assert doctor.check_folder(folder).state is State.OK
    assert not folder.exists()


def test_a_cache_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    assert doctor.check_folder(tmp_path / "file" / "cache").state is State.WARN


def test_devices_come_from_torch(monkeypatch):
    monkeypatch.setattr(
        doctor.subprocess, "run", answers('noise\n{"cuda": ["H100"], "mps": true, "threads": 4, "bfloat16": true}\n')
    )
    found = Check(State.OK, "devices: cpu (4 threads), cuda (H100), mps; trains in bfloat16")
    assert doctor.check_devices() == found


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (answers(stderr="Traceback\nOSError: libtorch.so is missing\n", code=1), "OSError: libtorch.so is missing"),
        (answers(code=-6), "it ended with code -6"),
        (never_answers, "no answer within 180 seconds"),
    ],
    ids=["error", "abort", "hang"],
)
def test_a_torch_that_does_not_start_fails(monkeypatch, run, said):
    monkeypatch.setattr(doctor.subprocess, "run", run)
    check = doctor.check_devices()
    assert (check.state, check.found) == (State.FAIL, f"torch does not start: {said}")


def test_no_qt_binding_is_a_warning(monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    check = doctor.check_qt()
    assert check.state is State.WARN
    assert "the panel does not" in check.found


def test_without_a_display_opengl_is_not_tried(monkeypatch):
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(doctor.subprocess, "run", never_answers)
    assert "xvfb-run" in doctor.check_opengl().advice


@pytest.mark.parametrize(
    ("run", "state", "said"),
    [
        (answers('{"version": [4, 5], "renderer": "llvmpipe"}'), State.OK, "OpenGL 4.5 (llvmpipe)"),
        (answers('{"version": [3, 3], "renderer": ""}'), State.OK, "OpenGL 3.3"),
        (answers('{"version": [1, 4], "renderer": "GDI"}'), State.WARN, "OpenGL 1.4 (GDI)"),
        (answers(stderr="could not connect to display", code=-6), State.WARN, "could not connect to display"),
        (never_answers, State.WARN, "no answer within 60 seconds"),
    ],
    ids=["good", "no-name", "old", "no-display", "hang"],
)
def test_opengl(monkeypatch, run, state, said):
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(doctor.subprocess, "run", run)
    check = doctor.check_opengl()
    assert check.state is state
    assert said in check.found


def test_every_trouble_comes_with_advice(models_root, monkeypatch):
    monkeypatch.setattr(doctor.subprocess, "run", never_answers)
    checks = list(doctor.run_checks())
    assert State.FAIL in {check.state for check in checks}
    assert all(check.advice for check in checks if check.state is not State.OK)
