"""`tmca train`: a configuration in, a run folder with weights out."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tmca_core.errors import ConfigError
from tmca_core.terminal import ProgressLine, format_duration

if TYPE_CHECKING:
    from tmca_core.recipes.train import EpochDone, SamplesRead, StepDone


def train(
    config: Annotated[Path, typer.Option("--config", help="TOML file.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the file. Repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder, in place of run.out.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the training that the run folder holds.")] = False,
) -> None:
    """Train a network as a TOML file says.

    A run that was stopped or killed continues with --resume, to the same weights on a CPU. Several processes or
    machines: torchrun --nproc-per-node=2 -m tmca_core.cli train ...; they share out each batch, one writes and speaks.
    """
    from tmca_core.recipes.processes import is_first_process, was_restarted
    from tmca_core.recipes.train import EpochDone, SamplesRead, StepDone, TrainingFinished
    from tmca_core.recipes.train import train as train_recipe
    from tmca_core.recipes.train_config import read_train_config
    from tmca_core.recipes.training_state import STATE

    chosen_out = [f"run.out={json.dumps(str(out))}"] if out is not None else []
    resolved = read_train_config(config, [*(overrides or ()), *chosen_out])
    if (resolved.run.out / STATE).exists() and not (resume or was_restarted()):
        raise ConfigError(
            f"{resolved.run.out}: a training is in this folder already.",
            hint="Add --resume to continue it, or choose another folder with --out.",
        )
    started = time.monotonic()
    with ProgressLine() as line:
        for event in train_recipe(resolved):
            if not is_first_process():
                continue
            if isinstance(event, StepDone):
                line.show(_step_line(event))
                continue
            line.clear()
            if isinstance(event, SamplesRead):
                typer.echo(_samples_line(event))
            elif isinstance(event, EpochDone):
                typer.echo(_epoch_line(event))
            elif isinstance(event, TrainingFinished):
                duration = format_duration(time.monotonic() - started)
                typer.echo(f"best validation Dice {event.best_dice_mean:.4f}, after {duration}")
                typer.echo(f"model: {event.folder} (sha256 {event.weights_sha256[:12]})")


def _samples_line(read: "SamplesRead") -> str:
    from tmca_core.data.table import count

    resumed = f"; continued at step {read.resumed_at_step:,}" if read.resumed_at_step else ""
    return (
        f"{count(read.num_train, 'cases')} and {count(read.num_phantoms, 'phantoms')} to train on, {read.num_val:,} to "
        f"select on; "
        f"{read.num_parameters:,} weights are trained{resumed}"
    )


def _step_line(done: "StepDone") -> str:
    return (
        f"epoch {done.epoch}, step {done.step:,} of {done.num_steps:,}: loss {done.loss:.3f}, "
        f"{done.images_per_second:.0f} images/s, {format_duration(done.eta_s)} left"
    )


def _epoch_line(done: "EpochDone") -> str:
    best = " (best)" if done.is_best else ""
    waited = f", {done.waiting_share:.0%} of it waiting for batches" if done.waiting_share >= 0.1 else ""
    return (
        f"epoch {done.epoch} of {done.num_epochs} at {done.image_size} px: loss {done.loss:.4f}, "
        f"Dice mean {done.dice_mean:.4f}, pooled {done.dice_pooled:.4f}, "
        f"no report {done.dice_mean_without_report:.4f}, {format_duration(done.seconds)}{waited}{best}"
    )
