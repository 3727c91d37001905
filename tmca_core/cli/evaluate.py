"""`tmca evaluate`: the scores of a model on a data folder."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tmca_core.cli.options import Device, DeviceOption, ModelOption
from tmca_core.errors import StudyWriteError
from tmca_core.terminal import ProgressLine, format_table

if TYPE_CHECKING:
    from tmca_core.metrics import Scores
    from tmca_core.recipes.evaluate import SplitDone


def evaluate(
    data: Annotated[Path, typer.Option("--data", help="Data folder.")],
    layout: Annotated[str, typer.Option("--layout", help="Layout of the folder: auto, qata or cases.csv.")] = "auto",
    split: Annotated[list[str] | None, typer.Option("--split", help="Split, all by default; repeatable.")] = None,
    reports: Annotated[
        str,
        typer.Option("--reports", help="given, none, shuffled, side-swapped, reworded, or a FILE.csv: id,text."),
    ] = "given",
    model: ModelOption = "default",
    device: DeviceOption = Device.AUTO,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the scores here too.")] = None,
    cases_file: Annotated[
        Path | None, typer.Option("--cases", metavar="FILE.csv", help="Write a row for every case here.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most N cases of each split.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of --reports shuffled and reworded.")] = 0,
    leave_out_unreadable: Annotated[
        bool, typer.Option("--leave-out-unreadable", help="Score without cases that cannot be read, and name them.")
    ] = False,
) -> None:
    """Score a model on a data folder.

    One row for every split, and for every target where the data has targets.

    mean: Dice and IoU of each image, averaged. pooled: all pixels together. side: share of the one-sided reports whose
    mask lies mostly on the side that the report given states. Ranges are 95 % intervals by bootstrap over patients.
    """
    from tmca_core.data import open_dataset, patients_in_two_splits
    from tmca_core.recipes.evaluate import CaseFailed, SplitDone
    from tmca_core.recipes.evaluate import evaluate as evaluate_recipe

    chosen = _choose_reports(reports)
    for file in (json_file, cases_file):
        if file is not None:
            _check_folder_of(file)
    dataset = open_dataset(data, layout)
    _print_notes([*dataset.notes, *_name_leaks(patients_in_two_splits(dataset))])

    from tmca_core.predictor import Predictor

    predictor = Predictor.load(model, device.value)
    finished: list[SplitDone] = []
    rows: list[dict[str, Any]] = []
    with ProgressLine() as line:
        for event in evaluate_recipe(
            predictor,
            dataset,
            splits=split or None,
            reports=chosen,
            seed=seed,
            limit=limit,
            leave_out_unreadable=leave_out_unreadable,
        ):
            if isinstance(event, SplitDone):
                finished.append(event)
                continue
            line.show_count(event.case.split, event.done, event.total)
            if isinstance(event, CaseFailed):
                line.clear()
                typer.echo(f"case {event.case.id}: {event.error.message}", err=True)
            else:
                rows.append(event.as_row())
    typer.echo(_score_table(finished, markdown=markdown))
    if cases_file is not None:
        _write_csv(cases_file, rows)
    if json_file is not None:
        _write_json(json_file, {done.split: done.as_json() for done in finished})


def _choose_reports(choice: str) -> Any:
    """Return the mode, or the texts of a file by case id."""
    from tmca_core.recipes.reports import ReportMode, read_reports_file

    if choice in list(ReportMode):
        return ReportMode(choice)
    if not Path(choice).is_file():
        raise typer.BadParameter(
            f"expected {', '.join(ReportMode)} or an existing FILE.csv, got '{choice}'", param_hint="--reports"
        )
    return read_reports_file(choice)


def _name_leaks(leaks: Mapping[str, tuple[str, ...]]) -> list[str]:
    if not leaks:
        return []
    return [f"{len(leaks):,} patients stand in more than one split; scores on these splits are too high."]


def _print_notes(notes: Iterable[str]) -> None:
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def _score_table(finished: "Sequence[SplitDone]", *, markdown: bool = False) -> str:
    head = ("split", "n", "Dice mean", "Dice pooled", "IoU mean", "IoU pooled", "side")
    rows = []
    for done in finished:
        rows.append((done.split, *_score_cells(done.scores)))
        rows.append(("  95 %", "", *_interval_cells(done.intervals), ""))
        rows += [(f"  {target or '(no target)'}", *_score_cells(s)) for target, s in done.targets.items()]
    left_out = [
        f"left out of {done.split}: {', '.join(failed.case.id for failed in done.failed)}"
        for done in finished
        if done.failed
    ]
    table = _markdown(head, rows) if markdown else format_table(head, rows)
    return "\n".join([table, *left_out])


def _interval_cells(intervals: "Mapping[str, tuple[float, float]]") -> tuple[str, ...]:
    keys = ("dice_mean", "dice_pooled", "iou_mean", "iou_pooled")
    return tuple(f"{intervals[key][0]:.3f}-{intervals[key][1]:.3f}" if key in intervals else "-" for key in keys)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.strip() for cell in line)} |" for line in lines)


def _score_cells(scores: "Scores") -> tuple[str, ...]:
    fractions = (scores.dice_mean, scores.dice_pooled, scores.iou_mean, scores.iou_pooled, scores.side_accuracy)
    return (f"{scores.n:,}", *("-" if value is None else f"{value:.4f}" for value in fractions))


def _check_folder_of(path: Path) -> None:
    """Refuse a file whose folder is not there, before hours of work and not after."""
    if not path.absolute().parent.is_dir():
        raise StudyWriteError(
            f"{path}: expected an existing folder to write into, got none.", hint="Make the folder first."
        )


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    from tmca_core.atomic import atomic_write

    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["split", "id"])
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def _write_json(path: Path, values: Any) -> None:
    from tmca_core.atomic import atomic_write

    with atomic_write(path) as file:
        file.write((json.dumps(values, indent=2) + "\n").encode())
