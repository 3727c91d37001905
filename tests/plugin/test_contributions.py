from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels
from PIL import Image as Picture

from napari_tmca.layers import SCAN_KEY
from napari_tmca.settings import read_settings
from tmca_core.errors import SampleDataError
from tmca_core.io import read_mask
from tmca_core.phantom import make_phantom
from tmca_core.samples import fetch_sample


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "chest.png"
    Picture.fromarray(np.asarray(make_phantom(1, shape=(40, 50)).scan.pixels)).save(path)
    return path


def test_a_picture_opens_as_a_scan(make_napari_viewer, picture):
    viewer = make_napari_viewer()
    (layer,) = viewer.open(picture, plugin="napari-tmca")
    assert isinstance(layer, Image)
    assert layer.data.shape == (40, 50)
    assert layer.metadata[SCAN_KEY].source == picture
    assert {str(unit) for unit in layer.units} == {"pixel"}


def test_the_phantom_is_sample_data_with_its_report(make_napari_viewer):
    viewer = make_napari_viewer()
    (layer,) = viewer.open_sample("napari-tmca", "phantom")
    assert layer.metadata["report"]
    assert {str(unit) for unit in layer.units} == {"millimeter"}


def test_a_sample_that_cannot_be_fetched_adds_nothing_and_says_why(make_napari_viewer, monkeypatch):
    monkeypatch.setitem(fetch_sample.__kwdefaults__, "base_url", "http://127.0.0.1:9/")
    viewer = make_napari_viewer()
    with pytest.raises(SampleDataError, match="could not be downloaded"):
        viewer.open_sample("napari-tmca", "infiltrates")
    assert len(viewer.layers) == 0


def test_labels_are_saved_on_the_scan_s_grid(make_napari_viewer, picture, tmp_path):
    viewer = make_napari_viewer()
    (layer,) = viewer.open(picture, plugin="napari-tmca")
    labels = viewer.add_labels(np.eye(40, 50, dtype=np.uint8), metadata={SCAN_KEY: layer.metadata[SCAN_KEY]})
    assert isinstance(labels, Labels)
    labels.save(str(tmp_path / "mask.png"), plugin="napari-tmca")
    assert np.array_equal(read_mask(tmp_path / "mask.png"), np.eye(40, 50, dtype=bool))


def test_a_damaged_file_is_told_in_one_sentence(make_napari_viewer, tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    viewer = make_napari_viewer()
    with pytest.raises(Exception, match=r"broken\.png"):
        viewer.open(path, plugin="napari-tmca")
    assert len(viewer.layers) == 0


def test_the_preferences_have_device_model_and_folder():
    settings = read_settings()
    assert (settings.device, settings.model, settings.save_folder) == ("auto", "tmca-compact", None)
