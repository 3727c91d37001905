"""`tmca data`: look through a data folder, and write it in another layout."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tmca_core.cli.files import check_folder_of, write_json
from tmca_core.cli.options import LayoutOption
from tmca_core.errors import DatasetError
from tmca_core.terminal import ProgressLine, format_table

if TYPE_CHECKING:
    from tmca_core.recipes.check_data import Checked

data = typer.Typer(
    name="data",
    help="Look through a data folder, or write it in another layout.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class OwnLayout(StrEnum):
    """Layouts that can be written."""

    CASES_CSV = "cases-csv"
    QATA = "qata"


@data.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Data folder.")],
    layout: LayoutOption = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write what was found here.")] = None,
) -> None:
    """Say what is in a data folder and what is wrong with it.

    Reads every image and mask. Exit code 1 where scores or trainings would go wrong: files that are missing or cannot
    be read, masks that do not fit, patients or nearly equal pictures in two splits, sides that mean the other left.
    """
    from tmca_core.data import open_dataset
    from tmca_core.recipes.check_data import CaseSeen, check_data

    if json_file is not None:
        check_folder_of(json_file)
    try:
        dataset = open_dataset(folder, layout)
    except DatasetError as error:
        if json_file is not None:
            write_json(json_file, {"folder": folder.name, "error": error.message, "hint": error.hint})
        raise
    with ProgressLine() as line:
        for event in check_data(dataset):
            if isinstance(event, CaseSeen):
                line.show_count("cases", event.done, event.total)
                continue
            line.clear()
            typer.echo(_describe(event))
            if json_file is not None:
                write_json(json_file, event.as_json())
            if event.has_faults:
                raise typer.Exit(1)


@data.command()
def convert(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Data folder.")],
    to: Annotated[OwnLayout, typer.Option("--to", help="Layout to write.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New folder.")],
    layout: LayoutOption = "auto",
) -> None:
    """Write a data folder in another layout: images and masks as they are, texts in the project's convention."""
    from tmca_core.data import open_dataset
    from tmca_core.data.convert import convert_dataset

    dataset = open_dataset(folder, layout)
    for note in dataset.notes:
        typer.echo(f"note: {note}", err=True)
    with ProgressLine() as line:
        for done, total in convert_dataset(dataset, out, to.value):
            line.show_count("cases", done, total)
    typer.echo(f"{len(dataset.cases):,} cases in {out}")


def _describe(checked: "Checked") -> str:
    head = ("split", "cases", "images", "patients", "empty masks", "no mask", "no text")
    rows = [
        (name, *(f"{n:,}" for n in (c.cases, c.images, c.patients, c.empty_masks, c.without_mask, c.without_text)))
        for name, c in checked.splits.items()
    ]
    lines = [f"{checked.folder}: layout {checked.layout}", format_table(head, rows)]
    lines += [f"note: {note}" for note in checked.notes]
    lines += [
        f"{'FAULT' if remark.is_fault else 'know'}: {remark.text}{_ids(remark.ids)}" for remark in checked.remarks
    ]
    if not checked.has_faults:
        lines.append("No fault found.")
    return "\n".join(lines)


def _ids(ids: tuple[str, ...], limit: int = 3) -> str:
    if not ids:
        return ""
    more = f", and {len(ids) - limit:,} more" if len(ids) > limit else ""
    return f" [{', '.join(ids[:limit])}{more}]"
