"""`tmca evaluate`: the scores of a model on a data folder."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tmca_core.cli.files import check_folder_of, write_csv, write_json
from tmca_core.cli.options import Device, DeviceOption, LayoutOption, ModelOption
from tmca_core.terminal import ProgressLine, format_table

if TYPE_CHECKING:
    from tmca_core.data import Dataset
    from tmca_core.metrics import Scores
    from tmca_core.predictor import Predictor
    from tmca_core.recipes.evaluate import CaseDone, SplitDone


def evaluate(
    data: Annotated[Path, typer.Option("--data", help="Data folder.")],
    layout: LayoutOption = "auto",
    split: Annotated[list[str] | None, typer.Option("--split", help="Split, all by default; repeatable.")] = None,
    reports: Annotated[
        str,
        typer.Option("--reports", help="given, none, shuffled, side-swapped, reworded, all, or a FILE.csv: id,text."),
    ] = "given",
    model: ModelOption = "default",
    device: DeviceOption = Device.AUTO,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the scores here too.")] = None,
    cases_file: Annotated[
        Path | None, typer.Option("--cases", metavar="FILE.csv", help="Write a row for every case here.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    table_file: Annotated[
        Path | None, typer.Option("--table", metavar="FILE", help="Write the table here: .csv, or Markdown.")
    ] = None,
    surface: Annotated[bool, typer.Option("--surface", help="Also HD95 and surface Dice.")] = False,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="Of the surface Dice: mm, or pixels without a spacing.")
    ] = 2.0,
    trust: Annotated[
        bool, typer.Option("--trust", help="Also calibration, risk-coverage, and masks against their reports.")
    ] = False,
    floors: Annotated[
        bool, typer.Option("--floors", help="Also what is reached without the image, and without the text.")
    ] = False,
    plots: Annotated[
        Path | None, typer.Option("--plots", metavar="DIR", help="Draw worst, median and best cases, and --trust here.")
    ] = None,
    without_leaks: Annotated[
        bool,
        typer.Option("--without-leaks", help="Also without cases that have a near twin or their patient elsewhere."),
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most N cases of each split.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of --reports shuffled and reworded.")] = 0,
    leave_out_unreadable: Annotated[
        bool, typer.Option("--leave-out-unreadable", help="Score without cases that cannot be read, and name them.")
    ] = False,
) -> None:
    """Score a model on a data folder.

    One row for every split, and for every target and origin of the texts where the data names them.

    mean: Dice and IoU of each image, averaged. pooled: all pixels together. side: share of the one-sided reports whose
    mask lies mostly on the side that the report given states. Ranges are 95 % intervals by bootstrap over patients.
    """
    from tmca_core.data import open_dataset, patients_in_two_splits
    from tmca_core.recipes.evaluate_more import More
    from tmca_core.recipes.plots import require_matplotlib

    modes = _choose_modes(reports)
    for file in (json_file, cases_file, table_file, plots):
        if file is not None:
            check_folder_of(file)
    if plots is not None:
        require_matplotlib()
    dataset = open_dataset(data, layout)
    _print_notes([*dataset.notes, *_name_leaks(patients_in_two_splits(dataset))])

    from tmca_core.predictor import Predictor

    predictor = Predictor.load(model, device.value)
    options: dict[str, Any] = {
        "splits": split or None,
        "seed": seed,
        "limit": limit,
        "leave_out_unreadable": leave_out_unreadable,
    }
    options["more"] = More(surface=surface, tolerance=tolerance, trust=trust or plots is not None, floors=floors)
    options["leaks"] = _find_leaks(dataset) if without_leaks else None
    finished: dict[str, list[SplitDone]] = {}
    rows: list[dict[str, Any]] = []
    for mode, chosen in modes.items():
        finished[mode], scored = _run(predictor, dataset, reports=chosen, **options)
        rows += [({"reports": mode} if len(modes) > 1 else {}) | event.as_row() for event in scored]
        if plots is not None:
            _draw(predictor, finished[mode], scored, plots / mode if len(modes) > 1 else plots)
    head, lines = _score_lines(finished)
    more = [line for mode, done in finished.items() for line in _more_lines(done, mode if len(modes) > 1 else "")]
    typer.echo("\n".join([_markdown(head, lines) if markdown else format_table(head, lines), *more]))
    if table_file is not None:
        _write_table(table_file, head, lines)
    if cases_file is not None:
        write_csv(cases_file, rows)
    if json_file is not None:
        by_mode = {mode: {one.split: one.as_json() for one in done} for mode, done in finished.items()}
        write_json(json_file, by_mode if len(modes) > 1 else by_mode[next(iter(modes))])


def _run(predictor: "Predictor", dataset: "Dataset", **options: Any) -> tuple[list["SplitDone"], list["CaseDone"]]:
    """Evaluate under a line of progress; name the cases that cannot be read as they come."""
    from tmca_core.recipes.evaluate import CaseFailed, SplitDone
    from tmca_core.recipes.evaluate import evaluate as evaluate_recipe

    finished: list[SplitDone] = []
    scored: list[CaseDone] = []
    with ProgressLine() as line:
        for event in evaluate_recipe(predictor, dataset, **options):
            if isinstance(event, SplitDone):
                finished.append(event)
                continue
            line.show_count(event.case.split, event.done, event.total)
            if isinstance(event, CaseFailed):
                line.clear()
                typer.echo(f"case {event.case.id}: {event.error.message}", err=True)
            else:
                scored.append(event)
    return finished, scored


def _draw(predictor: "Predictor", finished: Sequence["SplitDone"], scored: Sequence["CaseDone"], folder: Path) -> None:
    from tmca_core.recipes.plots import draw_cases, draw_reliability, draw_risk_coverage

    folder.mkdir(parents=True, exist_ok=True)
    for done in finished:
        draw_cases(predictor, [e for e in scored if e.case.split == done.split], folder / f"{done.split}_cases.png")
        draw_risk_coverage(done.more["risk_coverage"], folder / f"{done.split}_risk_coverage.png")
        draw_reliability(done.more["calibration"], folder / f"{done.split}_reliability.png")


def _choose_modes(choice: str) -> dict[str, Any]:
    """Return by name the modes, or the one mode, or the texts of a file by case id."""
    from tmca_core.recipes.reports import ReportMode

    if choice == "all":
        return {mode.value: mode for mode in ReportMode}
    return {choice: _choose_reports(choice)}


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


def _find_leaks(dataset: "Dataset") -> frozenset[tuple[str, str]]:
    """Look at every picture of all splits for near twins."""
    from tmca_core.data.leaks import leaked_cases, read_fingerprints

    total = len({case.image for case in dataset.cases})
    prints = {}
    with ProgressLine() as line:
        for done, (image, found) in enumerate(read_fingerprints(dataset), 1):
            line.show_count("looking for twins", done, total)
            if found is not None:
                prints[image] = found
    return leaked_cases(dataset, prints)


def _print_notes(notes: Iterable[str]) -> None:
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def _score_lines(finished: Mapping[str, Sequence["SplitDone"]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the head and the rows of the table; with the reports' mode in front where there are several."""
    head = ("split", "n", "Dice mean", "Dice pooled", "IoU mean", "IoU pooled", "side")
    rows: list[tuple[str, ...]] = []
    for mode, splits in finished.items():
        for done in splits:
            rows.append((f"{mode}, {done.split}" if len(finished) > 1 else done.split, *_score_cells(done.scores)))
            rows.append(("  95 %", "", *_interval_cells(done.intervals), ""))
            if done.without_leaks is not None:
                rows.append((f"  without {len(done.leaks or ())} leaks", *_score_cells(done.without_leaks)))
            rows += [(f"  {target or '(no target)'}", *_score_cells(s)) for target, s in done.targets.items()]
            rows += [(f"  text: {origin or '(not said)'}", *_score_cells(s)) for origin, s in done.origins.items()]
    return head, rows


def _more_lines(finished: Sequence["SplitDone"], mode: str) -> Iterable[str]:
    """Say in words what the table does not hold."""
    for done in finished:
        name = f"{mode}, {done.split}" if mode else done.split
        if "surface" in done.more:
            s = done.more["surface"]
            median = "-" if s["hd95_median"] is None else f"{s['hd95_median']:.2f}"
            yield (
                f"{name}: HD95 median {median} {s['unit']}; surface Dice at {s['tolerance']:g} "
                f"{s['surface_dice_mean']:.4f}; {s['one_mask_empty']} cases with one empty mask"
            )
        if "calibration" in done.more:
            curve, agrees = done.more["risk_coverage"], done.more["consistency"]
            rate = "-" if agrees["rate"] is None else f"{agrees['rate']:.1%}"
            yield (
                f"{name}: ECE {done.more['calibration']['ece']:.4f}; Dice mean of the most confident 80 % "
                f"{curve['0.80']:.4f}, 50 % {curve['0.50']:.4f}; masks that do what the report states {rate} "
                f"of {agrees['n']:,}"
            )
        for floor, said in (("no_image", "without the image"), ("no_text", "without the text")):
            if floor in done.more.get("floors", {}):
                f = done.more["floors"][floor]
                yield f"{name}: floor {said}: Dice mean {f['dice_mean']:.4f}, pooled {f['dice_pooled']:.4f}"
        if done.leaks is not None:
            named = ", ".join(done.leaks) or "none"
            yield f"{name}: cases with a near twin or their patient in another split: {named}"
        if done.failed:
            yield f"left out of {name}: {', '.join(failed.case.id for failed in done.failed)}"


def _interval_cells(intervals: "Mapping[str, tuple[float, float]]") -> tuple[str, ...]:
    keys = ("dice_mean", "dice_pooled", "iou_mean", "iou_pooled")
    return tuple(f"{intervals[key][0]:.3f}-{intervals[key][1]:.3f}" if key in intervals else "-" for key in keys)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.strip() for cell in line)} |" for line in lines)


def _score_cells(scores: "Scores") -> tuple[str, ...]:
    fractions = (scores.dice_mean, scores.dice_pooled, scores.iou_mean, scores.iou_pooled, scores.side_accuracy)
    return (f"{scores.n:,}", *("-" if value is None else f"{value:.4f}" for value in fractions))


def _write_table(path: Path, head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    from tmca_core.atomic import atomic_write

    text = io.StringIO(newline="")
    if path.suffix.lower() == ".csv":
        csv.writer(text).writerows([head, *([cell.strip() for cell in line] for line in lines)])
    else:
        text.write(_markdown(head, lines) + "\n")
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
