"""Train a network: a generator of events, readable like a protocol.

Chance enters through the seed, the epoch and the batch number alone, so a training that was killed and resumed ends in
the same weights as one that was not (bit for bit on a CPU with the same number of threads). Under torchrun, the batch
is shared out among the processes and the loss stays that of the whole batch.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tmca_core.atomic import atomic_write
from tmca_core.data.datasets import open_dataset
from tmca_core.data.loader import (
    Sample,
    collate,
    epoch_order,
    phantom_samples,
    read_samples,
    standardise_batch,
)
from tmca_core.data.telling import Teller
from tmca_core.device import choose_device, trains_in_bfloat16
from tmca_core.errors import ConfigError, TmcaError
from tmca_core.metrics import CaseScore, Scores, score_case
from tmca_core.model.build import (
    build_tmca_base,
    build_tmca_compact,
    build_tmca_tiny,
    with_efficientnet_lite,
    with_image_side,
)
from tmca_core.model.checkpoint import find_model, load_model, read_manifest, save_model
from tmca_core.model.hub import PretrainedSource
from tmca_core.recipes.batches import batches_ahead, prepare_batch, show
from tmca_core.recipes.processes import ALONE, Processes, is_lost_process, joined_processes
from tmca_core.recipes.training_state import STATE, Progress, load_state, save_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from tmca_core.data.case import Case
    from tmca_core.metrics import Half
    from tmca_core.model.architecture import TmcaArchitecture
    from tmca_core.model.tmca import Tmca
    from tmca_core.recipes.batches import PreparedBatch
    from tmca_core.recipes.train_config import ModelConfig, ScheduleConfig, TrainConfig

# Training phantoms count from here; lower seeds stay unseen, for the demonstration and for tests.
FIRST_PHANTOM_SEED = 1_000_000


# Where and how fast, which leaves what is learnt as it is.
_NOT_THE_TRAINING = {"out", "device", "threads", "workers", "checkpoint_every"}


class TrainingStopped(TmcaError):
    """The loss is no number any more, or another process is gone; the last checkpoint is kept."""


@dataclass(frozen=True)
class SamplesRead:
    """Cases are in memory: of the training splits, of the validation split, phantoms, and weights that are trained."""

    num_train: int
    num_val: int
    num_phantoms: int
    num_parameters: int
    resumed_at_step: int


@dataclass(frozen=True)
class StepDone:
    """One optimiser step."""

    step: int
    num_steps: int
    epoch: int
    loss: float
    images_per_second: float
    eta_s: float


@dataclass(frozen=True)
class EpochDone:
    """One epoch, validated with the averaged weights. Dice are fractions 0..1.

    ``dice_mean_of_more`` holds the further folders that have a validation split, by name. ``waiting_share`` is the part
    of the training's time in which the network waited for its batch.
    """

    epoch: int
    num_epochs: int
    image_size: int
    loss: float
    dice_mean: float
    dice_pooled: float
    dice_mean_without_report: float
    dice_mean_of_more: dict[str, float]
    is_best: bool
    seconds: float
    waiting_share: float = 0.0


@dataclass(frozen=True)
class TrainingFinished:
    """The weights are in ``folder``, ready for `tmca_core.predictor.Predictor.load`."""

    folder: Path
    weights_sha256: str
    best_dice_mean: float


TrainEvent = SamplesRead | StepDone | EpochDone | TrainingFinished


def train(config: TrainConfig) -> Iterator[TrainEvent]:
    """Train as configured; close the generator to stop after the step under way.

    An existing state in ``config.run.out`` is continued.

    Raises
    ------
    DatasetError, CheckpointError, ConfigError, DeviceError
        Before anything is trained, where something is missing.
    TrainingStopped
        If the loss becomes NaN or infinite, or another process ends; the last checkpoint stays.

    """
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    device = choose_device(config.run.device)
    with joined_processes(device) as processes:
        try:
            yield from _train(config, processes.device(device), processes)
        except RuntimeError as error:
            if processes.count == 1 or not is_lost_process(error):
                raise
            raise TrainingStopped(
                f"Process {processes.rank} of {processes.count}: another process ended; the last checkpoint is kept.",
                hint="See what that process said, and start all of them again with --resume.",
            ) from error


def _train(config: TrainConfig, device: torch.device, processes: Processes) -> Iterator[TrainEvent]:
    torch.manual_seed(config.run.seed)
    model, architecture = build_model(config.model)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    model.to(device)
    processes.prepare(model)
    train_samples, val_samples = _read_all(config, architecture)
    processes.require_even(config.schedule.batch_size, len(train_samples))
    run = _Run(config, model, architecture, device, train_samples, val_samples, processes)
    yield SamplesRead(
        num_train=len(train_samples) - config.data.phantoms,
        num_val=len(run.val_samples),
        num_phantoms=config.data.phantoms,
        num_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        resumed_at_step=run.progress.step,
    )
    while run.progress.epoch < config.schedule.num_epochs and not run.is_time_up:
        yield from run.epoch()
        yield run.finish_epoch()
    yield TrainingFinished(run.weights, read_manifest(run.weights).weights_sha256, run.progress.best_score)


def build_model(config: ModelConfig) -> tuple[Tmca, TmcaArchitecture]:
    """Build the network that a configuration names, on pretrained weights where it has sources."""
    if config.start_from:
        model, architecture, _ = load_model(find_model(config.start_from))
        if config.image is not None:
            return with_image_side(model, architecture, config.image, config.enhancement)
        if not config.image_encoder:
            return model, architecture
        return with_efficientnet_lite(
            model, architecture, PretrainedSource(config.image_encoder, config.image_revision)
        )
    parts: dict[str, Any] = {"enhancement": config.enhancement, "alignment": config.alignment}
    if config.size == "tiny":
        return build_tmca_tiny(**parts)
    text = PretrainedSource(config.text_encoder, config.text_revision)
    if config.size == "compact":
        if not config.text_encoder:
            raise ConfigError(
                "model.text_encoder: expected the folder of a small BERT, got nothing.",
                hint="scripts/prune_minilm.py makes one.",
            )
        if config.image_encoder:
            parts["image_source"] = PretrainedSource(config.image_encoder, config.image_revision)
        return build_tmca_compact(text, num_trainable_layers=config.num_trainable_text_layers, **parts)
    if not config.image_encoder:
        raise ConfigError(
            "model.image_encoder: expected the folder or hub id of a ConvNeXt, got nothing.",
            hint='For example "facebook/convnext-tiny-224", with the commit to take it at as model.image_revision.',
        )
    if config.text_encoder:
        parts["text_source"] = text
    return build_tmca_base(image_source=PretrainedSource(config.image_encoder, config.image_revision), **parts)


def learning_rate_factor(step: int, num_steps: int, warmup_share: float) -> float:
    """Return the share of the peak learning rate at a step: linear warm-up, then a cosine to 1 %."""
    warmup = max(int(warmup_share * num_steps), 1)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(num_steps - warmup, 1)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done))


def averaged(model: Tmca, decay: float, num_steps_done: Callable[[], int]) -> AveragedModel:
    """Return the exponential moving average of a network's weights, to be updated after each step.

    The first steps count less long, so that the average does not remember the random start: after n steps the decay is
    at most (1 + n) / (10 + n). No device is waited for.
    """

    @torch.no_grad()
    def update(averages: Any, currents: Any, _: Any) -> None:  # lists of tensors, and their count
        n = num_steps_done()  # the count that is passed in lies on the device
        if averages[0].is_floating_point():  # all of a call are of one type
            get_ema_multi_avg_fn(min(decay, (1.0 + n) / (10.0 + n)))(averages, currents, _)
        else:
            for average, current in zip(averages, currents, strict=True):
                average.copy_(current)

    average = AveragedModel(model, multi_avg_fn=update, use_buffers=True)
    average.n_averaged = average.n_averaged.cpu()  # it is looked at in every step
    return average


def _read_all(config: TrainConfig, architecture: TmcaArchitecture) -> tuple[list[Sample], dict[str, list[Sample]]]:
    """Return what is trained on, and per folder, the deciding one first, what is validated on."""
    data, size = config.data, max(stage.image_size for stage in config.schedule.stages)
    preprocess = architecture.preprocess.model_copy(update={"image_size": size})
    dataset = open_dataset(data.folder, data.layout)
    train_samples = list(read_samples(_evenly(dataset.split(data.train_split), data.train_limit), preprocess))
    val_cases = _evenly(dataset.split(data.val_split), data.val_limit)
    val_samples = {data.folder.name: list(read_samples(val_cases, architecture.preprocess))}
    for source, extra in enumerate(data.more, 1):
        dataset = open_dataset(extra.folder, extra.layout)
        train_samples += extra.repeat * list(read_samples(dataset.split(data.train_split), preprocess, source=source))
        if data.val_split in dataset.splits:
            val_cases = dataset.split(data.val_split)
            val_samples[extra.folder.name] = list(read_samples(val_cases, architecture.preprocess, source=source))
    phantom_seeds = range(FIRST_PHANTOM_SEED, FIRST_PHANTOM_SEED + data.phantoms)
    train_samples += phantom_samples(phantom_seeds, preprocess)
    return train_samples, val_samples


def _evenly(cases: Sequence[Case], limit: int) -> Sequence[Case]:
    """Return ``limit`` cases spread over all of them, or all for 0."""
    if not limit or limit >= len(cases):
        return cases
    return [cases[i * len(cases) // limit] for i in range(limit)]


class _Run:
    """What changes while a training runs: weights, their average, optimiser, progress."""

    def __init__(
        self,
        config: TrainConfig,
        model: Tmca,
        architecture: TmcaArchitecture,
        device: torch.device,
        train_samples: list[Sample],
        val_samples: dict[str, list[Sample]],
        processes: Processes,
    ) -> None:
        self.config, self.model, self.architecture, self.device = config, model, architecture, device
        self.processes = processes
        self.train_samples, self.more_val_samples = train_samples, dict(val_samples)
        self.val_samples = self.more_val_samples.pop(config.data.folder.name)
        self.teller = Teller(train_samples, config.telling)
        schedule = config.schedule
        self.steps_per_epoch = max(len(train_samples) // schedule.batch_size, 1)
        self.num_steps = self.steps_per_epoch * schedule.num_epochs
        self.optimizer = make_optimizer(model, schedule)
        self.ema = averaged(model, schedule.ema_decay, lambda: self.progress.step)
        self.is_mixed = trains_in_bfloat16(config.run.precision, device)
        self.resolved = config.model_dump_json(exclude={"run": _NOT_THE_TRAINING})
        self.unread_losses: deque[Tensor] = deque()
        self.folder, self.weights = config.run.out, config.run.out / config.run.name
        self.progress = self._resume()
        if config.run.compile:  # after the average was made, which stays as it is
            model.image_encoder.compile(dynamic=False)

    @property
    def _averaged(self) -> Tmca:
        """The network with averaged weights."""
        return cast("Tmca", self.ema.module)

    def _resume(self) -> Progress:
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / STATE).exists():
            return load_state(self.folder / STATE, self.resolved, self.model, self.ema, self.optimizer)
        if self.processes.is_first:
            with atomic_write(self.folder / "config.json") as file:
                file.write(self.config.model_dump_json(indent=2).encode())
        return Progress()

    @property
    def is_time_up(self) -> bool:
        """Whether the minutes that the schedule allows are over; the same answer in all processes."""
        minutes = self.config.schedule.minutes
        return bool(minutes) and bool(self.processes.agree(self.progress.seconds >= 60.0 * minutes))

    def epoch(self) -> Iterator[StepDone]:
        """Train the rest of the epoch under way."""
        progress, schedule, run = self.progress, self.config.schedule, self.config.run
        # A GPU goes on with the next step while the last one's loss is read.
        num_unread = 0 if self.device.type == "cpu" else 1
        started = time.perf_counter()
        for prepared, waited in batches_ahead(self._prepare, list(self._batches()), self.device, run.workers):
            self.unread_losses.append(self._step(prepared))
            progress.batch += 1
            progress.step += 1
            is_checkpoint = progress.step % run.checkpoint_every == 0
            is_last = progress.batch == self.steps_per_epoch
            loss = self._read_losses(0 if is_checkpoint or is_last else num_unread)
            seconds = time.perf_counter() - started
            for name, value in (("waited", waited), ("seconds", seconds)):
                progress.running[name] = progress.running.get(name, 0.0) + value
            progress.seconds += seconds
            if is_checkpoint:
                self._save_state()
            yield StepDone(
                step=progress.step,
                num_steps=self.num_steps,
                epoch=progress.epoch + 1,
                loss=loss,
                images_per_second=schedule.batch_size / seconds,
                eta_s=self._eta(seconds),
            )
            if self.is_time_up:
                self._read_losses(0)
                break
            started = time.perf_counter()

    def _batches(self) -> Iterator[tuple[int, list[Sample], int]]:
        """Yield step, samples and picture size of what is left of the epoch."""
        progress, schedule = self.progress, self.config.schedule
        order = epoch_order(len(self.train_samples), seed=self.config.run.seed, epoch=progress.epoch)
        size = schedule.image_size(progress.epoch)
        for batch in range(progress.batch, self.steps_per_epoch):
            chosen = order[batch * schedule.batch_size : (batch + 1) * schedule.batch_size]
            yield progress.step + batch - progress.batch, [self.train_samples[i] for i in chosen], size

    def _prepare(self, job: tuple[int, list[Sample], int]) -> PreparedBatch:
        """Prepare a batch; all chance comes from the seed and the step."""
        step, samples, size = job
        generator = torch.Generator().manual_seed(self.config.run.seed * 1_000_003 + step)
        rows = self.processes.rows(len(samples))
        return prepare_batch(samples, size, self.config.augment, self.teller, self.model.tokenizer, generator, rows)

    def _step(self, prepared: PreparedBatch) -> Tensor:
        """Take an optimiser step; return the loss of the whole batch, still on the device."""
        config, progress = self.config, self.progress
        self.model.train()
        factor = learning_rate_factor(self._position(), self.num_steps, config.schedule.warmup_share)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        shown = show(prepared, self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_mixed):
            output = self.model(shown.images, shown.tokens)
        loss = self.model.loss(output, shown.masks, shown.is_own).total
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.average_gradients(self.model)
        clip_grad_norm_(self.model.parameters(), config.schedule.gradient_clip)
        self.optimizer.step()
        self.ema.update_parameters(self.model)
        progress.running["steps"] = progress.running.get("steps", 0.0) + 1.0
        return self.processes.mean(loss.detach())

    def _position(self) -> int:
        """Return the step that the learning rate is taken at: that of the clock where minutes are given."""
        progress, minutes = self.progress, self.config.schedule.minutes
        if not minutes:
            return progress.step
        return max(progress.step, min(int(self.num_steps * progress.seconds / (60.0 * minutes)), self.num_steps - 1))

    def _read_losses(self, num_left: int) -> float:
        """Read the losses of all but the last ``num_left`` steps; return the newest that was read.

        Raises
        ------
        TrainingStopped
            If one is no number.

        """
        value = math.nan
        while len(self.unread_losses) > num_left:
            value = float(self.unread_losses.popleft())
            if not math.isfinite(value):
                step = self.progress.step - len(self.unread_losses) - 1
                raise TrainingStopped(
                    f"The loss became {value} at step {step}; the last checkpoint is kept.",
                    hint="Lower schedule.learning_rate, or set run.precision to float32, and start again.",
                )
            self.progress.running["loss"] = self.progress.running.get("loss", 0.0) + value
        return value

    def finish_epoch(self) -> EpochDone:
        """Validate, keep the weights when they are the best so far, and log."""
        started, progress, schedule = time.perf_counter(), self.progress, self.config.schedule
        size = schedule.image_size(progress.epoch)
        given, without = self._validate(self.val_samples, size)
        more = {name: self._validate(samples, size)[0].dice_mean for name, samples in self.more_val_samples.items()}
        score = given.dice_mean
        if progress.epoch and size != schedule.image_size(progress.epoch - 1):
            progress.best_score = -1.0  # scores at another size do not compare
        is_best = score > progress.best_score
        progress.best_score = max(progress.best_score, score)
        progress.seconds += time.perf_counter() - started
        done = EpochDone(
            epoch=progress.epoch + 1,
            num_epochs=schedule.num_epochs,
            image_size=size,
            loss=progress.running["loss"] / progress.running["steps"],
            dice_mean=score,
            dice_pooled=given.dice_pooled,
            dice_mean_without_report=without.dice_mean,
            dice_mean_of_more=more,
            is_best=is_best,
            seconds=progress.seconds,
            waiting_share=progress.running.get("waited", 0.0) / max(progress.running.get("seconds", 0.0), 1e-9),
        )
        progress.log.append(vars(done))
        progress.epoch, progress.batch, progress.running = progress.epoch + 1, 0, {}
        if is_best and self.processes.is_first:
            self._save_weights(done)
        self._save_state()
        if self.processes.is_first:
            self._write_log()
        self.processes.wait()
        return done

    def _validate(self, samples: Sequence[Sample], size: int) -> tuple[Scores, Scores]:
        batch_size = self.config.schedule.batch_size
        return validate(self._averaged, samples, self.device, batch_size, size, self.processes)

    def _save_weights(self, done: EpochDone) -> None:
        run, data = self.config.run, self.config.data
        save_model(
            self._averaged,
            self.architecture,
            self.weights,
            name=run.name,
            version=run.version,
            figures={
                f"{data.val_split}_while_training": {"dice_mean": done.dice_mean, "dice_pooled": done.dice_pooled}
            },
            training={
                "datasets": [data.folder.name, *(extra.folder.name for extra in data.more)],
                "num_train": len(self.train_samples) - data.phantoms,
                "num_phantoms": data.phantoms,
                "epoch": done.epoch,
                "precision": "bfloat16" if self.is_mixed else "float32",
                "config": _without_paths(self.config),
            },
        )

    def _save_state(self) -> None:
        if self.processes.is_first:
            save_state(self.folder / STATE, self.resolved, self.progress, self.model, self.ema, self.optimizer)

    def _write_log(self) -> None:
        with atomic_write(self.folder / "log.jsonl") as file:
            file.write("".join(json.dumps(line) + "\n" for line in self.progress.log).encode())

    def _eta(self, seconds: float) -> float:
        """Return the seconds that the remaining steps take, each weighted by its picture's area."""
        schedule, progress = self.config.schedule, self.progress
        now = schedule.image_size(min(progress.epoch, schedule.num_epochs - 1)) ** 2
        rest = (self.steps_per_epoch - progress.batch) * now
        rest += sum(
            self.steps_per_epoch * schedule.image_size(epoch) ** 2
            for epoch in range(progress.epoch + 1, schedule.num_epochs)
        )
        return seconds * rest / now


def validate(
    model: Tmca,
    samples: Sequence[Sample],
    device: torch.device,
    batch_size: int,
    image_size: int,
    processes: Processes = ALONE,
) -> tuple[Scores, Scores]:
    """Return the scores of a network on samples at ``image_size``: with their reports, and without any.

    Several processes share the samples and all return the scores of all.
    """
    samples = samples[processes.rank :: processes.count]
    given, without = score_samples(
        model, samples, ([s.sentences for s in samples], [()] * len(samples)), device, batch_size, image_size
    )
    return Scores.of(processes.interleave(given)), Scores.of(processes.interleave(without))


def score_samples(
    model: Tmca,
    samples: Sequence[Sample],
    tellings: Sequence[Sequence[tuple[str, ...]]],
    device: torch.device,
    batch_size: int,
    image_size: int,
    halves: Sequence[Half | None] | None = None,
) -> list[list[CaseScore]]:
    """Return, per telling (what is said of each sample), the score of every sample at ``image_size``.

    ``halves`` holds the half of the picture that each report names, where the side is to be scored.
    """
    model.eval()
    scores: list[list[CaseScore]] = [[] for _ in tellings]
    stated = halves or [None] * len(samples)
    with torch.inference_mode():
        for first in range(0, len(samples), batch_size):
            part = slice(first, first + batch_size)
            batch = collate(samples[part], image_size)
            features = model.encode_image(standardise_batch(batch.images).to(device, memory_format=torch.channels_last))
            for of_telling, told in zip(scores, tellings, strict=True):
                embedding = model.encode_reports(model.tokenizer(told[part]).to(device))
                masks = (model.decode(features, embedding).logits >= 0).cpu()
                for prediction, reference, half in zip(
                    masks[:, 0].numpy(), batch.masks[:, 0].numpy(), stated[part], strict=True
                ):
                    of_telling.append(score_case(prediction, reference >= 0.5, half))
    return scores


def _without_paths(config: TrainConfig) -> dict[str, Any]:
    """Return the configuration as weights carry it: folders of this machine by their names alone."""
    values = config.model_dump(mode="json", exclude={"run": _NOT_THE_TRAINING})
    for section, key in (
        (values["data"], "folder"),
        *((extra, "folder") for extra in values["data"]["more"]),
        *((values["model"], key) for key in ("text_encoder", "image_encoder", "start_from")),
    ):
        if Path(section[key]).exists():
            section[key] = Path(section[key]).name
    return values


def make_optimizer(model: Tmca, schedule: ScheduleConfig) -> torch.optim.AdamW:
    """Return AdamW with the pretrained encoders slower, and no decay on gains, biases and scalars."""
    scales = {
        "text_encoder.bert.": schedule.text_learning_rate_scale,
        "image_encoder.backbone.": schedule.image_learning_rate_scale,
    }
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = next((scale for prefix, scale in scales.items() if name.startswith(prefix)), 1.0)
            rate = schedule.learning_rate * scale
            decay = schedule.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "peak_lr": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ],
        fused=next(model.parameters()).is_cuda,
    )
