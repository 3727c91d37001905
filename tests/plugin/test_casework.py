from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from napari.layers import Image, Labels
from PIL import Image as Picture

from tmca_core.errors import ProjectError, StudyWriteError
from tmca_core.io import read_scan
from tmca_core.phantom import make_phantom
from tmca_core.project import Draft, Project, Status

TIMEOUT = 120


@pytest.fixture
def folder(tmp_path, write_images):
    """A project of three phantoms with their reports."""
    images = write_images(make_phantom(seed, shape=(64, 56)) for seed in range(3))
    with Project.create(tmp_path / "study") as project:
        list(project.add([images]))
    return tmp_path / "study"


@pytest.fixture
def work(session, folder):
    session.open_project(folder)
    session.cases.who = "ann"
    yield session.cases
    session.cases.close()


def paint(session, rows=slice(2, 6), label=1):
    layer = session.mask_layer
    where = np.nonzero(np.ones_like(layer.data[rows]))
    layer.data_setitem((where[0] + rows.start, where[1]), label)
    return np.asarray(layer.data).copy()


def test_the_cases_go_by_and_never_mix(work, session):
    viewer = session._viewer()
    mine = viewer.add_image(np.zeros((5, 5)), name="of the user")
    first = session.next_case()
    assert first.id == "00001"
    assert session.report.text == work.project.report("00001")
    work.add_empty_mask()
    drawn = paint(session)
    second = session.next_case()
    assert second.id == "00002"
    assert session.mask_layer is None
    assert session.segmentation is None
    assert [layer.name for layer in viewer.layers] == ["of the user", "00002 chest1.png"]
    assert mine in viewer.layers
    work.next_case(-1)
    assert np.array_equal(session.mask_layer.data, drawn)
    assert work.case.record.status == Status.SEGMENTED
    assert work.next_case(-1) is None
    assert "first case" in session.messages[0]


def test_a_segmentation_under_way_never_lands_in_the_next_case(work, session, qtbot):
    work.open_case("00001")
    future = session.segment()
    work.open_case("00002")
    assert future.done()
    assert future.exception() is not None
    qtbot.wait(300)
    assert session.mask_layer is None
    assert session.segmentation is None


def test_looking_at_a_case_changes_nothing(work, session, qtbot):
    before = work.project.case("00001")
    work.open_case("00001")
    work.autosave()
    session.next_case()
    assert work.project.case("00001") == before
    assert not list(work.project.case_folder("00001").glob("*.tmca"))


def test_finishing_stores_both_masks_and_goes_on(work, session):
    work.open_case("00001")
    found = session.segment().result(timeout=TIMEOUT)
    drawn = paint(session)
    following = work.finish(quality=5, comment="fine")
    assert following.id == "00002"
    record = work.project.case("00001")
    assert (record.status, record.quality, record.annotator) == (Status.CORRECTED, 5, "ann")
    with Project.open(work.project.folder).open_case("00001") as case:
        assert np.array_equal(case.mask("ai"), found.mask)
        assert np.array_equal(case.mask("corrected"), drawn)
    work.open_case("00001")
    assert np.array_equal(session.mask_layer.data, drawn)
    assert not work.has_changes


def test_a_case_without_a_mask_is_not_done(work, session):
    work.open_case("00001")
    with pytest.raises(ProjectError, match="has no mask"):
        work.finish()
    assert work.case.record.id == "00001"


def test_a_failed_save_stops_the_change_of_case_and_says_why(work, session, monkeypatch):
    work.open_case("00001")
    work.add_empty_mask()
    drawn = paint(session)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(StudyWriteError, match="no space left"):
            session.next_case()
    assert work.case.record.id == "00001"
    assert np.array_equal(session.mask_layer.data, drawn)
    session.next_case()
    assert work.project.case("00001").corrected is not None


def test_the_mask_of_another_image_is_not_saved_into_the_case(work, session):
    from napari_tmca.layers import scan_to_layer_data

    work.open_case("00001")
    data, attributes, _ = scan_to_layer_data(make_phantom(9, shape=(64, 56)).scan)
    session.choose_layer(session._viewer().add_layer(Image(data, **attributes)))
    session.segment().result(timeout=TIMEOUT)
    with pytest.raises(ProjectError, match="belongs to another image"):
        work.save()


def test_a_second_window_may_look_and_not_save(work, session, make_napari_viewer, folder):
    from napari_tmca.session import session_of

    work.open_case("00001")
    work.add_empty_mask()
    paint(session)
    session.save()
    other = session_of(make_napari_viewer())
    other.open_project(folder)
    record = other.next_case()
    assert record.id == "00001"
    assert other.cases.case.is_read_only
    assert "open by ann in another window" in other.messages[0]
    assert not other.mask_layer.editable
    with pytest.raises(ProjectError, match="read-only"):
        other.save()
    assert other.next_case().id == "00002"
    other.close()


def test_the_second_reader_sees_both_outlines_and_judges(work, session):
    with work.project.open_case("00001", "ann") as case:
        scan = case.read_scan()
        ai, mine = np.zeros(scan.shape, dtype=np.uint8), np.zeros(scan.shape, dtype=np.uint8)
        ai[5:15], mine[5:17] = 1, 1
        case.save(scan, Draft(ai=ai, network={}, corrected=mine, status=Status.CORRECTED))
    work.refresh()
    work.who = "rev"
    work.open_case("00001")
    work.review.show_outlines(True)
    outlines = [layer for layer in session._viewer().layers if isinstance(layer, Labels) and layer.contour]
    assert len(outlines) == 2
    assert session.mask_layer in outlines
    work.review.show_outlines(False)
    assert [layer for layer in session._viewer().layers if isinstance(layer, Labels)] == [session.mask_layer]
    with pytest.raises(ProjectError, match="with a comment"):
        work.review.give_back("")
    record = work.review.give_back("Too wide.")
    assert (record.status, record.reviewer, record.annotator) == (Status.FLAGGED, "rev", "ann")
    record = work.review.approve()
    assert (record.status, record.annotator) == (Status.APPROVED, "ann")
    work.review.show_outlines(True)
    session.next_case()
    assert [type(layer) for layer in session._viewer().layers] == [Image]


def test_active_time_is_counted_and_raw_events_are_kept(work, session):
    work.open_case("00001")
    work.add_empty_mask()
    paint(session)
    time.sleep(1.1)
    work.note_activity()
    record = session.save()
    assert 1.0 <= record.active_s < 60
    assert '"kind": "active"' in (work.project.case_folder("00001") / "events.jsonl").read_text()


def test_adding_runs_beside_the_window(work, session, qtbot, tmp_path):
    (tmp_path / "more").mkdir()
    Picture.fromarray(np.asarray(make_phantom(7, shape=(40, 40)).scan.pixels)).save(tmp_path / "more" / "x.png")
    (tmp_path / "more" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    work.jobs.add([tmp_path / "more"])
    qtbot.waitUntil(lambda: len(work.project.cases()) == 4 and bool(session.messages), timeout=20_000)
    assert session.messages[0] == "Added 1 to the project."
    assert session.messages[1].startswith("Not added: broken.png")


def test_what_is_on_the_screen_can_be_saved_into_a_project(session, tmp_path):
    made = make_phantom(2, shape=(64, 56))
    Picture.fromarray(np.asarray(made.scan.pixels)).save(tmp_path / "chest.png")
    session.open_scan(tmp_path / "chest.png")
    session.set_report(made.report_text)
    found = session.segment().result(timeout=TIMEOUT)
    drawn = paint(session)
    record = session.save(tmp_path / "new study")
    assert record.status == Status.SEGMENTED
    assert session.segmentation is found
    with Project.open(tmp_path / "new study") as project:
        assert project.report(record.id) == made.report_text
        assert project.compare(record.id)["num_added"] == int(((drawn != 0) & (found.mask == 0)).sum())
    assert session.save(tmp_path / "new study").revision == record.revision + 1


def test_a_scan_that_was_shrunk_is_saved_and_opened_as_such(session, tmp_path):
    Picture.fromarray(np.asarray(make_phantom(2, shape=(64, 56)).scan.pixels)).save(tmp_path / "chest.png")
    session.open_scan(tmp_path / "chest.png", read_scan(tmp_path / "chest.png", shrink=2, spacing=(0.5, 0.4)))
    session.adopt_mask(np.zeros((32, 28), np.uint8))
    drawn = paint(session)
    session.save(tmp_path / "study")
    session.cases.close_case()
    record = session.next_case()
    assert (record.shape, record.spacing_mm) == ((32, 28), (1.0, 0.8))
    assert np.array_equal(session.mask_layer.data, drawn)


def test_what_the_reader_decided_of_sentences_comes_back_with_the_case(work, session):
    work.open_case("00001")
    session.set_report("Consolidation in the left lower zone. No effusion.")
    session.use_sentence(1, True)
    session.use_sentence(0, False)
    assert session.report.used == (1,)
    assert work.has_changes
    work.open_case("00002")
    assert not session.choices
    work.open_case("00001")
    assert session.report.used == (1,)
    assert [choice.use for choice in work.case.record.choices.made] == [False, True]
    assert not work.has_changes
    session.use_sentence(0, True)
    session.use_sentence(1, False)
    assert not session.choices  # as it was understood: nothing is left to keep
    assert work.has_changes
    work.save()
    assert not work.project.case("00001").choices


PAINTER = """
import sys, time
import numpy as np, napari
from qtpy.QtWidgets import QApplication
from napari_tmca.session import session_of

viewer = napari.Viewer(show=False)
session = session_of(viewer)
session.open_project(sys.argv[1])
session.cases.open_case("00001")
layer = session.cases.add_empty_mask()
session.set_report("Typed and not saved. No effusion.")
session.use_sentence(0, False)
app = QApplication.instance()
k = 0
while True:
    layer.data_setitem((np.array([k // 50]), np.array([k % 50])), 1)
    k += 1
    print(k, flush=True)
    until = time.monotonic() + 0.02
    while time.monotonic() < until:
        app.processEvents()
        time.sleep(0.002)
"""


def test_a_project_that_vanishes_is_one_clear_message_and_its_signs_of_life_wait(work, session, folder, caplog):
    session.next_case()
    work.add_empty_mask()
    paint(session)
    work._autosave.note_activity()
    away = folder.rename(folder.with_name("away"))
    with pytest.raises(ProjectError, match="log of case 00001 cannot be written") as told:
        work._autosave.flush_events()
    assert "still there" in told.value.hint
    away.rename(folder)
    work._autosave.flush_events()
    assert '"active"' in "".join(path.read_text() for path in folder.rglob("*.jsonl"))
    work._autosave.note_activity()
    folder.rename(away)
    work._autosave.close()
    said = [record for record in caplog.records if record.name == "napari_tmca.autosave"]
    assert len(said) == 1
    assert said[0].exc_info is None
    assert "cannot be written" in said[0].message or "could not be written" in said[0].message
    away.rename(folder)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9")
def test_a_killed_painting_session_is_offered_and_recovered(session, folder):
    with subprocess.Popen([sys.executable, "-c", PAINTER, str(folder)], stdout=subprocess.PIPE, text=True) as child:
        started, drawn = None, []
        for line in child.stdout:
            started = started or time.monotonic()
            drawn.append((time.monotonic(), int(line)))
            if time.monotonic() - started > 3.0:
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(signal.SIGKILL)
                break
        killed = time.monotonic()
    session.open_project(folder)
    work = session.cases
    (unsaved,) = work.recovery.unsaved
    assert unsaved.has_other_report
    work.recovery.recover(unsaved)
    assert not work.recovery.unsaved
    assert session.report.text == "Typed and not saved. No effusion."
    assert 0 not in session.report.used
    kept = int(np.count_nonzero(session.mask_layer.data))
    assert kept >= max(number for at, number in drawn if at <= killed - 2.0)
    session.mask_layer.undo()
    assert not session.mask_layer.data.any()
    session.mask_layer.redo()
    assert work.has_changes
    assert session.save().corrected.num_voxels == kept
    assert not Project.open(folder).unsaved()
