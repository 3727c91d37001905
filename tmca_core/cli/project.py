"""`tmca project ...`: an annotation project on disk, without a window."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tmca_core.cli.options import AffineOption, Device, DeviceOption, ModelOption, ShrinkOption, SpacingOption
from tmca_core.errors import ConfigError, ProjectError
from tmca_core.terminal import ProgressLine

app = typer.Typer(
    help="Annotation projects: cases on disk with their reports, masks and provenance.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Folder = Annotated[Path, typer.Argument(help="Folder of the project.")]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="An empty folder, or one that does not exist yet.")],
    name: Annotated[str, typer.Option("--name", help="Name for people; the folder's where not given.")] = "",
) -> None:
    """Make a project."""
    from tmca_core.project import Project

    with Project.create(folder, name) as project:
        typer.echo(f"made the project {project.name} in {project.folder}")


@app.command()
def add(
    folder: Folder,
    paths: Annotated[list[Path], typer.Argument(help="Images, folders, or CSV tables with image, report, mask.")],
    spacing: SpacingOption = None,
    affine: AffineOption = None,
    shrink: ShrinkOption = 1,
) -> None:
    """Add images to a project; they stay where they are.

    In a folder, name.txt is the report of name.png, and name_mask.png its mask. How to read the images (--spacing,
    --affine, --shrink) is kept with each case; a table may have a column of that name instead.
    """
    from tmca_core.io.spacing import parse_spacing
    from tmca_core.project import CaseAdded, Project
    from tmca_core.study import Reading

    reading = Reading(
        affine=None if affine is None else affine.value,
        spacing=None if spacing is None else parse_spacing(spacing),
        shrink=shrink,
    )

    num_added = num_skipped = 0
    with Project.open(folder) as project:
        for event in project.add(paths, reading):
            if isinstance(event, CaseAdded):
                num_added += 1
                for note in event.notes:
                    typer.echo(f"{event.record.id}  {event.record.name}: {note}", err=True)
            else:
                num_skipped += 1
                typer.echo(f"skipped {event.image.name}: {event.reason}", err=True)
    typer.echo(f"added {num_added:,}, skipped {num_skipped:,}")
    if num_skipped and not num_added:
        raise ProjectError("No image was added.", hint="What was wrong with each stands above.")


@app.command("list")
def list_cases(
    folder: Folder,
    status: Annotated[str, typer.Option("--status", help="new, segmented, corrected, approved or flagged.")] = "",
    text: Annotated[str, typer.Option("--text", help="In file name, modality, annotator or comment.")] = "",
    sort: Annotated[
        str, typer.Option("--sort", help="id, name, modality, size, status, annotator, time, dice.")
    ] = "id",
) -> None:
    """List the cases of a project, tab-separated."""
    from tmca_core.project import Project, Status
    from tmca_core.project.index import SORTS

    _check("--status", status, ("", *(known.value for known in Status)))
    _check("--sort", sort, tuple(SORTS))
    with Project.open(folder) as project:
        for record in project.cases(status=status, text=text, sort=sort):
            dice = "" if record.dice_ai is None else f"{record.dice_ai:.3f}"
            size = "x".join(map(str, record.shape))
            cells = (record.id, record.status.value, record.name, record.modality, size)
            typer.echo("\t".join((*cells, record.annotator, f"{record.active_s:.0f} s", dice, record.comment)))
        for sentence in project.unreadable:
            typer.echo(f"warning: {sentence}", err=True)


@app.command()
def segment(
    folder: Folder,
    model: ModelOption = "default",
    device: DeviceOption = Device.AUTO,
    only_new: Annotated[
        bool, typer.Option("--only-new", help="Leave the network's masks of before as they are; segment new cases.")
    ] = False,
    who: Annotated[str, typer.Option("--who", help="Who asked for it, as it will stand in the records.")] = "",
) -> None:
    """Segment the cases of a project by their reports.

    Cases that somebody has open, corrected, approved, flagged or left unsaved work in are left alone.
    """
    from tmca_core.project import Project, Status

    with Project.open(folder) as project:
        records = project.cases(status=Status.NEW if only_new else "")
        from tmca_core.predictor import Predictor
        from tmca_core.recipes.segment_cases import CaseLeft, CaseSegmented, segment_cases, summarise

        predictor = Predictor.load(model, device.value)
        ids, outcomes = [record.id for record in records], []
        with ProgressLine() as line:
            for event in segment_cases(project, ids, predictor, who, only_new=only_new):
                outcomes.append(event.outcome)
                line.show_count("case", event.done, event.total)
    typer.echo(summarise(outcomes))
    has_faults = any(isinstance(outcome, CaseLeft) and outcome.is_fault for outcome in outcomes)
    if has_faults and not any(isinstance(outcome, CaseSegmented) for outcome in outcomes):
        raise ProjectError("No case was segmented.", hint="What was wrong stands above.")


@app.command("hold-out")
def hold_out(
    folder: Folder,
    cases: Annotated[list[str], typer.Argument(help="Numbers of cases, such as 00004.")],
    never: Annotated[bool, typer.Option("--never", help="Never hold them out: always learn from them.")] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Leave it to the next training.")] = False,
) -> None:
    """Mark cases that judge a training and are not learned from; all cases of a patient go together."""
    from tmca_core.project import Project

    with Project.open(folder) as project:
        project.hold_out(cases, None if clear else not never)
        held_out = sum(project.held_out.values())
        typer.echo(f"{held_out:,} held out, {len(project.held_out) - held_out:,} never")


@app.command()
def rebuild(folder: Folder) -> None:
    """Make the index anew from the files of the cases."""
    from tmca_core.project import Project

    with Project.open(folder) as project:
        typer.echo(f"{project.rebuild():,} cases")
        project.know_patients()
        for sentence in project.unreadable:
            typer.echo(f"warning: {sentence}", err=True)


@app.command("export-csv")
def export_csv(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="Table to write, one row per case.")],
) -> None:
    """Write a table of the study: status, time, Dice between proposed and final mask, model, hashes."""
    from tmca_core.project import Project
    from tmca_core.project import export_csv as export

    with Project.open(folder) as project:
        typer.echo(f"{export(project, out):,} cases written to {out}")


class Layouts(StrEnum):
    """Layouts that cases can be written in."""

    NNUNET = "nnunet"
    COCO = "coco"


@app.command()
def export(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="An empty folder, or one that does not exist yet.")],
    layout: Annotated[Layouts, typer.Option("--layout", help="What reads the folder.")] = Layouts.NNUNET,
    status: Annotated[str, typer.Option("--status", help="Only cases of this status, such as approved.")] = "",
    has_reports: Annotated[
        bool, typer.Option("--reports", help="Write the reports, too; they may name a patient.")
    ] = False,
) -> None:
    """Write cases with their masks as one folder for training programs.

    The annotator's mask counts before the network's. Cases without a mask are left out.
    """
    from tmca_core.project import Project, Status, export_cases

    _check("--status", status, ("", *(known.value for known in Status)))
    with Project.open(folder) as project, ProgressLine() as line:
        ids = [record.id for record in project.cases(status=status)]
        done = export_cases(
            project,
            ids,
            out,
            layout.value,
            has_reports=has_reports,
            on_case=lambda number, total: line.show_count("case", number, total),
        )
    for reason in done.skipped:
        typer.echo(f"left out {reason}", err=True)
    typer.echo(f"exported {done.num_cases:,} to {out}, labels {', '.join(done.labels)}")


@app.command()
def methods(folder: Folder) -> None:
    """Print a paragraph for the methods section of a paper."""
    from tmca_core.project import Project, methods_text

    with Project.open(folder) as project:
        typer.echo(methods_text(project))


def _check(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        names = ", ".join(name for name in known if name)
        raise ConfigError(f"{option}: expected one of {names}, got {value}.", hint="Choose one of them.")
