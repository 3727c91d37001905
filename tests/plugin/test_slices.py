"""Of a volume, some slices can be chosen in the panel; the others stay empty."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_tmca.layers import scan_to_layer_data
from napari_tmca.widgets.panel import TmcaWidget
from tmca_core.study import Scan

TIMEOUT = 120


@pytest.fixture
def panel(session, qtbot):
    panel = TmcaWidget(session._viewer())
    qtbot.addWidget(panel)
    panel.show()
    return panel


def _add(session, shape):
    pixels = np.random.default_rng(0).integers(0, 200, shape).astype(np.uint8)
    data, attributes, _ = scan_to_layer_data(Scan(pixels, spacing_mm=(3.0, 1.0, 1.0)[3 - len(shape) :]))
    layer = session._viewer().add_layer(Image(data, **attributes))
    session.choose_layer(layer)
    return layer


def test_chosen_slices_are_segmented_and_the_others_left_empty(session, panel):
    _add(session, (8, 32, 32))
    session.set_report("Opacity in the left lower zone.")
    assert panel.slices.isVisible()
    assert (panel.slices.first.value(), panel.slices.last.value()) == (1, 8)
    panel.slices.first.setValue(3)
    panel.slices.last.setValue(5)
    assert session.image.slices == range(2, 5)
    segmentation = session.segment().result(timeout=TIMEOUT)
    has_any = segmentation.probability.max(axis=(1, 2)) > 1e-9
    assert has_any.tolist() == [False, False, True, True, True, False, False, False]
    assert "Slices 3 to 5 of 8 were segmented; the others are left empty." in session.messages


def test_the_ends_follow_each_other_and_all_is_no_choice(session, panel):
    _add(session, (8, 32, 32))
    panel.slices.last.setValue(4)
    panel.slices.first.setValue(6)
    assert (session.image.slices, panel.slices.last.value()) == (range(5, 6), 6)
    panel.slices.first.setValue(1)
    panel.slices.last.setValue(8)
    assert session.image.slices is None


def test_a_picture_has_no_choice_and_another_image_all_slices(session, panel):
    _add(session, (8, 32, 32))
    panel.slices.last.setValue(4)
    _add(session, (32, 32))
    assert not panel.slices.isVisible()
    assert session.image.slices is None
