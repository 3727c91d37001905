"""`tmca finetune`: corrected cases in, a new version of a model out, with before and after on cases set aside."""

import contextlib
import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tmca_core.cli.options import Device, DeviceOption
from tmca_core.terminal import ProgressLine, format_bytes, format_duration, format_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tmca_core.data.corrected import FolderSource
    from tmca_core.data.corrected_project import ProjectSource
    from tmca_core.recipes.before_after import Comparison
    from tmca_core.recipes.finetune import FinetuneConfig

DataOption = Annotated[Path | None, typer.Option("--data", help="Data folder of cases, of any layout.")]
ProjectOption = Annotated[Path | None, typer.Option("--project", help="Annotation project, in the place of --data.")]
CONTROL = "control"
_POLL_S = 0.2


def finetune(
    data: DataOption = None,
    project: ProjectOption = None,
    model: Annotated[
        str, typer.Option("--model", help="The model to learn on; by default the one in use.")
    ] = "default",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the new model; by default beside the installed ones.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full/--adapters", help="Train all weights; by default a small adapter and the decoder.")
    ] = False,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="At most so many epochs, of ten steps each.")] = 30,
    minutes: Annotated[float, typer.Option("--minutes", min=0, help="About so many minutes, whatever --epochs.")] = 0,
    cases: Annotated[int, typer.Option("--cases", min=0, help="So many cases, evenly spread; 0 for all.")] = 0,
    replay: Annotated[
        Path | None, typer.Option("--replay", help="Data folder mixed in so that it is not forgotten; else phantoms.")
    ] = None,
    learning_rate: Annotated[float, typer.Option("--learning-rate", min=0, help="Peak learning rate.")] = 1e-3,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same model on a CPU.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a case that cannot be used.")] = False,
    use_if_better: Annotated[bool, typer.Option("--use-if-better", help="Use the new model if it is better.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting of the recipe. Repeatable."),
    ] = None,
    device: DeviceOption = Device.AUTO,
    events_json: Annotated[bool, typer.Option("--events-json", help="Print every event as a line of JSON.")] = False,
) -> None:
    """Learn from corrected cases: those of a folder, or the corrected and approved ones of an annotation project.

    A fifth of the patients is set aside and judges the result; the old model stays unless the new one is better. A run
    that was killed continues when the same command is given again. Several processes: torchrun --nproc-per-node=2 -m
    tmca_core.cli finetune ... --out FOLDER; they share out each batch, one writes and speaks.
    """
    from tmca_core.recipes.finetune import FinetuneFinished, event_as_json
    from tmca_core.recipes.processes import is_first_process

    source = make_source(data, project, limit=cases)
    config = make_config(
        _chosen_out(out, model),
        settings or [],
        model=model,
        mode="full" if full else "adapters",
        num_epochs=epochs,
        minutes=minutes,
        replay=replay,
        learning_rate=learning_rate or 1e-3,
        seed=seed,
        strict=strict,
        device=device.value,
    )
    with ProgressLine() as line:
        for event in _controlled(config, source):
            if not is_first_process():
                continue
            if events_json:
                sys.stdout.write(json.dumps(event_as_json(event)) + "\n")
                sys.stdout.flush()
            else:
                _tell(event, line)
            if isinstance(event, FinetuneFinished):
                _offer(event, use_if_better=use_if_better, is_quiet=events_json)


def make_source(data: Path | None, project: Path | None, *, limit: int = 0) -> "FolderSource | ProjectSource":
    """Return where the cases come from.

    Raises
    ------
    ConfigError
        Unless exactly one of the two is given.

    """
    from tmca_core.data.corrected import FolderSource
    from tmca_core.data.corrected_project import ProjectSource
    from tmca_core.errors import ConfigError

    if data is not None and project is None:
        return FolderSource(data, limit=limit)
    if project is not None and data is None:
        return ProjectSource(project, limit=limit)
    got = "both" if data is not None else "neither"
    raise ConfigError(f"Expected --data or --project, got {got}.", hint="Give the folder of cases, or the project.")


def _chosen_out(out: Path | None, model: str) -> Path:
    from tmca_core.model.checkpoint import find_model, models_folder, read_manifest
    from tmca_core.model.store import next_name

    return out if out is not None else models_folder() / next_name(read_manifest(find_model(model)).name)


def make_config(out: Path, settings: list[str], **values: Any) -> "FinetuneConfig":
    """Return the recipe's configuration; a key or value that it does not take is a ConfigError."""
    from pydantic import ValidationError

    from tmca_core.errors import ConfigError
    from tmca_core.recipes.finetune import FinetuneConfig

    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator:
            raise ConfigError(f"'{setting}': expected KEY=VALUE.", hint="For example rank=4.")
        values[key.strip()] = text.strip()
    try:
        return FinetuneConfig(out=out, **values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"'{where}': {first['msg']}.", hint=f"Settings are {', '.join(sorted(FinetuneConfig.model_fields))}."
        ) from error


def _controlled(config: "FinetuneConfig", source: Any) -> "Iterator[Any]":
    """Yield the recipe's events, obeying what somebody writes into the run's control file: pause, stop or cancel."""
    from tmca_core.recipes.finetune import RUN
    from tmca_core.recipes.finetune import finetune as recipe
    from tmca_core.recipes.processes import is_alone, is_first_process

    if not is_first_process():  # it follows the first one
        yield from recipe(config, source)
        return
    control = config.out / RUN / CONTROL
    control.unlink(missing_ok=True)
    events = recipe(config, source)
    command = ""
    try:
        event = next(events)
        while True:
            yield event
            while (command := _read(control)) == "pause":
                time.sleep(_POLL_S)
            if command == "cancel" and is_alone():
                break  # at once, also while the recipe waits for room on the disk
            event = events.send("stop" if command == "stop" else "cancel" if command == "cancel" else None)
    except StopIteration:
        if command != "cancel":
            return
    finally:
        events.close()
        control.unlink(missing_ok=True)
    shutil.rmtree(config.out / RUN, ignore_errors=True)
    with contextlib.suppress(OSError):
        config.out.rmdir()  # unless something else is in it


def _read(control: Path) -> str:
    try:
        return control.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _tell(event: Any, line: ProgressLine) -> None:
    from tmca_core.data.table import count
    from tmca_core.recipes.finetune import BatchHalved, CasesTaken, EpochChecked, Paused
    from tmca_core.recipes.train import StepDone

    if isinstance(event, StepDone):
        line.show(
            f"epoch {event.epoch}, step {event.step:,} of at most {event.num_steps:,}: loss {event.loss:.3f}, "
            f"{format_duration(event.eta_s)} left"
        )
        return
    line.clear()
    if isinstance(event, CasesTaken):
        resumed = f"; continued at step {event.resumed_at_step:,}" if event.resumed_at_step else ""
        typer.echo(
            f"{count(event.num_train, 'cases')} to learn from, {event.num_held_out:,} held out, "
            f"{event.num_replay:,} replayed; {event.num_parameters:,} weights are trained{resumed}"
        )
        for note in event.notes:
            typer.echo(f"note: {note}")
        typer.echo(f"before: Dice {event.dice_before:.4f} held out, {event.reference_before:.4f} on the reference set")
    elif isinstance(event, EpochChecked):
        best = " (best)" if event.is_best else ""
        typer.echo(
            f"epoch {event.epoch} of at most {event.num_epochs}: loss {event.loss:.4f}, Dice {event.dice:.4f} "
            f"held out, {event.reference_dice:.4f} on the reference set{best}"
        )
    elif isinstance(event, Paused):
        typer.echo(f"paused: {event.reason} Trying again.", err=True)
    elif isinstance(event, BatchHalved):
        typer.echo(f"memory is short: a batch now goes through in parts of {event.size}", err=True)


def _offer(event: Any, *, use_if_better: bool, is_quiet: bool) -> None:
    from tmca_core.model.store import use_model

    result: Comparison = event.comparison
    if use_if_better and result.is_better:
        use_model(str(event.folder))
    if is_quiet:
        return
    typer.echo(comparison_table(result))
    typer.echo(result.sentence)
    typer.echo(f"model: {event.folder}, {format_bytes(event.num_bytes)} (sha256 {event.weights_sha256[:12]})")
    if use_if_better:
        typer.echo("It is in use now." if result.is_better else "It is not put in use.")
    else:
        typer.echo(f"To use it: tmca models use {event.folder}. To go back: tmca models rollback.")


def comparison_table(result: "Comparison") -> str:
    """Return the held-out cases before and after, and their means with 95 % intervals."""
    side = {None: "", True: "right", False: "WRONG"}
    rows = [
        [
            case.case,
            f"{100 * case.dice_before:.1f}",
            f"{100 * case.dice_after:.1f}",
            f"{100 * (case.dice_after - case.dice_before):+.1f}",
            side[case.side_before],
            side[case.side_after],
        ]
        for case in result.cases
    ]
    intervals = [f"({100 * low:.0f}-{100 * high:.0f})" for low, high in (result.interval_before, result.interval_after)]
    sided = [case for case in result.cases if case.side_before is not None]
    accuracies = [
        f"{sum(bool(getattr(case, name)) for case in sided)}/{len(sided)}" for name in ("side_before", "side_after")
    ]
    means = [f"{100 * result.dice_before:.1f} {intervals[0]}", f"{100 * result.dice_after:.1f} {intervals[1]}"]
    rows.append(["mean (95 %)", *means, f"{100 * (result.dice_after - result.dice_before):+.1f}", *accuracies])
    known = (result.reference_before, result.reference_after)
    gained = f"{100 * (known[1] - known[0]):+.1f}"
    rows.append(["reference set", *(f"{100 * value:.1f}" for value in known), gained, "", ""])
    return format_table(["held-out case", "before", "after", "gain", "side before", "side after"], rows)
