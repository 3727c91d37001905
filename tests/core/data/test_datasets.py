"""Both layouts read as cases; every fault of a data folder in one sentence that names all of it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tmca_core.data import LAYOUTS, Case, Dataset, open_dataset, patients_in_two_splits, read_reference
from tmca_core.errors import DatasetError, TmcaError
from tmca_core.study import SideConvention

if TYPE_CHECKING:
    from pathlib import Path

PATIENT, PICTURE = SideConvention.PATIENT, SideConvention.PICTURE


def save_pixels(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def make_qata(folder: Path, splits: dict[str, list[str]], text: str = "Opacity in the left lung.") -> Path:
    """A folder in the QaTa layout with 6x8 pictures; the mask is one pixel at (1, 2)."""
    mask = np.zeros((6, 8), dtype=np.uint8)
    mask[1, 2] = 255
    (folder / "reports").mkdir(parents=True)
    for case_id in (i for ids in splits.values() for i in ids):
        save_pixels(folder / "images" / f"{case_id}.png", np.arange(48, dtype=np.uint8).reshape(6, 8))
        save_pixels(folder / "masks" / f"{case_id}.png", mask)
        (folder / "reports" / f"{case_id}.txt").write_text(text, encoding="utf-8")
    (folder / "split.json").write_text(json.dumps(splits), encoding="utf-8")
    return folder


def make_table(folder: Path, rows: list[dict[str, str]], *, with_files: bool = True) -> Path:
    """A folder with ``cases.csv`` and the files it points at."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "cases.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for path in {row[kind] for row in rows for kind in ("image", "mask") if row.get(kind)} if with_files else ():
        save_pixels(folder / path, np.zeros((4, 4), dtype=np.uint8))
    return folder


def row(case_id: str = "a", **changes: str) -> dict[str, str]:
    base = {"id": case_id, "image": f"images/{case_id}.png", "mask": f"masks/{case_id}.png", "text": "Left lung."}
    return {**base, "split": "train", "target": "left lung", "patient": "p1"} | changes


# QaTa layout


def test_qata_cases_carry_paths_split_and_patient(tmp_path):
    folder = make_qata(tmp_path / "d", {"train": ["cxr_s10505-e21208-r1", "covid_0001"], "val": ["covid_0002"]})

    dataset = open_dataset(folder)

    first = dataset.cases[0]
    assert dataset.layout == "qata"
    assert first.image == folder / "images" / "cxr_s10505-e21208-r1.png"
    assert first.mask == folder / "masks" / "cxr_s10505-e21208-r1.png"
    assert [case.patient for case in dataset.cases] == ["s10505", "covid_0001", "covid_0002"]
    assert [case.split for case in dataset.cases] == ["train", "train", "val"]


def test_qata_texts_are_turned_to_the_patients_side(tmp_path):
    folder = make_qata(tmp_path / "d", {"val": ["a"]}, "Unilateral infection, Upper left lung.")
    (case,) = open_dataset(folder).cases
    assert case.text == "Unilateral infection, Upper right lung."
    assert case.side_convention is PATIENT


def test_qata_images_may_be_jpeg(tmp_path):
    folder = make_qata(tmp_path / "d", {"val": ["a"]})
    (folder / "images" / "a.png").rename(folder / "images" / "a.jpg")
    assert open_dataset(folder).cases[0].image.name == "a.jpg"


def test_qata_images_in_no_split_are_told(tmp_path):
    folder = make_qata(tmp_path / "d", {"val": ["a", "b"]})
    (folder / "split.json").write_text('{"val": ["a"]}', encoding="utf-8")
    dataset = open_dataset(folder)
    assert [case.id for case in dataset.cases] == ["a"]
    assert any("In no split and not used: 1 image (b)." in note for note in dataset.notes)


def test_qata_missing_files_are_all_named_at_once(tmp_path):
    folder = make_qata(tmp_path / "d", {"train": [f"c{n:02d}" for n in range(13)]})
    (folder / "images" / "c00.png").unlink()
    (folder / "reports" / "c01.txt").unlink()
    for n in range(12):
        (folder / "masks" / f"c{n:02d}.png").unlink()

    with pytest.raises(DatasetError, match="expected images and masks and reports for 13 cases") as caught:
        open_dataset(folder)

    said = caught.value.message
    assert "1 image (images/c00.png)" in said
    assert "12 masks (masks/c00.png, masks/c01.png" in said
    assert "masks/c09.png and 2 more)" in said
    assert "1 report (reports/c01.txt)" in said
    assert caught.value.hint == "Add the files, or take these cases out of the list."


def test_qata_without_its_image_folder_names_the_images(tmp_path):
    folder = make_qata(tmp_path / "d", {"train": ["a"]})
    (folder / "images").rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=r"missing: 1 image \(images/a.png\)"):
        open_dataset(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"train": [', "cannot be read"),
        ("[1, 2]", "expected an object of id lists"),
        ('{"train": "a"}', "expected an object of id lists"),
        ('{"train": [1]}', "expected an object of id lists"),
        ('{"train": [""]}', "expected an object of id lists"),
        ('{"train": []}', "expected an object of id lists"),
        ("{}", "expected an object of id lists"),
        ('{"train": ["a"], "val": ["a"]}', "expected every id once, 1 stand more than once: a"),
    ],
    ids=["cut-off", "list", "string", "numbers", "blank-id", "no-id", "empty", "twice"],
)
def test_qata_split_file_faults_are_named(tmp_path, content, said):
    folder = make_qata(tmp_path / "d", {"train": ["a"]})
    (folder / "split.json").write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match=said) as caught:
        open_dataset(folder)
    assert "split.json" in caught.value.message


def test_qata_two_images_of_one_id_are_refused(tmp_path):
    folder = make_qata(tmp_path / "d", {"train": ["a"]})
    save_pixels(folder / "images" / "a.jpg", np.zeros((6, 8), dtype=np.uint8))
    with pytest.raises(DatasetError, match="expected every id once, 1 stand more than once: a"):
        open_dataset(folder)


# cases.csv layout


def test_table_rows_become_cases(tmp_path):
    folder = make_table(
        tmp_path / "d",
        [
            row("a", text='Opacity, "left" base.\nSecond line.', source="elsewhere"),
            row("b", image="images/a.png", split="test", target="heart mediastinum", mask="", source=""),
        ],
    )
    dataset = open_dataset(folder)
    assert dataset.layout == "cases.csv"
    assert dataset.cases == (
        Case(
            id="a",
            image=folder / "images/a.png",
            mask=folder / "masks/a.png",
            text='Opacity, "left" base.\nSecond line.',
            split="train",
            target="left lung",
            patient="p1",
            side_convention=PATIENT,
            instruction="Target: left lung.",
        ),
        Case(
            id="b",
            image=folder / "images/a.png",
            mask=None,
            text="Left lung.",
            split="test",
            target="heart mediastinum",
            patient="p1",
            side_convention=PATIENT,
            instruction="Target: heart mediastinum.",
        ),
    )
    assert "2 targets: each report is led by a sentence that names its target" in dataset.notes


def test_a_table_with_one_target_and_normal_cases_gives_no_instruction(tmp_path):
    folder = make_table(tmp_path / "d", [row("a", target="tumour"), row("b", target="none (normal)")])
    assert {case.instruction for case in open_dataset(folder).cases} == {""}


def test_table_without_patient_or_target_column_takes_each_case_as_a_patient(tmp_path):
    rows = [{k: v for k, v in row(i).items() if k not in ("patient", "target")} for i in "ab"]
    dataset = open_dataset(make_table(tmp_path / "d", rows))
    assert [case.patient for case in dataset.cases] == ["a", "b"]
    assert {case.target for case in dataset.cases} == {""}
    assert "the targets do not say what 'left' means" in dataset.notes[0]


def test_table_with_an_unnamed_column_is_read(tmp_path):
    folder = make_table(tmp_path / "d", [{"": "0"} | row("a")])
    assert open_dataset(folder).cases[0].id == "a"


def test_table_with_byte_order_mark_is_read(tmp_path):
    folder = make_table(tmp_path / "d", [row("a")])
    table = folder / "cases.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    assert open_dataset(folder).cases[0].id == "a"


@pytest.mark.parametrize(
    ("target", "convention"),
    [
        ("covid infection", PATIENT),
        ("lung opacity (GGO or consolidation)", PATIENT),
        ("FLAIR abnormality (glioma)", PATIENT),
        ("polyp", PICTURE),
        ("breast tumour", PICTURE),
        ("cell nuclei", PICTURE),
    ],
)
def test_target_decides_what_left_means_and_texts_stay(tmp_path, target, convention):
    rows = [row("a", target=target), row("b", target="none (normal)")]
    dataset = open_dataset(make_table(tmp_path / "d", rows))
    assert {case.side_convention for case in dataset.cases} == {convention}
    assert {case.text for case in dataset.cases} == {"Left lung."}


@pytest.mark.parametrize(
    ("stated", "target", "text", "convention"),
    [
        ("patient", "polyp", "Left lung.", PATIENT),
        ("Picture", "something", "Left lung.", PICTURE),
        ("picture", "left lung", "Right lung.", PATIENT),
        ("", "left lung", "Left lung.", PATIENT),
    ],
    ids=["stated-wins", "any-case", "picture-side-of-a-radiograph-is-swapped", "blank-cell"],
)
def test_stated_side_convention_wins_over_the_target(tmp_path, stated, target, text, convention):
    folder = make_table(tmp_path / "d", [row("a", target=target, side_convention=stated)])
    (case,) = open_dataset(folder).cases
    assert (case.text, case.side_convention) == (text, convention)


def test_unknown_side_convention_is_named(tmp_path):
    folder = make_table(tmp_path / "d", [row("a", side_convention="viewer")])
    with pytest.raises(DatasetError, match="expected patient or picture in the column 'side_convention', got viewer"):
        open_dataset(folder)


def test_two_kinds_of_picture_need_a_stated_convention(tmp_path):
    rows = [row("a", target="polyp"), row("b", target="lung")]
    with pytest.raises(DatasetError, match="expected one kind of picture, the targets polyp, lung"):
        open_dataset(make_table(tmp_path / "d", rows))

    stated = [row("a", target="polyp", side_convention="picture"), row("b", target="lung", side_convention="patient")]
    cases = open_dataset(make_table(tmp_path / "e", stated)).cases
    assert [case.side_convention for case in cases] == [PICTURE, PATIENT]


def test_table_missing_files_are_all_named_at_once(tmp_path):
    folder = make_table(tmp_path / "d", [row("a"), row("b"), row("c", mask="")], with_files=False)
    with pytest.raises(DatasetError) as caught:
        open_dataset(folder)
    assert "3 images (images/a.png, images/b.png, images/c.png)" in caught.value.message
    assert "2 masks (masks/a.png, masks/b.png)" in caught.value.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "expected the columns id, image, mask, text, split; without id, image, mask, text, split, it has none"),
        ("id,image,text\n", "without mask, split, it has id, image, text"),
        ("id,image,mask,text,split\n", "expected at least one row below the header"),
        ("id,image,mask,text,split\na,i,m,Left, upper,train\n", "expected as many cells as columns, rows 1 have"),
        ("id,image,mask,text,split\na,i,m\n", "expected as many cells as columns, rows 1 have"),
        ("id,image,mask,text,split\n ,i,m,t,s\n", "expected a value for 'id' in every row, it is blank in rows 1"),
        ("id,image,mask,text,split\na,i,m,t,\n", "expected a value for 'split' in every row"),
        ("id,image,mask,text,split\na,i,m,t,s\na,j,m,t,s\n", "expected every id once, 1 stand more than once: a"),
        (b"id,image,mask,text,split\na,i,m,caf\xe9,s\n", "expected a UTF-8 CSV table"),
        ("id,image,mask,text,split\na,i,m," + "x" * 200_000 + ",s\n", "expected a UTF-8 CSV table"),
    ],
    ids=["empty", "columns", "rows", "comma", "cut", "blank-id", "blank-split", "twice", "latin-1", "giant-cell"],
)
def test_table_faults_are_named(tmp_path, content, said):
    table = tmp_path / "cases.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetError, match=said) as caught:
        open_dataset(tmp_path)
    assert "cases.csv" in caught.value.message
    assert caught.value.hint


# any layout


def test_missing_folder_is_said(tmp_path):
    with pytest.raises(DatasetError, match="expected a data folder, got nothing there"):
        open_dataset(tmp_path / "nowhere")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(DatasetError, match="expected a data folder, got a file"):
        open_dataset(tmp_path / "x")


def test_unknown_layout_of_a_folder_says_what_was_expected(tmp_path):
    with pytest.raises(DatasetError, match=r"expected split.json, images/, masks/, reports/; or cases.csv with"):
        open_dataset(tmp_path)


def test_unknown_layout_name_lists_the_known_ones(tmp_path):
    with pytest.raises(DatasetError, match=r"Layout 'lvitt': expected auto, qata, cases.csv"):
        open_dataset(tmp_path, layout="lvitt")


def test_a_layout_that_the_folder_does_not_have_is_said(tmp_path):
    folder = make_table(tmp_path / "d", [row("a")])
    with pytest.raises(DatasetError, match="expected layout 'qata'"):
        open_dataset(folder, layout="qata")
    assert open_dataset(folder, layout="cases.csv").layout == "cases.csv"


def test_unknown_split_lists_the_present_ones(tmp_path):
    dataset = open_dataset(make_table(tmp_path / "d", [row("a"), row("b", split="odd"), row("c", split="test")]))
    assert dataset.splits == ("train", "test", "odd")
    assert [case.id for case in dataset.split("odd")] == ["b"]
    with pytest.raises(DatasetError, match="expected a split named 'val', the folder has train, test, odd"):
        dataset.split("val")


def test_a_patient_on_both_sides_of_a_split_is_reported(tmp_path):
    ids = {"train": ["cxr_s7-e1-r1", "cxr_s7-e2-r1", "a"], "val": ["cxr_s7-e3-r1", "b"]}
    dataset = open_dataset(make_qata(tmp_path / "d", ids))
    assert patients_in_two_splits(dataset) == {"s7": ("train", "val")}
    assert patients_in_two_splits(Dataset(tmp_path, "qata", dataset.split("val"))) == {}


def test_reference_is_boolean_on_the_files_grid(tmp_path):
    (case,) = open_dataset(make_qata(tmp_path / "d", {"val": ["a"]})).cases
    reference = read_reference(case)
    assert reference.dtype == np.bool_
    assert reference.shape == (6, 8)
    assert np.argwhere(reference).tolist() == [[1, 2]]


def test_a_case_without_reference_says_so(tmp_path):
    (case,) = open_dataset(make_table(tmp_path / "d", [row("a", mask="")])).cases
    with pytest.raises(DatasetError, match=r"a\.png: expected a reference mask, the data folder has none for it"):
        read_reference(case)


def test_every_error_is_one_the_user_sees_in_two_sentences(tmp_path):
    with pytest.raises(TmcaError) as caught:
        open_dataset(tmp_path)
    assert caught.value.message.endswith(".")
    assert caught.value.hint.endswith(".")


def test_layout_names_are_unique():
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)


def test_opening_a_dataset_needs_no_torch(tmp_path):
    folder = make_qata(tmp_path / "d", {"val": ["a"]})
    code = "import sys, tmca_core.data as d; d.open_dataset(sys.argv[1]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
