from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True, scope="session")
def _quick_viewers():
    """Let the second viewer open and close quicker than the first: half of its time goes into what never changes."""
    import napari.qt  # noqa: F401
    import npe2
    import pydicom  # noqa: F401
    import scipy.ndimage  # noqa: F401
    import torch  # noqa: F401

    known = {}
    discover = npe2.PluginManifest.discover

    def discover_once(*arguments, **named):
        key = repr((arguments, named))
        if key not in known:
            known[key] = list(discover(*arguments, **named))
        return iter(known[key])

    # Garbage is collected for every viewer, and the modules, which hold most objects, are looked through each time.
    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(npe2.PluginManifest, "discover", discover_once)
        yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Folder of a real network of 0.1 million random weights."""
    import torch

    from tmca_core.model.build import build_tmca_tiny
    from tmca_core.model.checkpoint import save_model

    torch.manual_seed(0)
    model, architecture = build_tmca_tiny()
    for enhancement in model.decoder.enhancements:
        torch.nn.init.normal_(enhancement.gamma)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(model, architecture, folder, name="tiny", version="1")
    return folder


@pytest.fixture
def session(make_napari_viewer, tiny_model):
    """A session of a real viewer, with the tiny network."""
    from napari_tmca.session import session_of

    viewer = make_napari_viewer()
    session = session_of(viewer)
    session.model, session.device = str(tiny_model), "cpu"
    yield session
    session.cancel()
    session.close()


@pytest.fixture
def phantom():
    from tmca_core.phantom import make_phantom

    return make_phantom(3, shape=(96, 80))


@pytest.fixture
def phantom_layer(session, phantom):
    from napari.layers import Image

    from napari_tmca.layers import scan_to_layer_data

    data, attributes, _ = scan_to_layer_data(phantom.scan)
    layer = session._viewer().add_layer(Image(data, **attributes))
    session.choose_layer(layer)
    session.set_report("Consolidation in the left lower zone. No pleural effusion. Hazy opacity at the right apex.")
    return layer


@pytest.fixture
def move_mouse(qapp):
    """A function that moves the mouse within a widget, on every platform and with any button held."""
    from qtpy.QtCore import QEvent, QPointF, Qt
    from qtpy.QtGui import QMouseEvent

    def move(widget, position, button=Qt.MouseButton.NoButton):
        local, on_screen = QPointF(position), QPointF(widget.mapToGlobal(position))
        none, no_key = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
        qapp.sendEvent(widget, QMouseEvent(QEvent.Type.MouseMove, local, on_screen, none, button, no_key))

    return move


@pytest.fixture(autouse=True)
def _own_preferences(tmp_path, monkeypatch):
    """Preferences of the plugin that no other test has changed, kept in a folder of this test's own."""
    import napari.settings

    monkeypatch.setattr(napari.settings, "_CFG_PATH", str(tmp_path / "settings.yaml"))
    monkeypatch.setattr(napari.settings, "_PLUGIN_SETTINGS", {})
