"""Made-up folders with one thing wrong each, and what the check says of them; conversions that read back the same."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tmca_core.data import open_dataset
from tmca_core.data.convert import convert_dataset
from tmca_core.data.fingerprint import fingerprint, near_duplicates
from tmca_core.data.leaks import find_twins, leaked_cases, read_fingerprints
from tmca_core.errors import DatasetError, StudyWriteError
from tmca_core.io import read_scan
from tmca_core.phantom import make_phantom
from tmca_core.recipes.check_data import CaseSeen, Checked, check_data

if TYPE_CHECKING:
    from pathlib import Path

LEFT, RIGHT = "One area of opacity in the left lung.", "One area of opacity in the right lung."


def make_folder(folder: Path, num_cases: int = 12, **columns) -> Path:
    """Phantoms of different seeds; masks lie at the patient's left, in the right half of the picture."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows = []
    for n in range(num_cases):
        Image.fromarray(np.asarray(make_phantom(n, shape=(48, 64)).scan.pixels)).save(folder / "images" / f"c{n}.png")
        mask = np.zeros((48, 64), dtype=np.uint8)
        mask[10:20, 40:50] = 255
        Image.fromarray(mask).save(folder / "masks" / f"c{n}.png")
        base = {"id": f"c{n}", "image": f"images/c{n}.png", "mask": f"masks/c{n}.png", "text": LEFT, "target": "lung"}
        base |= {"split": "train" if n < num_cases // 2 else "val", "patient": f"p{n}", "text_origin": "human"}
        rows.append(base | {name: value(n) if callable(value) else value for name, value in columns.items()})
    with (folder / "cases.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def check(folder: Path) -> Checked:
    *seen, checked = check_data(open_dataset(folder))
    assert all(isinstance(event, CaseSeen) for event in seen)
    assert isinstance(checked, Checked)
    return checked


def faults(checked: Checked) -> dict[str, tuple[str, ...]]:
    return {remark.kind: remark.ids for remark in checked.remarks if remark.is_fault}


def said(checked: Checked, kind: str) -> str:
    return next(remark.text for remark in checked.remarks if remark.kind == kind)


def test_a_sound_folder_has_no_fault_and_its_counts(tmp_path):
    checked = check(make_folder(tmp_path / "d"))
    assert not checked.has_faults
    counts = checked.splits["train"]
    assert (counts.cases, counts.images, counts.patients, counts.empty_masks, counts.without_text) == (6, 6, 6, 0, 0)
    assert "100% of the masks of 12 one-sided texts lie on the side" in said(checked, "sides")
    assert json.loads(json.dumps(checked.as_json()))["folder"] == "d"


def test_texts_that_mean_the_other_left_are_a_fault(tmp_path):
    checked = check(make_folder(tmp_path / "d", text=RIGHT))
    assert len(faults(checked)["sides"]) == 12
    assert "0% of the masks" in said(checked, "sides")


def test_stated_numbers_that_are_the_masks_parts_are_suspected(tmp_path):
    assert "12 texts state is that of the mask's parts in 100.0%" in said(
        check(make_folder(tmp_path / "made")), "made-from-masks"
    )
    free = check(make_folder(tmp_path / "free", text=lambda n: LEFT if n % 3 else LEFT.replace("One", "Two")))
    assert all(remark.kind != "made-from-masks" for remark in free.remarks)
    stated = check(make_folder(tmp_path / "stated", text="Opacity.", text_origin="derived-from-mask"))
    assert "says that 12 texts were derived from the masks" in said(stated, "made-from-masks")


def test_patients_and_pictures_in_two_splits_are_faults(tmp_path):
    folder = make_folder(tmp_path / "d", patient=lambda n: f"p{n % 11}")
    picture = Image.open(folder / "images" / "c2.png").convert("L")
    brighter = picture.resize((128, 96), Image.Resampling.BILINEAR).point(lambda v: min(255, v * 1.1 + 5))
    brighter.save(folder / "images" / "c9.png")
    mask = Image.open(folder / "masks" / "c9.png")
    mask.resize((128, 96), Image.Resampling.NEAREST).save(folder / "masks" / "c9.png")
    found = faults(check(folder))
    assert found["patients"] == ("p0",)
    assert "c2 = c9" in found["duplicates"]


def test_one_file_in_two_splits_is_a_duplicate(tmp_path):
    folder = make_folder(tmp_path / "d", image=lambda n: f"images/c{n % 6}.png")
    assert len(faults(check(folder))["duplicates"]) == 6


def test_different_phantoms_are_told_apart_once_there_are_enough(tmp_path):
    folder = make_folder(tmp_path / "d", num_cases=40)
    assert "duplicates" not in faults(check(folder))


def test_what_cannot_be_read_or_does_not_fit_is_named(tmp_path):
    folder = make_folder(tmp_path / "d")
    (folder / "images" / "c1.png").write_bytes(b"no picture")
    Image.fromarray(np.full((48, 48), 255, np.uint8)).save(folder / "masks" / "c3.png")
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(folder / "masks" / "c4.png")
    checked = check(folder)
    found = faults(checked)
    assert found["unreadable"] == ("c1",)
    assert found["misfit"] == ("c3",)
    assert checked.splits["train"].empty_masks == 1
    assert {remark.kind for remark in checked.remarks} >= {"empty", "full"}


def test_a_constant_picture_is_like_no_other(tmp_path):
    Image.fromarray(np.full((20, 20), 7, np.uint8)).save(tmp_path / "a.png")
    prints = np.stack([fingerprint(read_scan(tmp_path / "a.png"))] * 2)
    assert near_duplicates(prints, ["train", "val"]) == []


# conversions


def same_cases(a, b) -> None:
    keys = ("id", "text", "split", "target", "patient", "side_convention", "origin", "instruction")
    assert [[getattr(case, key) for key in keys] for case in a] == [[getattr(case, key) for key in keys] for case in b]
    for one, other in zip(a, b, strict=True):
        assert one.image.read_bytes() == other.image.read_bytes()
        assert (one.mask and one.mask.read_bytes()) == (other.mask and other.mask.read_bytes())


@pytest.mark.parametrize("target", ["lung", "polyp", ""])
def test_cases_csv_reads_back_the_same(tmp_path, target):
    dataset = open_dataset(make_folder(tmp_path / "d", 3, target=target, mask=lambda n: f"masks/c{n}.png" if n else ""))
    list(convert_dataset(dataset, tmp_path / "out", "cases-csv"))
    same_cases(dataset.cases, open_dataset(tmp_path / "out").cases)


def test_qata_reads_back_the_same(tmp_path):
    dataset = open_dataset(make_folder(tmp_path / "d", 4, target="", patient=lambda n: f"c{n}", text_origin=""))
    list(convert_dataset(dataset, tmp_path / "out", "qata"))
    again = open_dataset(tmp_path / "out")
    assert again.layout == "qata"
    same_cases(dataset.cases, again.cases)


def test_qata_refuses_what_it_cannot_hold(tmp_path):
    for name, columns, match in (
        ("a", {"target": lambda n: "lung" if n else "heart"}, "holds one target, got heart, lung"),
        ("b", {"target": "polyp"}, "no cases without a patient's side, got 3 cases: c0, c1, c2"),
        ("c", {"mask": lambda n: f"masks/c{n}.png" if n else ""}, "no cases without a mask, got 1 case: c0"),
    ):
        dataset = open_dataset(make_folder(tmp_path / name, 3, **columns))
        with pytest.raises(DatasetError, match=match):
            list(convert_dataset(dataset, tmp_path / "out", "qata"))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    folder = make_folder(tmp_path / "d", 3)
    with pytest.raises(StudyWriteError, match="expected a new or an empty folder"):
        list(convert_dataset(open_dataset(folder), folder, "cases-csv"))


def test_leaks_are_all_cases_of_a_twin_and_of_a_patient_in_two_splits(tmp_path):
    folder = make_folder(tmp_path / "d", num_cases=40, patient=lambda n: "p0" if n == 39 else f"p{n}")
    picture = Image.open(folder / "images" / "c2.png").convert("L")
    picture.resize((128, 96), Image.Resampling.BILINEAR).save(folder / "images" / "c30.png")
    (folder / "images" / "c35.png").write_bytes(b"no picture")
    dataset = open_dataset(folder)
    prints = {image: found for image, found in read_fingerprints(dataset) if found is not None}
    assert len(prints) == 39
    (twins,) = find_twins(dataset, prints)
    assert (twins.ids, twins.splits) == (("c2", "c30"), ("train", "val"))
    assert leaked_cases(dataset, prints) == {("train", "c2"), ("val", "c30"), ("train", "c0"), ("val", "c39")}
    assert "(train and val: 1)" in said(check(folder), "duplicates")
