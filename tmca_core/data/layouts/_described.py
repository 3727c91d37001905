"""What the layouts of LViT, LanGuideMedSeg and MedCLIPSeg share: folders of pictures, tables of descriptions.

A row may name the image or its mask: QaTa-COV19's tables say ``mask_covid_1.png``, whose image is ``covid_1.png``;
MosMedData+'s and all others' say what both files are called, apart from their endings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tmca_core.data.case import Case, Dataset
from tmca_core.data.layouts._common import IMAGE_SUFFIXES, refuse_missing
from tmca_core.data.layouts._sides import decide_described_sides
from tmca_core.data.table import count, name_some, refuse_duplicates
from tmca_core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

NEEDED = ("Image", "Description")
_PREFIX, _SUFFIX = "mask_", "_mask"
_PATIENTS = (
    re.compile(r"^cxr_(?P<patient>s\d+)-e\d+-r\d+$"),  # BIMCV, in QaTa-COV19
    re.compile(r"^(?P<patient>(?:Morozov_study|Jun)_.+)_\d+$"),  # MosMedData+: a slice of a study
)


@dataclass(frozen=True)
class Part:
    """One split on disk.

    Attributes
    ----------
    split : str
        "train", "val" or "test".
    table : Path
        Where its rows come from.
    rows : tuple of dict
        With the keys of ``NEEDED``, perhaps ``side_convention``.
    images, masks : Path
        Folders.
    is_shared : bool
        Whether other splits use the same folders: then only the files that its rows name are its cases.

    """

    split: str
    table: Path
    rows: tuple[dict[str, str], ...]
    images: Path
    masks: Path
    is_shared: bool = False


def split_files(folder: Path, split: str, places: Iterable[Path]) -> Path:
    """Return the workbook of a split: ``Train_text.xlsx``, or the only one whose name begins and reads like that.

    Raises
    ------
    DatasetError
        If there is none, or several and none is called ``..._text.xlsx`` or ``..._text_original.xlsx``.

    """
    name = split.capitalize()
    found = [
        path
        for place in places
        for path in sorted(place.glob("*.xlsx"))
        if re.match(rf"{name}\w*[ _]text", path.stem, re.IGNORECASE) and not path.name.startswith("~$")
    ]
    usual = [p for stem in (f"{name}_text", f"{name}_text_original") for p in found if p.stem == stem]
    if usual or len(found) == 1:
        return (usual or found)[0]
    got = f"got {name_some(str(p.relative_to(folder)) for p in found)}" if found else "got none"
    raise DatasetError(
        f"{folder}: expected the texts of the split '{split}' in {name}_text.xlsx, {got}.",
        hint="Put the table there, with the columns Image and Description.",
    )


def read_described(folder: Path, layout: str, parts: Sequence[Part], notes: Iterable[str] = ()) -> Dataset:
    """Read all splits as cases; texts are turned to the project's convention.

    Raises
    ------
    DatasetError
        If a row stands twice, or an image, a mask or a text is missing (all named).

    """
    found = [(part, *_match(part)) for part in parts]
    missing: dict[str, list[str]] = {"images": [], "masks": [], "texts": []}
    unused: list[str] = []
    for part, matches, without_files in found:
        unused += without_files
        for match in matches:
            for kind, path in (("images", match.image), ("masks", match.mask), ("texts", match.row)):
                if path is None:
                    missing[kind].append(f"{part.images.parent.name}/{match.stem}")
    refuse_missing(folder, sum(len(matches) for _, matches, _ in found), missing)
    taken = [match.stem for _, matches, _ in found for match in matches]
    is_unique = len(set(taken)) == len(taken)
    rows = [{**m.row, "text": m.row["Description"]} for _, matches, _ in found for m in matches if m.row]
    policy = decide_described_sides(folder, rows)
    cases = []
    for (part, match), row in zip(((part, m) for part, matches, _ in found for m in matches), rows, strict=True):
        text, convention = policy.convert(row)
        assert match.image is not None
        cases.append(
            Case(
                id=match.stem if is_unique else f"{part.split}-{match.stem}",
                image=match.image,
                mask=match.mask,
                text=text,
                split=part.split,
                target="",
                patient=patient_of(match.stem),
                side_convention=convention,
            )
        )
    if not cases:
        raise DatasetError(f"{folder}: expected at least one image, got none.", hint="Check the path.")
    told = [f"Rows without a file, not used: {count(len(unused), 'rows')} ({name_some(unused)})."] if unused else []
    return Dataset(folder, layout, tuple(cases), (*policy.notes, *notes, *told))


def patient_of(stem: str) -> str:
    """Return the patient whose picture has this name, without its ending; the name itself where it does not say."""
    for pattern in _PATIENTS:
        found = pattern.match(stem)
        if found:
            return found["patient"]
    return stem


@dataclass(frozen=True)
class _Match:
    stem: str
    image: Path | None
    mask: Path | None
    row: dict[str, str] | None


def _match(part: Part) -> tuple[list[_Match], list[str]]:
    """Return what belongs together, in the table's order and then what it does not name; and rows without any file."""
    refuse_duplicates(part.table, (_bare(row["Image"]) for row in part.rows))
    rows = {_bare(row["Image"]): row for row in part.rows}
    images, masks = _files(part.images), _files(part.masks)
    without_files = [row["Image"] for stem, row in rows.items() if stem not in images and stem not in masks]
    stems = [stem for stem in rows if stem in images or stem in masks]
    if part.is_shared:
        without_files, stems = [], list(rows)
    else:
        stems += [stem for stem in dict.fromkeys((*images, *masks)) if stem not in rows]
    return [_Match(stem, images.get(stem), masks.get(stem), rows.get(stem)) for stem in stems], without_files


def _bare(name: str) -> str:
    """Return the name of a picture without folder, ending and what marks a mask."""
    stem = re.sub(r"\.(png|jpe?g|tiff?|bmp)$", "", name.replace("\\", "/").rsplit("/", 1)[-1], flags=re.IGNORECASE)
    return stem.removeprefix(_PREFIX).removesuffix(_SUFFIX)


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    refuse_duplicates(folder, (_bare(path.name) for path in files))
    return {_bare(path.name): path for path in files}
