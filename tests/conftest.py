"""Every test: no network beyond this machine, no trace in the user's folders, and a screen of its own process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess

import pytest

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
SCREEN = ("-screen", "0", "1920x1080x24", "+extension", "GLX", "-nolisten", "tcp")

_screens: list[subprocess.Popen[bytes]] = []


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Start a screen for a process of pytest-xdist: windows that share one take each other's focus and keys."""
    if shutil.which("Xvfb") is None:
        return
    read, write = os.pipe()
    # It tries numbers until one is free, and complains of each that is not.
    command = ["Xvfb", "-displayfd", str(write), *SCREEN]
    _screens.append(subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL))
    os.close(write)
    with os.fdopen(read) as told:
        number = told.readline().strip()  # comes when the screen can be used; empty where it could not start
    if not number:
        raise RuntimeError(f"Xvfb did not start. Run it by hand to see why: Xvfb :99 {' '.join(SCREEN)}")
    node.workerinput["display"] = f":{number}"


def pytest_configure(config):
    display = getattr(config, "workerinput", {}).get("display")
    if display is not None:
        os.environ["DISPLAY"] = display


def pytest_unconfigure():
    """End the screens, by when the processes that used them have ended."""
    while _screens:
        screen = _screens.pop()
        screen.terminate()
        screen.wait(timeout=10)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in LOOPBACK:
            raise OSError(f"network is blocked in tests: {address[0]}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory):
    # One for all tests: napari keeps the paths of its icons from the first viewer on.
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA", "APPDATA"):
            patch.setenv(name, str(home))
        yield


@pytest.fixture
def write_images(tmp_path):
    """A function that writes phantoms as PNG, each with its report beside it, and returns their folder."""

    def write(phantoms, *, num_reports=None):
        import numpy as np
        from PIL import Image

        folder = tmp_path / "images"
        folder.mkdir()
        for number, made in enumerate(phantoms):
            Image.fromarray(np.asarray(made.scan.pixels)).save(folder / f"chest{number}.png")
            if num_reports is None or number < num_reports:
                (folder / f"chest{number}.txt").write_text(made.report_text, encoding="utf-8")
        return folder

    return write
