"""Surfaces, trust and floors of known answers; nothing of it where it is not asked for; pictures that can be opened."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from tmca_core.calibration_fit import expected_calibration_error
from tmca_core.data import open_dataset
from tmca_core.recipes.evaluate import CaseDone, SplitDone, evaluate
from tmca_core.recipes.evaluate_more import MeanMasks, More
from tmca_core.recipes.plots import draw_cases, draw_reliability, draw_risk_coverage, pick_cases
from tmca_core.recipes.reports import ReportMode

LEFT, RIGHT = "Opacity in the left lung.", "Opacity in the right lung."
ALL = More(surface=True, trust=True, floors=True)


@pytest.fixture
def folder(tmp_path):
    """Two bright squares; the reference is the one on the stated side. Three to train on, four to score."""
    pixels = np.zeros((16, 32), dtype=np.uint8)
    pixels[4:8, 4:8] = pixels[4:8, 24:28] = 200
    Image.fromarray(pixels).save(tmp_path / "image.png")
    masks = {}
    for side, half in (("left", slice(0, 16)), ("right", slice(16, None))):
        mask = pixels.copy()
        mask[:, half] = 0
        masks[side] = f"{side}.png"
        Image.fromarray((mask > 0).astype(np.uint8) * 255).save(tmp_path / masks[side])
    rows = [("t1", "left", LEFT, "train"), ("t2", "right", RIGHT, "train"), ("t3", "left", LEFT, "train")]
    rows += [("a", "left", LEFT, "val"), ("b", "right", RIGHT, "val"), ("c", "right", LEFT, "val")]
    rows += [("d", "left", "Opacity.", "val")]
    with (tmp_path / "cases.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "image", "mask", "text", "split", "target", "text_origin"])
        for case_id, side, text, split in rows:
            origin = "human" if case_id < "c" else "derived-from-mask"
            writer.writerow([case_id, "image.png", masks[side], text, split, "lung", origin])
    return tmp_path


def run(segmenter, folder, **options) -> tuple[list[CaseDone], SplitDone]:
    *cases, done = evaluate(segmenter, open_dataset(folder), splits=["val"], **options)
    return cases, done


def test_nothing_more_is_measured_unless_asked_for(segmenter, folder):
    cases, done = run(segmenter, folder)
    assert done.more == {}
    assert all(case.more is None for case in cases)
    assert set(done.as_json()) == {
        "n", "dice_mean", "dice_pooled", "iou_mean", "iou_pooled", "side_accuracy", "ci95", "targets", "origins",
    }  # fmt: skip


def test_origins_are_scored_apart(segmenter, folder):
    _, done = run(segmenter, folder)
    assert {name: scores.n for name, scores in done.origins.items()} == {"human": 2, "derived-from-mask": 2}
    assert done.origins["human"].dice_mean == 1.0


def test_surfaces_are_told_in_pixels_without_a_spacing(segmenter, folder):
    cases, done = run(segmenter, folder, more=More(surface=True, tolerance=1.0))
    assert [case.more.hd95 for case in cases] == [0.0, 0.0, 20.0, 20.0]
    assert [case.as_row()["surface_dice"] for case in cases] == [1.0, 1.0, 0.0, pytest.approx(2 / 3, abs=1e-6)]
    told = done.more["surface"]
    assert (told["unit"], told["hd95_median"], told["one_mask_empty"], told["tolerance"]) == ("pixels", 0.0, 0, 1.0)
    assert set(done.more) == {"surface"}


def test_calibration_equals_that_of_all_pixels_together(segmenter, folder):
    cases, done = run(segmenter, folder, more=More(trust=True))
    probabilities, references = [], []
    for case in cases:
        probabilities.append(segmenter.predict(segmenter.reports[len(probabilities)]).probability.ravel())
        references.append((np.asarray(Image.open(case.case.mask)) > 0).ravel())
    wanted = expected_calibration_error(np.concatenate(probabilities), np.concatenate(references))
    assert done.more["calibration"]["ece"] == pytest.approx(wanted)
    assert sum(row[0] for row in done.more["calibration"]["bins"]) == 4 * 16 * 32
    assert done.more["risk_coverage"]["1.00"] == pytest.approx(done.scores.dice_mean)


def test_masks_are_held_against_the_reports_that_were_given(segmenter, folder):
    _, given = run(segmenter, folder, more=More(trust=True))
    assert given.more["consistency"] == {"n": 4, "rate": 1.0, "presence": 1.0, "side": 1.0}
    _, none = run(segmenter, folder, more=More(trust=True), reports=ReportMode.NONE)
    assert none.more["consistency"] == {"n": 0, "rate": None}


def test_floors_need_no_image_or_no_text(segmenter, folder):
    cases, done = run(segmenter, folder, more=More(floors=True))
    assert [case.more.no_image.dice for case in cases[:3]] == [1.0, 1.0, 0.0]
    assert cases[3].more.no_image.dice > 0.8  # no such text in training: the likelier half of all masks
    assert done.more["floors"]["no_image"]["n"] == 4
    assert done.more["floors"]["no_text"]["n"] == 4
    assert {"no_image_dice", "no_text_dice"} <= set(cases[0].as_row())


def test_a_target_that_was_never_trained_on_has_no_floor(folder):
    dataset = open_dataset(folder)
    assert MeanMasks(()).mask(dataset.cases[0], (16, 32)) is None
    assert MeanMasks(dataset.cases).mask(dataset.cases[0], (16, 32)).shape == (16, 32)


def test_everything_is_ready_for_json(segmenter, folder):
    cases, done = run(segmenter, folder, more=ALL)
    values = json.loads(json.dumps(done.as_json(), allow_nan=False))
    assert {"surface", "calibration", "risk_coverage", "consistency", "floors"} <= set(values)
    assert {"hd95", "consistent", "no_image_dice"} <= set(cases[0].as_row())


def test_empty_masks_do_not_break_the_json(segmenter, folder):
    Image.fromarray(np.zeros((16, 32), np.uint8)).save(folder / "image.png")
    _, done = run(segmenter, folder, more=ALL)
    told = json.loads(json.dumps(done.as_json(), allow_nan=False))["surface"]
    assert (told["hd95_median"], told["hd95_mean_of_finite"], told["one_mask_empty"]) == (None, None, 4)


@pytest.mark.parametrize("number", [1, 2, 4, 5, 20])
def test_no_case_is_picked_twice(segmenter, folder, number):
    cases, _ = run(segmenter, folder)
    picked = pick_cases((cases * 5)[:number] if number > 4 else cases[:number])
    assert sum(map(len, picked.values())) == min(number, 9)
    assert picked["worst"][0].score.dice <= picked["best"][-1].score.dice if picked["best"] else True


def test_the_pictures_can_be_opened(segmenter, folder, tmp_path):
    cases, done = run(segmenter, folder, more=More(trust=True))
    draw_cases(segmenter, cases, tmp_path / "cases.png")
    draw_risk_coverage(done.more["risk_coverage"], tmp_path / "risk.png")
    draw_reliability(done.more["calibration"], tmp_path / "reliability.png")
    for name in ("cases", "risk", "reliability"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 200
