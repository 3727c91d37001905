"""An evaluation gives known scores for known answers, and names every case it cannot score."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tmca_core.data import open_dataset
from tmca_core.errors import DatasetError, GeometryError
from tmca_core.recipes.evaluate import CaseDone, CaseFailed, SplitDone, evaluate, mask_on_grid
from tmca_core.recipes.reports import ReportMode
from tmca_core.study import Segmentation

if TYPE_CHECKING:
    from pathlib import Path

    from tmca_core.data import Dataset

KEYS = {"n", "dice_mean", "dice_pooled", "iou_mean", "iou_pooled", "side_accuracy"}


def blobs() -> np.ndarray:
    """Two bright squares on black, 16x32: one in each half."""
    pixels = np.zeros((16, 32), dtype=np.uint8)
    pixels[4:8, 4:8] = pixels[4:8, 24:28] = 200
    return pixels


def reference(half: str) -> np.ndarray:
    mask = blobs() > 0
    mask[:, slice(16, None) if half == "left" else slice(0, 16)] = False
    return (mask * 255).astype(np.uint8)


def make_folder(folder: Path, rows: list[dict[str, str]]) -> Dataset:
    """Rows give id, half (of the picture, where the reference is), text, and what else ``cases.csv`` may hold."""
    folder.mkdir(exist_ok=True)
    table = []
    for row in rows:
        filled = {"image": f"{row['id']}.png", "mask": f"{row['id']}_mask.png", "split": "val", "target": "lung"} | row
        Image.fromarray(blobs()).save(folder / filled["image"])
        if filled["mask"]:
            Image.fromarray(reference(filled.pop("half"))).save(folder / filled["mask"])
        table.append({k: filled[k] for k in ("id", "image", "mask", "text", "split", "target")})
    with (folder / "cases.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return open_dataset(folder)


@pytest.fixture
def dataset(tmp_path):
    """Three cases whose reports are right: the patient's left lies in the right half."""
    return make_folder(
        tmp_path / "data",
        [
            {"id": "a", "half": "right", "text": "Opacity in the left lung."},
            {"id": "b", "half": "left", "text": "Opacity in the right lung."},
            {"id": "c", "half": "left", "text": "Right lower lobe opacity."},
        ],
    )


@pytest.fixture
def scores_of(segmenter):
    """The result of the only split of a folder."""

    def run(dataset, **options) -> SplitDone:
        (done,) = (e for e in evaluate(segmenter, dataset, **options) if isinstance(e, SplitDone))
        return done

    return run


def test_right_reports_score_one(dataset, scores_of):
    scores = scores_of(dataset).scores
    assert (scores.n, scores.dice_mean, scores.dice_pooled, scores.iou_mean, scores.iou_pooled) == (3, 1, 1, 1, 1)
    assert scores.side_accuracy == 1.0


def test_swapped_sides_score_zero_and_the_mask_still_follows_the_report(dataset, scores_of):
    scores = scores_of(dataset, reports=ReportMode.SIDE_SWAPPED).scores
    assert (scores.dice_mean, scores.dice_pooled, scores.side_accuracy) == (0.0, 0.0, 1.0)


def test_without_reports_the_side_is_undefined(dataset, scores_of):
    scores = scores_of(dataset, reports=ReportMode.NONE).scores
    assert scores.dice_mean == pytest.approx(2 / 3)
    assert scores.iou_pooled == pytest.approx(1 / 2)
    assert scores.side_accuracy is None


def test_shuffled_reports_depend_on_the_seed_alone(dataset, scores_of):
    first, again = (scores_of(dataset, reports=ReportMode.SHUFFLED, seed=5) for _ in range(2))
    assert first == again
    assert first.scores.dice_mean < 1


def test_texts_by_id_replace_the_reports(dataset, scores_of):
    texts = {"a": "Right.", "b": "Right.", "c": "Right."}
    assert scores_of(dataset, reports=texts).scores.dice_mean == pytest.approx(2 / 3)


def test_texts_that_lack_cases_name_them(dataset, segmenter):
    with pytest.raises(DatasetError, match="2 have none: b, c"):
        next(evaluate(segmenter, dataset, reports={"a": "Left."}))


def test_every_case_is_announced_and_counted(dataset, segmenter):
    events = list(evaluate(segmenter, dataset))
    assert [type(event) for event in events] == [CaseDone, CaseDone, CaseDone, SplitDone]
    assert [(event.done, event.total) for event in events[:3]] == [(1, 3), (2, 3), (3, 3)]


def test_json_has_exactly_the_promised_keys(dataset, scores_of):
    done = scores_of(dataset)
    values = json.loads(json.dumps(done.as_json()))
    assert set(values) == KEYS | {"targets", "ci95"}
    assert set(values["ci95"]) == KEYS - {"n", "side_accuracy"}
    assert set(values["targets"]["lung"]) == KEYS


def test_targets_are_scored_apart(tmp_path, scores_of):
    rows = [
        {"id": "a", "half": "right", "text": "Left.", "target": "left lung"},
        {"id": "b", "half": "right", "text": "Right.", "target": "right lung"},
    ]
    done = scores_of(make_folder(tmp_path / "d", rows))
    assert {name: scores.dice_mean for name, scores in done.targets.items()} == {"left lung": 1.0, "right lung": 0.0}
    assert done.scores.dice_mean == 0.5


def test_a_folder_without_targets_has_no_target_rows(tmp_path, scores_of):
    done = scores_of(make_folder(tmp_path / "d", [{"id": "a", "half": "right", "text": "Left.", "target": ""}]))
    assert done.targets == {}
    assert set(done.as_json()) == KEYS | {"ci95"}


def test_every_split_is_scored_or_the_one_asked_for(tmp_path, segmenter):
    rows = [{"id": i, "half": "right", "text": "Left.", "split": s} for i, s in (("a", "test"), ("b", "train"))]
    dataset = make_folder(tmp_path / "d", rows)

    def splits(**options):
        return [e.split for e in evaluate(segmenter, dataset, **options) if isinstance(e, SplitDone)]

    assert splits() == ["train", "test"]
    assert splits(splits=["test"]) == ["test"]
    with pytest.raises(DatasetError, match="expected a split named 'val', the folder has train, test"):
        splits(splits=["val"])


def test_limit_takes_cases_from_all_over_the_split(tmp_path, segmenter):
    rows = [{"id": f"c{n}", "half": "right", "text": "Left."} for n in range(10)]
    dataset = make_folder(tmp_path / "d", rows)
    events = list(evaluate(segmenter, dataset, limit=3))
    assert [e.case.id for e in events if isinstance(e, CaseDone)] == ["c0", "c3", "c6"]


def test_rows_of_one_image_share_its_features(tmp_path, segmenter):
    rows = [{"id": i, "image": "same.png", "half": "right", "text": "Left."} for i in "ab"]
    list(evaluate(segmenter, make_folder(tmp_path / "d", rows)))
    assert (len(segmenter.scans), len(segmenter.reports)) == (1, 2)


def test_scores_are_taken_on_the_references_own_grid(dataset, scores_of):
    for case in dataset.cases:
        with Image.open(case.mask) as mask:
            mask.resize((64, 32), Image.Resampling.NEAREST).save(case.mask)
    scores = scores_of(dataset)
    assert scores.scores.dice_mean > 0.9


@pytest.fixture
def segmentation(provenance):
    """A segmentation with these logits."""
    return lambda logits, threshold=0.5: Segmentation(logits.astype(np.float32), threshold, (), (), None, provenance)


def test_a_coarser_grid_averages_the_probability(segmentation):
    logits = np.full((4, 4), -20.0)
    logits[:, :2] = 20
    assert mask_on_grid(segmentation(logits), (2, 2)).tolist() == [[True, False]] * 2
    assert mask_on_grid(segmentation(logits), (4, 4)).tolist() == (logits > 0).tolist()


def test_a_finer_grid_is_cut_at_the_models_own_threshold(segmentation):
    logits = np.zeros((2, 2))
    assert mask_on_grid(segmentation(logits, 0.5), (8, 8)).all()
    assert not mask_on_grid(segmentation(logits, 0.6), (8, 8)).any()


@pytest.mark.parametrize(
    ("found", "wanted"), [((4, 4), (3, 4, 4)), ((3, 4, 4), (4, 4)), ((3, 4, 4), (2, 4, 4))], ids=str
)
def test_a_picture_and_a_volume_do_not_compare(found, wanted, segmentation):
    with pytest.raises(GeometryError, match="Reference: expected shape"):
        mask_on_grid(segmentation(np.zeros(found)), wanted)


def break_images(dataset, *ids: str) -> None:
    for case in dataset.cases:
        if case.id in ids:
            case.image.write_bytes(b"no picture")


def test_unreadable_cases_end_in_an_error_that_names_all_of_them(dataset, segmenter):
    break_images(dataset, "a", "c")
    seen = []
    with pytest.raises(DatasetError, match="expected every case to be readable, 2 cases failed: a, c") as caught:
        seen.extend(evaluate(segmenter, dataset))
    assert [type(event) for event in seen] == [CaseFailed, CaseDone, CaseFailed]
    assert caught.value.hint


def test_unreadable_cases_may_be_left_out_and_are_named(dataset, scores_of):
    break_images(dataset, "b")
    done = scores_of(dataset, leave_out_unreadable=True)
    assert [failed.case.id for failed in done.failed] == ["b"]
    assert done.as_json()["left_out"] == ["b"]
    assert done.scores.n == 2


def test_a_split_with_no_readable_case_is_an_error_all_the_same(dataset, segmenter):
    break_images(dataset, "a", "b", "c")
    with pytest.raises(DatasetError, match="3 cases failed"):
        list(evaluate(segmenter, dataset, leave_out_unreadable=True))


def test_an_unreadable_mask_is_named(dataset, segmenter):
    dataset.cases[1].mask.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="1 case failed: b"):
        list(evaluate(segmenter, dataset))


def test_cases_without_reference_are_named_before_anything_is_predicted(tmp_path, segmenter):
    rows = [{"id": "a", "half": "right", "text": "Left."}, {"id": "b", "mask": "", "text": "Left."}]
    with pytest.raises(DatasetError, match="expected a reference mask for every case, 1 have none: b"):
        next(evaluate(segmenter, make_folder(tmp_path / "d", rows)))
    assert segmenter.scans == []


def test_closing_the_iterator_stops(dataset, segmenter):
    events = evaluate(segmenter, dataset)
    next(events)
    events.close()
    assert len(segmenter.reports) == 1


def test_scores_without_leaks_stand_beside_the_others(dataset, scores_of):
    done = scores_of(dataset, reports={"a": "Right lung opacity.", "b": "Right lung.", "c": "Right lung."}, leaks=set())
    assert (done.leaks, done.without_leaks) == ((), None)
    done = scores_of(dataset, reports=ReportMode.NONE, leaks={("val", "a"), ("train", "b")})
    assert done.leaks == ("a",)
    assert (done.scores.n, done.without_leaks.n) == (3, 2)
    assert done.as_json()["leaks"] == ["a"]
    assert done.as_json()["without_leaks"]["n"] == 2
    assert scores_of(dataset).leaks is None
