"""Results stand in the folder all together or not at all, and result.json tells the truth and no names."""

from __future__ import annotations

import errno
import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from tmca_core.errors import StudyWriteError
from tmca_core.io import read_mask, read_scan
from tmca_core.recipes import predict as recipe
from tmca_core.recipes.predict import FileDone, PredictionWritten, predict_to_folder
from tmca_core.report import parse_report
from tmca_core.study import Scan

NAMES = [
    "mask.png",
    "probability.png",
    *(f"attention_level{level}.png" for level in (1, 2, 3, 4)),
    "overlay.png",
    "result.json",
]
TEXT = "HISTORY: Cough, Jane Canary. FINDINGS: Opacity in the left lower zone. No effusion on the right."


@pytest.fixture
def scan(tmp_path):
    """A read picture with two bright squares, of 32 and 64 pixels."""
    pixels = np.zeros((24, 40), dtype=np.uint8)
    pixels[4:8, 4:12] = pixels[8:16, 24:32] = 200
    path = tmp_path / "canary_jane.png"
    Image.fromarray(pixels).save(path)
    return read_scan(path)


def run(segmenter, scan, text: str | None, folder, **options) -> PredictionWritten:
    report = None if text is None else parse_report(text)
    *_, last = predict_to_folder(segmenter, scan, report, folder, **options)
    return last


def test_all_files_are_written_and_announced(segmenter, scan, tmp_path):
    events = list(predict_to_folder(segmenter, scan, parse_report(TEXT), tmp_path / "made" / "out"))
    assert [event.name for event in events if isinstance(event, FileDone)] == NAMES[:-1]
    assert [path.name for path in events[-1].files] == NAMES
    assert sorted(path.name for path in (tmp_path / "made" / "out").iterdir()) == sorted(NAMES)


def test_the_mask_file_is_the_predicted_mask_on_the_scans_grid(segmenter, scan, tmp_path):
    done = run(segmenter, scan, TEXT, tmp_path / "out")
    assert np.array_equal(read_mask(tmp_path / "out" / "mask.png"), done.segmentation.mask.astype(bool))
    assert done.segmentation.mask.sum() == 64


def test_maps_use_the_scale_that_the_result_states(segmenter, scan, tmp_path):
    done = run(segmenter, scan, TEXT, tmp_path / "out")
    assert done.result["files"]["probability.png"]["values"] == "16-bit grey, 0..65535 stands for 0..1"
    with Image.open(tmp_path / "out" / "probability.png") as picture:
        stored = np.asarray(picture).astype(float) / 65535
    assert np.allclose(stored, done.segmentation.probability, atol=1e-4)
    with Image.open(tmp_path / "out" / "attention_level2.png") as picture:
        assert np.allclose(np.asarray(picture).astype(float) / 65535, 0.5, atol=1e-4)


def test_result_says_how_to_repeat_it(segmenter, scan, tmp_path):
    run(segmenter, scan, TEXT, tmp_path / "out", threshold=0.25)
    result = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert result["model"] == {"name": "rule", "version": "1.0", "sha256": "ab" * 32}
    assert result["versions"] == {"napari-tmca": "0.1.0"}
    assert result["device"] == "cpu"
    assert result["timings_s"] == {"image": 0.0123, "report": 0.001}
    assert result["threshold"] == 0.25
    assert result["geometry"]["shape"] == [24, 40]
    assert result["geometry"]["axes"] == "YX"
    assert result["geometry"]["spacing_mm"] is None
    assert result["scan"]["sha256"] == hashlib.sha256(scan.source.read_bytes()).hexdigest()
    assert result["report"]["sha256"] == hashlib.sha256(TEXT.encode()).hexdigest()
    assert result["messages"] == ["said by the rule"]
    assert set(result["files"]) == set(NAMES[:-1])


def test_sentences_are_given_by_their_offsets_into_the_report(segmenter, scan, tmp_path):
    result = run(segmenter, scan, TEXT, tmp_path / "out").result
    slices = [TEXT[s["start"] : s["end"]] for s in result["sentences"]]
    used = [TEXT[s["start"] : s["end"]] for s in result["sentences"] if s["is_used"]]
    assert any("Canary" in text for text in slices)
    assert used == ["Opacity in the left lower zone."]
    assert next(s for s in result["sentences"] if s["is_used"])["sides"] == ["left"]


def test_no_name_from_path_or_report_reaches_the_result(segmenter, scan, tmp_path):
    run(segmenter, scan, TEXT, tmp_path / "out")
    written = (tmp_path / "out" / "result.json").read_text(encoding="utf-8").lower()
    assert "canary" not in written
    assert "jane" not in written


def test_without_a_report_the_result_has_none(segmenter, scan, tmp_path):
    result = run(segmenter, scan, None, tmp_path / "out").result
    assert result["report"] is None
    assert result["sentences"] == []
    assert result["num_pixels"] == 96


@pytest.mark.parametrize(
    ("spacing_mm", "area_mm2"), [(None, None), ((0.5, 0.25), 8.0)], ids=["unknown-spacing", "known-spacing"]
)
def test_area_is_in_millimetres_only_where_the_spacing_is_known(segmenter, scan, tmp_path, spacing_mm, area_mm2):
    spaced = Scan(scan.pixels, spacing_mm=spacing_mm, source=scan.source, native=scan.native)
    result = run(segmenter, spaced, TEXT, tmp_path / "out").result
    assert (result["num_pixels"], result["area_mm2"], result["volume_mm3"]) == (64, area_mm2, None)
    assert result["area_fraction"] == pytest.approx(64 / 960)


def test_files_of_an_earlier_run_are_replaced(segmenter, scan, tmp_path):
    run(segmenter, scan, TEXT, tmp_path / "out")
    first = (tmp_path / "out" / "mask.png").read_bytes()
    run(segmenter, scan, None, tmp_path / "out")
    assert (tmp_path / "out" / "mask.png").read_bytes() != first


def content(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_full_disk_leaves_the_earlier_results(segmenter, scan, tmp_path, monkeypatch):
    run(segmenter, scan, TEXT, tmp_path / "out")
    before = content(tmp_path / "out")

    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recipe, "write_map", no_space)
    with pytest.raises(StudyWriteError, match=r"No space left on device.*What stood there before is still there"):
        run(segmenter, scan, None, tmp_path / "out")
    assert content(tmp_path / "out") == before


def test_cancelling_leaves_the_earlier_results(segmenter, scan, tmp_path):
    run(segmenter, scan, TEXT, tmp_path / "out")
    before = content(tmp_path / "out")
    events = predict_to_folder(segmenter, scan, None, tmp_path / "out")
    for _ in range(4):
        next(events)
    events.close()
    assert content(tmp_path / "out") == before


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_predicted(segmenter, scan, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StudyWriteError, match="expected a folder that can be written to") as caught:
        run(segmenter, scan, None, tmp_path / "file" / "out")
    assert segmenter.reports == []
    assert caught.value.hint == "Free some space or choose another folder."
