"""Every test: no network beyond this machine, and no trace in the user's folders."""

from __future__ import annotations

import socket

import pytest

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


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
