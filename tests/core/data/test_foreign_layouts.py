"""The layouts of LViT, LanGuideMedSeg and MedCLIPSeg, as small made-up trees; workbooks that are not what they seem."""

from __future__ import annotations

import contextlib
import csv
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from openpyxl import Workbook
from PIL import Image

from tmca_core.data import open_dataset, patients_in_two_splits, read_reference
from tmca_core.data.workbook import read_workbook
from tmca_core.errors import DatasetError
from tmca_core.study import SideConvention

if TYPE_CHECKING:
    from pathlib import Path

LUNG = "Unilateral pulmonary infection, one infected area, upper left lung."
NUCLEI = "The nuclei density in the lower left is high."
NEEDED = ("Image", "Description")


def save_table(path: Path, rows: list[tuple[object, ...]], columns: tuple[str, ...] = NEEDED) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([columns, *rows])
        return
    book = Workbook()
    for line in (columns, *rows):
        book.active.append(line)
    book.save(path)


def save_pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((6, 8), dtype=np.uint8)
    pixels[1, 2] = 255
    for name in names:
        Image.fromarray(pixels).save(folder / name)


def make_lvit(folder: Path, split: str, pairs: list[tuple[str, str]], rows: list[tuple[object, ...]]) -> Path:
    place = folder / f"{split}_Folder"
    save_pictures(place / "img", *(image for image, _ in pairs))
    save_pictures(place / "labelcol", *(mask for _, mask in pairs))
    save_table(place / f"{split}_text.xlsx", rows)
    return folder


@pytest.fixture
def qata(tmp_path):
    folder = tmp_path / "Covid19"
    make_lvit(folder, "Train", [("covid_1.png", "mask_covid_1.png")], [("mask_covid_1.png", LUNG)])
    return make_lvit(folder, "Val", [("cxr_s7-e1-r1.png", "mask_cxr_s7-e1-r1.png")], [("mask_cxr_s7-e1-r1.png", LUNG)])


def test_lvit_reads_qatas_mask_names_and_turns_the_sides(qata):
    dataset = open_dataset(qata)
    first, second = dataset.cases
    assert (dataset.layout, dataset.splits) == ("lvit", ("train", "val"))
    assert (first.id, first.image.name, first.mask.name) == ("covid_1", "covid_1.png", "mask_covid_1.png")
    assert first.text == LUNG.replace("left", "right")
    assert first.side_convention is SideConvention.PATIENT
    assert second.patient == "s7"
    assert any("turned to the patient's side" in note for note in dataset.notes)
    assert read_reference(first).sum() == 1


def test_lvit_reads_mosmeds_equal_names_and_keeps_slices_of_a_study_together(tmp_path):
    names = ["Morozov_study_0255_19.png", "Jun_radiopaedia_10_85902_1_case3_61.png"]
    make_lvit(tmp_path, "Train", [(n, n) for n in names], [(n, LUNG) for n in names])
    make_lvit(
        tmp_path, "Test", [("Morozov_study_0255_20.png",) * 2], [("Morozov_study_0255_20.png", "Lower right lung.")]
    )
    dataset = open_dataset(tmp_path)
    assert [case.patient for case in dataset.cases] == [
        "Morozov_study_0255",
        "Jun_radiopaedia_10_85902_1_case3",
        "Morozov_study_0255",
    ]
    assert patients_in_two_splits(dataset) == {"Morozov_study_0255": ("train", "test")}
    assert dataset.split("test")[0].text == "Lower left lung."


def test_lvit_reads_other_endings_and_leaves_the_pictures_side(tmp_path):
    make_lvit(tmp_path, "Train", [("TCGA-1.tif", "TCGA-1.png")], [("TCGA-1.png", NUCLEI)])
    (case,) = open_dataset(tmp_path).cases
    assert (case.text, case.side_convention) == (NUCLEI, SideConvention.PICTURE)


def test_a_column_overrules_the_sides(tmp_path):
    make_lvit(tmp_path, "Train", [("a.png", "a.png")], [])
    save_table(
        tmp_path / "Train_Folder" / "Train_text.xlsx", [("a.png", LUNG, "patient")], (*NEEDED, "Side_convention")
    )
    (case,) = open_dataset(tmp_path).cases
    assert (case.text, case.side_convention) == (LUNG, SideConvention.PATIENT)


def test_lvit_finds_a_table_with_a_longer_name_beside_the_splits(tmp_path):
    make_lvit(tmp_path, "Train", [("a.png", "a.png")], [("a.png", LUNG)])
    (tmp_path / "Train_Folder" / "Train_text.xlsx").rename(tmp_path / "Train_text MosMedData+.xlsx")
    assert open_dataset(tmp_path).cases[0].id == "a"
    save_table(tmp_path / "Train_text_2.xlsx", [("a.png", LUNG)])
    with pytest.raises(DatasetError, match=r"expected the texts of the split 'train' in Train_text.xlsx, got Train_te"):
        open_dataset(tmp_path)


def test_everything_missing_is_named_and_rows_without_files_are_told(tmp_path):
    pairs = [(f"{n}.png", f"{n}.png") for n in "abcd"]
    make_lvit(tmp_path, "Train", pairs, [(f"{n}.png", LUNG) for n in "abcx"])
    (tmp_path / "Train_Folder" / "img" / "a.png").unlink()
    (tmp_path / "Train_Folder" / "labelcol" / "b.png").unlink()
    with pytest.raises(DatasetError) as caught:
        open_dataset(tmp_path)
    for said in ("1 image (Train_Folder/a)", "1 mask (Train_Folder/b)", "1 text (Train_Folder/d)"):
        assert said in caught.value.message
    make_lvit(tmp_path, "Train", pairs, [(f"{n}.png", LUNG) for n in "abcdx"])
    assert any("Rows without a file, not used: 1 row (x.png)." in note for note in open_dataset(tmp_path).notes)


def test_one_name_in_two_splits_gives_two_ids(tmp_path):
    for split in ("Train", "Test"):
        make_lvit(tmp_path, split, [("1.png", "1.png")], [("1.png", LUNG)])
    assert [case.id for case in open_dataset(tmp_path).cases] == ["train-1", "test-1"]


def test_medclipseg_takes_the_full_tables_and_names_the_others(tmp_path):
    for split, table in (("Train", "Train_text"), ("Test", "Test_text_original")):
        save_pictures(tmp_path / f"{split}_Folder" / "img", f"{split}1.jpg")
        save_pictures(tmp_path / f"{split}_Folder" / "label", f"{split}1.png")
        save_table(tmp_path / "Prompts_Folder" / f"{table}.xlsx", [(f"{split}1.jpg", "One polyp at the left.")])
    save_table(tmp_path / "Prompts_Folder" / "Train_text_10.xlsx", [])
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, [case.split for case in dataset.cases]) == ("medclipseg", ["train", "test"])
    assert dataset.cases[0].text == "One polyp at the left."
    assert any("not used: Train_text_10.xlsx" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("train", "test", "masks"),
    [("Train", "Test", "GTs"), ("Train Set", "Test Set", "Ground-truths"), (".", ".", "GTs")],
)
def test_languidemedseg_takes_the_last_fifth_to_validate(tmp_path, train, test, masks):
    names = [f"covid_{n}.png" for n in range(6)]
    for root, some in ((train, names[:5]), (test, names[5:])):
        save_pictures(tmp_path / root / "Images", *some)
        save_pictures(tmp_path / root / masks, *(f"mask_{name}" for name in some))
    save_table(tmp_path / "prompt" / "train.csv", [(f"mask_{name}", LUNG) for name in names[:5]])
    save_table(tmp_path / "prompt" / "test.csv", [(f"mask_{names[5]}", LUNG)])
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "languidemedseg"
    assert [case.split for case in dataset.cases] == ["train"] * 4 + ["val", "test"]
    assert dataset.cases[0].text == LUNG.replace("left", "right")


def test_languidemedseg_names_rows_whose_files_are_not_there(tmp_path):
    save_pictures(tmp_path / "Images", "a.png")
    save_pictures(tmp_path / "GTs", "mask_a.png")
    save_table(tmp_path / "prompt" / "train.csv", [("mask_a.png", LUNG), ("mask_b.png", LUNG)])
    with pytest.raises(DatasetError, match=r"1 image .*/b\); 1 mask .*/b\)"):
        open_dataset(tmp_path)


# workbooks


def test_cells_become_text_and_blank_lines_vanish(tmp_path):
    save_table(tmp_path / "t.xlsx", [(7.0, " Nuclei. "), (None, None), ("b", "=1+1")], ("image", "DESCRIPTION"))
    with pytest.raises(DatasetError, match="expected a value for 'Description' in every row, it is blank in rows 2"):
        read_workbook(tmp_path / "t.xlsx", NEEDED)  # a formula that nobody computed has no value
    save_table(tmp_path / "t.xlsx", [(7.0, " Nuclei. "), (None, None)], ("image", "DESCRIPTION"))
    assert read_workbook(tmp_path / "t.xlsx", NEEDED) == [{"Image": "7", "Description": "Nuclei."}]


def test_missing_columns_are_named(tmp_path):
    save_table(tmp_path / "t.xlsx", [("a", "b")], ("Image", "Text"))
    with pytest.raises(DatasetError, match="expected the columns Image, Description; without Description"):
        read_workbook(tmp_path / "t.xlsx", NEEDED)


@pytest.mark.parametrize("content", [b"", b"Image,Description\n", b"PK\x03\x04 cut off"], ids=["empty", "csv", "cut"])
def test_what_is_no_workbook_is_said(tmp_path, content):
    (tmp_path / "t.xlsx").write_bytes(content)
    with pytest.raises(DatasetError, match=r"expected an Excel workbook \(.xlsx\)"):
        read_workbook(tmp_path / "t.xlsx", NEEDED)


def rewrite(source: Path, target: Path, member: str, content: bytes) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, content if name == member else old.read(name))


def test_every_damage_of_a_member_is_one_sentence(tmp_path):
    save_table(tmp_path / "good.xlsx", [("a", "b")])
    with zipfile.ZipFile(tmp_path / "good.xlsx") as archive:
        members = [name for name in archive.namelist() if name.endswith((".xml", ".rels"))]
    for member in members:
        rewrite(tmp_path / "good.xlsx", tmp_path / "bad.xlsx", member, b"<broken")
        with contextlib.suppress(DatasetError):
            assert read_workbook(tmp_path / "bad.xlsx", NEEDED)


@pytest.mark.parametrize("code", ["utf-8", "utf-16"])
def test_entities_are_refused_before_anything_is_parsed(tmp_path, code):
    save_table(tmp_path / "good.xlsx", [("a", "b")])
    bomb = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><worksheet>&a;</worksheet>'.encode(code)
    rewrite(tmp_path / "good.xlsx", tmp_path / "bad.xlsx", "xl/worksheets/sheet1.xml", bomb)
    with pytest.raises(DatasetError, match=r"sheet1.xml declares entities"):
        read_workbook(tmp_path / "bad.xlsx", NEEDED)


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tmca_core.data.workbook._MOST_BYTES", 1000)
    save_table(tmp_path / "t.xlsx", [("a", "b")])
    with pytest.raises(DatasetError, match="it unpacks to"):
        read_workbook(tmp_path / "t.xlsx", NEEDED)
