"""Maps, tools, strokes and sentences through the session of a real viewer."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.layers import Image

from napari_tmca.editing import TOOLS
from napari_tmca.layers import scan_to_layer_data
from napari_tmca.windowing import presets_of, set_window
from napari_tmca.worker import Cancelled
from tmca_core.study import Scan

TIMEOUT = 120


@pytest.fixture
def viewer(session):
    return session._viewer()


@pytest.fixture
def segmented(session, phantom_layer):
    """A session whose mask covers about a third of the picture."""
    found = session.segment().result(timeout=TIMEOUT)
    session.set_threshold(float(np.quantile(found.probability, 0.7)))
    return session


def test_words_have_maps_of_their_own_and_pinning_keeps_one(segmented, viewer, monkeypatch):
    from tmca_core.predictor import Predictor

    session, threads = segmented, []
    original = Predictor.word_attention_steps

    def recorded(self, *arguments):
        threads.append(threading.current_thread().name)
        return (yield from original(self, *arguments))

    monkeypatch.setattr(Predictor, "word_attention_steps", recorded)
    sentence = session.show_map(sentence=0).result(timeout=1).copy()
    first = session.show_map(sentence=0, word=0)
    left = session.show_map(sentence=0, word=3)
    assert not first.done()
    assert not np.array_equal(first.result(timeout=TIMEOUT), left.result(timeout=TIMEOUT))
    assert (session.maps.chosen.sentence, session.maps.chosen.word) == (0, 3)
    assert np.array_equal(session.heatmap_layer.data, left.result())
    assert not np.array_equal(sentence, left.result())
    assert session.show_map(sentence=0, word=1, level=2).done()  # known by now
    assert len(threads) == 1
    assert threads[0].startswith("tmca-inference")
    pinned, shown = session.maps.pin(), session.heatmap_layer
    assert pinned in viewer.layers
    assert pinned.name == "TMCA attention, sentence 1, word 2, level 2"
    kept = pinned.data.copy()
    session.show_map()
    assert session.heatmap_layer is shown
    assert np.array_equal(pinned.data, kept)
    with pytest.raises(ValueError, match="sentence"):
        session.show_map(sentence=1, word=0)
    with pytest.raises(ValueError, match="no attention map"):
        session.show_map(sentence=0, word=99)


def test_a_preview_leaves_the_choice_and_goes_away(segmented, qtbot):
    session = segmented
    chosen = session.heatmap_layer.data.copy()
    session.maps.preview(2)
    assert not np.array_equal(session.heatmap_layer.data, chosen)
    assert session.maps.chosen.sentence is None
    session.maps.preview(0, 1)
    qtbot.waitUntil(lambda: 0 in session.maps.words, timeout=60_000)
    session.maps.preview(1)  # denied: it has no map
    assert np.array_equal(session.heatmap_layer.data, chosen)


def test_another_segmentation_ends_the_wait_for_words_of_the_last(segmented):
    session = segmented
    session.set_report("Opacity at the right base.")
    update = session.update()
    waiting = session.show_map(sentence=0, word=0)
    update.result(timeout=TIMEOUT)
    with pytest.raises(Cancelled):
        waiting.result(timeout=1)
    assert session.show_map(sentence=0, word=0).result(timeout=TIMEOUT).shape == session.mask_layer.data.shape


def test_every_tool_is_one_step_of_undo_and_redo(segmented):
    session, layer = segmented, segmented.mask_layer
    layer.data_setitem((np.array([2, 2, 3, 60]), np.array([2, 3, 2, 70])), np.array([1, 2, 1, 1]))
    for tool in TOOLS:
        before = layer.data.copy()
        assert session.edit(tool) is not np.array_equal(before, layer.data)
        after = layer.data.copy()
        if not np.array_equal(before, after):
            session.undo()
            assert np.array_equal(layer.data, before), tool
            session.redo()
            assert np.array_equal(layer.data, after), tool
        assert layer.data[2, 3] == 2  # another class stays
    with pytest.raises(ValueError, match="expected a tool"):
        session.edit("paint everything")


def test_what_a_tool_made_survives_the_threshold(segmented):
    session, layer = segmented, segmented.mask_layer
    before = layer.data.copy()
    session.edit("grow")
    grown = (layer.data != before).copy()
    session.set_threshold(0.999)
    assert (layer.data[grown] == 1).all()


def test_strokes_refine_the_mask_in_one_step(segmented):
    session, layer = segmented, segmented.mask_layer
    before = layer.data.copy()
    outside = [tuple(map(int, p)) for p in np.argwhere(before == 0)[40:46]]
    assert session.refine(include=outside)
    assert all(layer.data[p] == 1 for p in outside)
    session.undo()
    assert np.array_equal(layer.data, before)
    inside = [tuple(map(int, np.argwhere(before == 1)[10]))]
    assert session.refine(exclude=inside)
    assert layer.data[inside[0]] == 0
    assert not session.refine(include=[(-5, 3)])


def test_the_parts_of_a_sentence_go_and_come_back(segmented):
    session, layer = segmented, segmented.mask_layer
    before = layer.data.copy()
    owners = [s for s, part in session.mask._own_parts(session.segmentation).items() if part.any()]
    assert session.mask.accept(owners[0], False)
    assert owners[0] in session.mask.rejected()
    assert (layer.data <= before).all()
    session.undo()
    assert np.array_equal(layer.data, before)
    assert session.mask.rejected() == frozenset()
    session.redo()
    assert session.mask.accept(owners[0], True)
    assert np.array_equal(layer.data, before)


def test_an_update_keeps_painted_pixels_in_the_same_layer(segmented):
    session, layer = segmented, segmented.mask_layer
    layer.data_setitem((np.array([4, 5]), np.array([6, 7])), 1 - layer.data[[4, 5], [6, 7]])
    painted, before = layer.data[[4, 5], [6, 7]].copy(), layer.data.copy()
    session.set_report("Consolidation at the right apex.")
    found = session.update().result(timeout=TIMEOUT)
    assert session.mask_layer is layer
    expected = found.mask.copy()
    expected[[4, 5], [6, 7]] = painted
    assert np.array_equal(layer.data, expected)
    session.undo()
    assert np.array_equal(layer.data, before)


def test_values_are_layers_that_come_and_go(segmented, viewer):
    session = segmented
    session.maps.show_values("probability")
    session.maps.show_values("uncertainty")
    uncertainty = viewer.layers["Uncertainty"].data
    assert 0 <= uncertainty.min() <= uncertainty.max() <= 1
    assert np.array_equal(viewer.layers["Probability"].data, session.segmentation.probability)
    session.maps.show_values("probability", False)
    viewer.layers.remove("Uncertainty")
    assert not session.maps.is_shown("probability")
    assert not session.maps.is_shown("uncertainty")
    assert "Probability" not in viewer.layers


def test_letters_scale_bar_and_window_of_a_radiograph(session, phantom_layer, viewer):
    overlays = viewer.canvas.overlays
    assert (overlays["tmca_left_edge"].text, overlays["tmca_right_edge"].text) == ("R", "L")
    assert overlays.scale_bar.visible
    viewer.dims.ndisplay = 3
    assert not overlays["tmca_left_edge"].visible
    viewer.dims.ndisplay = 2
    viewer.dims.order = (1, 0)
    assert session.canvas.letters() == ("A", "P")
    presets = presets_of(session.scan_layer)
    set_window(session.scan_layer, *presets["Full range"])
    assert tuple(phantom_layer.contrast_limits) == presets["Full range"]
    session.choose_layer(viewer.add_image(np.zeros((9, 9))))
    assert session.canvas.letters() == ("", "")
    assert not overlays.scale_bar.visible


def test_slices_are_copied_and_filled_between(session, viewer):
    pixels = np.random.default_rng(0).integers(0, 255, (7, 40, 32)).astype(np.uint8)
    data, attributes, _ = scan_to_layer_data(Scan(pixels, spacing_mm=(3.0, 1.0, 1.0), modality="CT"))
    session.choose_layer(viewer.add_layer(Image(data, **attributes)))
    assert {"Lung", "Bone"} <= set(presets_of(session.scan_layer))
    session.segment().result(timeout=TIMEOUT)
    layer = session.mask_layer
    drawn = np.zeros((7, 40, 32), np.uint8)
    drawn[1, 10:20, 10:20] = drawn[5, 14:24, 10:20] = 1
    layer.data_setitem(np.nonzero(layer.data != drawn), drawn[layer.data != drawn])
    viewer.dims.set_point(0, 9.0)
    assert session.corrector.interpolate_slices()
    assert layer.data[2:5].any(axis=(1, 2)).all()
    assert "Slices 3 to 5 were filled" in session.messages[0]
    session.undo()
    assert np.array_equal(layer.data, drawn)
    viewer.dims.set_point(0, 15.0)
    assert session.corrector.copy_to_next_slice()
    assert np.array_equal(layer.data[6], layer.data[5])
    assert viewer.dims.point[0] == 18.0
    assert not session.corrector.copy_to_next_slice()
    assert not session.corrector.interpolate_slices()
