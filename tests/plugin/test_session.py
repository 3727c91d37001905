from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_tmca.layers import HEATMAP_NAME, MASK_NAME, heat_for, layer_to_scan, scan_to_layer_data
from napari_tmca.session import session_of
from napari_tmca.worker import Cancelled
from tmca_core.errors import CheckpointError, StudyReadError, StudyWriteError
from tmca_core.io import read_mask, read_scan
from tmca_core.study import Scan

TIMEOUT = 120


@pytest.fixture
def viewer(session):
    return session._viewer()


def test_a_viewer_has_one_session(session, viewer):
    assert session_of(viewer) is session


def test_segment_adds_an_editable_mask_and_a_heatmap_on_the_scan_s_grid(session, viewer, phantom_layer):
    found = session.segment().result(timeout=TIMEOUT)
    mask, heat = session.mask_layer, session.heatmap_layer
    assert isinstance(mask, Labels)
    assert isinstance(heat, Image)
    assert (mask.name, heat.name) == (MASK_NAME, HEATMAP_NAME)
    assert np.array_equal(mask.data, found.mask)
    assert mask.editable
    for layer in (mask, heat):
        assert np.allclose(layer.scale, phantom_layer.scale)
        assert layer.units == phantom_layer.units
        assert np.allclose(layer.extent.world, phantom_layer.extent.world)
    assert tuple(heat.contrast_limits) == (0.0, 1.0)
    assert heat.colormap.colors[0][-1] == 0.0
    assert [layer.name for layer in viewer.layers][-1] == MASK_NAME
    assert session.state == "idle"


def test_the_network_runs_off_the_gui_thread_only(session, phantom_layer, monkeypatch):
    from tmca_core.predictor import Predictor

    threads = set()
    original = Predictor.predict_steps

    def recorded(self, *arguments):
        threads.add(threading.current_thread().name)
        return (yield from original(self, *arguments))

    monkeypatch.setattr(Predictor, "predict_steps", recorded)
    session.segment().result(timeout=TIMEOUT)
    assert len(threads) == 1
    assert threads.pop().startswith("tmca-inference")


def test_pressing_twice_is_one_job(session, viewer, phantom_layer):
    first = session.segment()
    assert session.segment() is first
    first.result(timeout=TIMEOUT)
    assert len([layer for layer in viewer.layers if isinstance(layer, Labels)]) == 1


def test_a_second_run_writes_into_the_same_mask_as_one_step_of_undo(session, viewer, phantom_layer):
    first = session.segment().result(timeout=TIMEOUT)
    layer = session.mask_layer
    session.set_report("Consolidation at the right apex.")
    assert session.is_outdated
    second = session.segment().result(timeout=TIMEOUT)
    assert not session.is_outdated
    assert session.mask_layer is layer
    assert np.array_equal(layer.data, second.mask)
    assert not np.array_equal(first.mask, second.mask)
    layer.undo()
    assert np.array_equal(layer.data, first.mask)
    layer.redo()
    assert np.array_equal(layer.data, second.mask)


def test_a_re_run_never_overwrites_what_was_painted(session, phantom_layer):
    session.segment().result(timeout=TIMEOUT)
    painted = session.mask_layer
    painted.data_setitem((np.array([1, 2]), np.array([1, 2])), 1 - int(painted.data[1, 1]))
    kept = painted.data.copy()
    session.set_report("Another report about the right lung.")
    session.segment().result(timeout=TIMEOUT)
    assert np.array_equal(painted.data, kept)
    assert session.mask_layer is not painted
    assert session.mask_layer.name == f"{MASK_NAME} [2]"
    assert any("Your edits" in message and "were kept" in message for message in session.messages)


def test_the_threshold_acts_at_once_and_only_where_nobody_painted(session, phantom_layer):
    found = session.segment().result(timeout=TIMEOUT)
    layer = session.mask_layer
    layer.data_setitem((np.array([5]), np.array([5])), 1 - int(layer.data[5, 5]))
    painted = int(layer.data[5, 5])
    threshold = float(np.median(found.probability))
    session.set_threshold(threshold)
    expected = (found.probability >= threshold).astype(layer.data.dtype)
    expected[5, 5] = painted
    assert np.array_equal(layer.data, expected)
    before = layer.data.copy()
    session.set_threshold(0.99)
    layer.undo()
    assert np.array_equal(layer.data, before)
    session.set_threshold(0.6)
    assert layer.data[5, 5] == painted
    with pytest.raises(ValueError, match=r"expected 0..1"):
        session.set_threshold(2.0)


def test_the_mask_of_the_image_alone_is_one_step_away_and_keeps_what_was_painted(session, phantom_layer):
    segmentation = session.segment().result(timeout=60)
    layer = session.mask_layer
    with_report = np.array(layer.data)
    assert (segmentation.mask != segmentation.image_only_mask).any()
    layer.data_setitem((np.array([0]), np.array([0])), 2)
    session.answer.show_image_only(True)
    assert layer.data[0, 0] == 2
    np.testing.assert_array_equal(layer.data[1:], segmentation.image_only_mask[1:])
    session.set_threshold(0.3)
    np.testing.assert_array_equal(layer.data[1:], segmentation.image_only_probability[1:] >= 0.3)
    session.set_threshold(segmentation.threshold)
    session.answer.show_image_only(False)
    assert layer.data[0, 0] == 2
    np.testing.assert_array_equal(layer.data[1:], with_report[1:])


def test_without_a_report_there_is_no_other_mask(session, phantom_layer):
    session.set_report("")
    session.segment().result(timeout=60)
    with pytest.raises(ValueError, match="segment with a report"):
        session.answer.show_image_only(True)
    assert session.answer.remarks == ()


def test_the_mask_is_compared_with_the_report_at_every_threshold(session, phantom_layer):
    session.segment().result(timeout=60)
    session.set_threshold(0.99)
    assert {remark.aspect: remark.agrees for remark in session.answer.remarks}["presence"] is bool(
        session.mask_layer.data.any()
    )
    assert not session.mask_layer.data.any()


def test_a_sentence_and_a_level_have_their_map(session, phantom_layer):
    session.segment().result(timeout=TIMEOUT)
    whole = session.heatmap_layer.data.copy()
    session.show_map(sentence=2, level=1)
    assert not np.array_equal(session.heatmap_layer.data, whole)
    assert session.heatmap_layer.data.shape == phantom_layer.data.shape
    with pytest.raises(ValueError, match="sentence"):
        session.show_map(sentence=1)  # denied, so the network was not asked


def test_a_map_is_clear_up_to_its_median_and_a_colour_is_a_value_in_every_map():
    wide = np.linspace(0, 1, 101, dtype=np.float32)
    narrow = 0.6 + 0.4 * wide
    for values in (wide, narrow):
        rgba = heat_for(values).map(values)
        is_above = values > np.median(values) + 0.06
        assert not rgba[values <= np.median(values), 3].any()
        assert (np.diff(rgba[is_above, 3]) > 0).all()
        assert rgba[-1, 3] == pytest.approx(0.8)
    shared = np.array([0.85], np.float32)
    np.testing.assert_allclose(heat_for(wide).map(shared)[0, :3], heat_for(narrow).map(shared)[0, :3])
    assert not heat_for(np.full((4, 4), 0.5, np.float32)).map(np.float32([0.5]))[0, 3]


def test_every_map_that_is_shown_has_colours_of_its_own(session, phantom_layer):
    session.segment().result(timeout=TIMEOUT)
    for sentence in (None, 0, 2):
        values = session.show_map(sentence=sentence).result()
        colors = session.heatmap_layer.colormap.map(np.sort(values.ravel()))
        np.testing.assert_allclose(colors, heat_for(values).map(np.sort(values.ravel())))


def test_overruling_a_sentence_changes_what_the_network_is_given(session, phantom_layer):
    assert session.report.used == (0, 2)
    session.use_sentence(1, True)
    assert session.report.used == (0, 1, 2)
    session.use_sentence(0, False)
    assert session.report.used == (1, 2)
    found = session.segment().result(timeout=TIMEOUT)
    assert len(found.sentence_attention) == 2


def test_an_empty_report_is_the_image_only_mode_and_says_so(session, phantom_layer):
    session.set_report("")
    session.segment().result(timeout=TIMEOUT)
    assert any("Image-only" in message for message in session.messages)


def test_saving_and_reading_back_gives_the_same_mask(session, phantom_layer, tmp_path):
    session.segment().result(timeout=TIMEOUT)
    session.mask_layer.data_setitem((np.array([0]), np.array([0])), 1)
    session.save_labels(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png"), session.mask_layer.data > 0)


def test_saving_without_a_mask_is_one_sentence(session, tmp_path):
    with pytest.raises(StudyWriteError, match=r"There is no mask to save. Press Segment first"):
        session.save_labels(tmp_path / "m.png")


@pytest.mark.parametrize("when", ["before", "during"])
def test_deleting_the_image_leaves_the_viewer_in_order(session, viewer, phantom_layer, when):
    if when == "before":
        viewer.layers.remove(phantom_layer)
        with pytest.raises(StudyReadError, match="There is no image to segment"):
            session.segment().result(timeout=TIMEOUT)
    else:
        future = session.segment()
        viewer.layers.remove(phantom_layer)
        assert future.done()  # at once, not when the network has come to its end
        with pytest.raises(Cancelled):
            future.result(timeout=TIMEOUT)
        assert any("removed" in message for message in session.messages)
    assert len(viewer.layers) == 0
    assert session.state == "idle"


def test_data_replaced_during_the_run_is_not_mistaken_for_the_old(session, phantom_layer):
    future = session.segment()
    phantom_layer.data = np.zeros((20, 20), np.uint8)
    with pytest.raises(Cancelled):
        future.result(timeout=TIMEOUT)
    assert session.mask_layer is None
    assert any("changed while" in message for message in session.messages)


def test_renaming_and_reordering_layers_during_the_run_changes_nothing(session, viewer, phantom_layer):
    other = viewer.add_image(np.zeros((30, 30)), name="Chest phantom")
    future = session.segment()
    phantom_layer.name = "renamed"
    viewer.layers.move(0, 2)
    found = future.result(timeout=TIMEOUT)
    assert session.mask_layer.data.shape == phantom_layer.data.shape == found.mask.shape
    assert other in viewer.layers


def test_deleting_mask_and_heatmap_is_survived(session, viewer, phantom_layer):
    session.segment().result(timeout=TIMEOUT)
    viewer.layers.remove(session.mask_layer)
    viewer.layers.remove(session.heatmap_layer)
    assert session.mask_layer is None
    session.set_threshold(0.3)
    session.show_map()
    session.segment().result(timeout=TIMEOUT)
    assert session.mask_layer is not None
    assert session.heatmap_layer is not None


def test_cancel_goes_back_to_ready_and_the_next_run_is_right(session, viewer, phantom_layer):
    future = session.segment()
    session.cancel()
    assert session.state == "idle"
    with pytest.raises(Cancelled):
        future.result(timeout=TIMEOUT)
    assert [type(layer) for layer in viewer.layers] == [Image]
    session.segment().result(timeout=TIMEOUT)
    assert session.mask_layer is not None


def test_cancel_in_the_middle_of_a_volume(session, viewer):
    pixels = np.random.default_rng(0).integers(0, 255, (200, 64, 64)).astype(np.uint8)
    session.choose_layer(viewer.add_image(pixels))
    future = session.segment()
    session.progressed.connect(lambda done, total: session.cancel())
    with pytest.raises(Cancelled):
        future.result(timeout=TIMEOUT)
    assert session.state == "idle"
    assert len(viewer.layers) == 1


def test_a_broken_model_is_told_in_two_sentences(session, phantom_layer, tmp_path):
    session.model = str(tmp_path / "nothing")
    with pytest.raises(CheckpointError):
        session.segment().result(timeout=TIMEOUT)
    assert any("expected an installed model or a folder" in message for message in session.messages)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (np.zeros((2, 3, 8, 8)), "got 4 axes"),
        (np.full((8, 8), np.nan), "got NaN or infinity"),
    ],
    ids=["four axes", "NaN"],
)
def test_layers_that_are_no_scan_are_refused(data, match):
    with pytest.raises(StudyReadError, match=match):
        layer_to_scan(Image(data))


def test_spacing_is_taken_from_layers_in_lengths_only():
    assert layer_to_scan(Image(np.zeros((4, 4)), scale=(2, 3), units="um")).spacing_mm == pytest.approx((0.002, 0.003))
    assert layer_to_scan(Image(np.zeros((4, 4)), scale=(2, 3))).spacing_mm is None


def test_a_scan_survives_the_way_through_a_layer(phantom):
    data, attributes, _ = scan_to_layer_data(phantom.scan)
    assert layer_to_scan(Image(data, **attributes)) is phantom.scan


def test_colour_with_transparency_loses_the_transparency():
    layer = Image(np.zeros((6, 6, 4), np.uint8), rgb=True)
    assert layer_to_scan(layer).pixels.shape == (6, 6, 3)


def test_a_volume_gets_a_volume_and_goes_to_nifti(session, viewer, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (9, 40, 32)).astype(np.uint8)
    scan = Scan(pixels, spacing_mm=(3.0, 1.0, 1.0))
    data, attributes, _ = scan_to_layer_data(scan)
    session.choose_layer(viewer.add_layer(Image(data, **attributes)))
    session.segment().result(timeout=TIMEOUT)
    assert session.mask_layer.data.shape == (9, 40, 32)
    assert tuple(session.mask_layer.scale) == (3.0, 1.0, 1.0)
    assert "ml" in session.mask.area
    assert session.suggested_path().name == "scan_mask.nii.gz"
    session.save_labels(tmp_path / "v.nii.gz")
    assert read_scan(tmp_path / "v.nii.gz").shape == (9, 40, 32)
