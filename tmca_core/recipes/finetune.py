"""Learn from corrected cases: a generator of events, readable like a protocol.

As in `tmca_core.recipes.train`, chance enters through the seed and the step alone: a fine-tuning that was killed and
resumed ends in the same weights as one that was not. With a limit of minutes, the number of epochs is measured in the
first steps and kept from then on. Under torchrun the batch is shared out among the processes, as in training.
"""

from __future__ import annotations

import copy
import json
import math
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field
from torch.nn.utils import clip_grad_norm_

from tmca_core.atomic import atomic_write
from tmca_core.data.augment import AugmentConfig, augment
from tmca_core.data.corrected import history_of, take_cases
from tmca_core.data.loader import collate, standardise_batch
from tmca_core.data.telling import Teller, TellingConfig, Told
from tmca_core.device import Precision, choose_device, trains_in_bfloat16
from tmca_core.errors import CheckpointError, ConfigError, DeviceError, StudyWriteError
from tmca_core.model.adapter import add_adapters, merge_adapter, scaled_tensors, trained_tensors
from tmca_core.model.adapter_file import encode_adapter, read_adapter
from tmca_core.model.checkpoint import (
    MANIFEST,
    ModelInfo,
    find_model,
    generations,
    load_model,
    read_manifest,
    save_model,
)
from tmca_core.model.store import save_adapter
from tmca_core.recipes.before_after import Comparison, compare, mean_dice, score_per_case
from tmca_core.recipes.examples import EXAMPLES, examples_of, predict_masks, write_examples
from tmca_core.recipes.gating import Gated, described, described_words
from tmca_core.recipes.lessons import SNAPSHOT, Snapshot, draw_lessons, read_snapshot, take_snapshot, write_snapshot
from tmca_core.recipes.processes import ALONE, Processes, is_lost_process, joined_processes
from tmca_core.recipes.share import SHARES, choose_share
from tmca_core.recipes.train import (
    StepDone,
    TrainingStopped,
    averaged,
    learning_rate_factor,
    make_optimizer,
    score_samples,
)
from tmca_core.recipes.train_config import ScheduleConfig
from tmca_core.recipes.training_state import STATE, Progress, load_state, save_state
from tmca_core.report import swap_sides

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from tmca_core.data.corrected import CaseSource
    from tmca_core.metrics import CaseScore
    from tmca_core.model.architecture import TmcaArchitecture
    from tmca_core.model.gate import Gate
    from tmca_core.model.tmca import Tmca
    from tmca_core.recipes.lessons import Lesson

RUN, LOCK, BEST, COMPARISON = "run", "lock", "best", "comparison.json"
Command = Literal["stop", "cancel"]
"""What may be sent into the generator: end now, and keep the best so far, or nothing (all processes obey the first)."""


class FinetuneConfig(BaseModel):
    """Everything a fine-tuning depends on, beside the cases.

    ``out`` becomes the new model's folder; its name is the model's. ``mode`` "adapters" trains low-rank adapters and
    the decoder, "full" everything that the base's training changed. ``minutes`` 0 trains ``num_epochs``; ``patience``
    are epochs without a better held-out Dice after which it ends. ``replay`` is a data folder whose training split is
    mixed in, and whose validation split shows what is forgotten, in the place of phantoms. ``examples`` keeps pictures
    of the held-out cases, before | after | corrected, in the run folder, until somebody removes them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Path
    model: str = "default"
    mode: Literal["adapters", "full"] = "adapters"
    num_epochs: int = Field(default=30, ge=1)
    steps_per_epoch: int = Field(default=10, ge=1)
    minutes: float = Field(default=0.0, ge=0)
    patience: int = Field(default=8, ge=1)
    batch_size: int = Field(default=8, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    ema_decay: float = Field(default=0.95, ge=0, lt=1)
    rank: int = Field(default=8, ge=1)
    replay_share: float = Field(default=0.25, ge=0, lt=1)
    num_phantoms: int = Field(default=16, ge=0)
    num_reference: int = Field(default=8, ge=0)
    replay: Path | None = None
    painted_weight: float = Field(default=3.0, ge=1)
    strict: bool = False
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    threads: int = Field(default=0, ge=0)
    checkpoint_every: int = Field(default=10, ge=1)
    disk_wait_s: float = Field(default=600.0, ge=0)
    examples: bool = False
    augment: AugmentConfig = AugmentConfig(flip=0.5)
    telling: TellingConfig = TellingConfig(dropout=0.2, instruction_only=0.1, mismatch=0.1, statement=0.5)


@dataclass(frozen=True)
class CasesTaken:
    """The snapshot is taken: what is learned from, what judges, what the user should know, and Dice so far (0..1)."""

    num_train: int
    num_held_out: int
    num_replay: int
    notes: tuple[str, ...]
    num_parameters: int
    dice_before: float
    reference_before: float
    resumed_at_step: int


@dataclass(frozen=True)
class EpochChecked:
    """One epoch, checked with averaged weights on the held-out cases and on the reference set. Dice are 0..1."""

    epoch: int
    num_epochs: int
    loss: float
    dice: float
    reference_dice: float
    is_best: bool


@dataclass(frozen=True)
class Paused:
    """A checkpoint could not be written; it is tried again until there is room."""

    reason: str


@dataclass(frozen=True)
class BatchHalved:
    """Memory ran out: from now on a batch goes through the network in parts of this size."""

    size: int


@dataclass(frozen=True)
class FinetuneFinished:
    """The new model is in ``folder``; whether to use it is for the user to say."""

    folder: Path
    weights_sha256: str
    num_bytes: int
    comparison: Comparison


FinetuneEvent = CasesTaken | StepDone | EpochChecked | Paused | BatchHalved | FinetuneFinished


def finetune(config: FinetuneConfig, source: CaseSource) -> Generator[FinetuneEvent, Command | None, None]:
    """Learn from a source's cases; close the generator to give up after the step under way, send "stop" to end well.

    What ``config.out`` holds of an earlier, unfinished run is continued; cases are then those of its snapshot.

    Raises
    ------
    ConfigError
        If another training is under way in this folder, or a model is there already.
    DatasetError, CheckpointError, DeviceError
        Before anything is trained, where something is missing or unfit.
    TrainingStopped
        If the loss becomes NaN or infinite: the step and the cases are named, the best so far stays. Also if another
        process ends.

    """
    device = choose_device(config.device)
    with joined_processes(device) as processes:
        try:
            if processes.is_first:
                yield from _locked(config, source, processes.device(device), processes)
            else:
                yield from _finetune(config, source, processes.device(device), processes)
        except RuntimeError as error:
            if processes.count == 1 or not is_lost_process(error):
                raise
            raise TrainingStopped(
                f"Process {processes.rank} of {processes.count}: another process ended; the last checkpoint is kept.",
                hint="See what that process said, and start all of them again.",
            ) from error


def _locked(
    config: FinetuneConfig, source: CaseSource, device: torch.device, processes: Processes
) -> Generator[FinetuneEvent, Command | None, None]:
    run_folder = config.out / RUN
    if (config.out / MANIFEST).exists():
        _clear(run_folder)  # a run killed at its very end may have left pictures
        raise ConfigError(f"{config.out}: a model is there already.", hint="Choose another folder with --out.")
    try:
        run_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyWriteError(
            f"{config.out}: the folder cannot be made ({error.strerror}).", hint="Choose another folder."
        ) from error
    lock = FileLock(run_folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(
            f"{config.out}: a training is under way in this folder.", hint="Wait for it, or choose another folder."
        ) from error
    try:
        yield from _finetune(config, source, device, processes)
    finally:
        lock.release()


def _finetune(
    config: FinetuneConfig, source: CaseSource, device: torch.device, processes: Processes
) -> Generator[FinetuneEvent, Command | None, None]:
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    processes.require_even(config.batch_size, config.batch_size)
    base, architecture, info = load_model(find_model(config.model))
    if processes.is_first:
        snapshot = _snapshot(config, source, architecture, info)
    processes.wait()
    if not processes.is_first:
        snapshot = read_snapshot(config.out / RUN / SNAPSHOT)
    size = architecture.preprocess.image_size
    elders = [(gate, load_model(one.folder)[0].to(device)) for gate, one in generations(info)[1:]]
    describer = elders[-1][1] if elders else base.to(device)
    gated = Gated.everything(snapshot)
    if config.mode == "adapters":
        gated = Gated.of(snapshot, describer, device, size, config.batch_size)
    networks = [(generations(info)[0][0], base.to(device)), *elders]
    judge = _Judge(snapshot, gated, networks, device, size, config.batch_size, processes)
    model = load_model(info.folder)[0]
    if config.mode == "adapters":
        add_adapters(model, config.rank)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    processes.prepare(model.to(device))
    run = _Run(config, model, architecture, info, device, snapshot, judge, processes)
    command = yield CasesTaken(
        num_train=len({lesson.case for lesson in snapshot.train}),
        num_held_out=len({lesson.case for lesson in snapshot.held_out}),
        num_replay=len(snapshot.replay),
        notes=tuple(snapshot.told["notes"]),
        num_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        dice_before=judge.dice_before,
        reference_before=judge.reference_before,
        resumed_at_step=run.progress.step,
    )
    command = processes.agree(command)
    while command is None and not run.is_done:
        command = yield from run.epoch()
        if command is None or (command == "stop" and not run.has_best):
            command = (yield from run.finish_epoch()) or command
    if command != "cancel":
        yield run.publish()


def _snapshot(config: FinetuneConfig, source: CaseSource, architecture: TmcaArchitecture, info: ModelInfo) -> Snapshot:
    path = config.out / RUN / SNAPSHOT
    if path.exists():
        snapshot = read_snapshot(path)
        if snapshot.told["parent"]["sha256"] != info.weights_sha256 or snapshot.told["source"] != source.name:
            raise CheckpointError(
                f"{config.out}: an unfinished training there began on another model, or with other cases.",
                hint="Continue it with those, choose another folder with --out, or delete that folder.",
            )
        return snapshot
    snapshot = take_snapshot(
        take_cases(source, seed=config.seed, strict=config.strict, history=history_of(str(info.folder))),
        architecture.preprocess,
        num_phantoms=config.num_phantoms,
        num_reference=config.num_reference,
        replay_folder=config.replay,
        told={
            "source": source.name,
            "parent": {"name": info.name, "version": info.version, "sha256": info.weights_sha256},
        },
    )
    write_snapshot(path, snapshot)
    return snapshot


class _Judge:
    """Scores networks on the held-out cases and on the reference set, and remembers the scores that are reached today.

    Of what the adapter does not answer for, today's score stands.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        gated: Gated,
        networks: Sequence[tuple[Gate | None, Tmca]],
        device: torch.device,
        size: int,
        batch_size: int,
        processes: Processes = ALONE,
    ) -> None:
        self.snapshot, self.device, self.size, self.batch_size = snapshot, device, size, batch_size
        self.processes, self.gated = processes, gated
        self.before = self._before(networks, snapshot.held_out), self._before(networks, snapshot.reference)
        self.dice_before = mean_dice(list(score_per_case(snapshot.held_out, self.before[0]).values()))
        self.reference_before = mean_dice(self.before[1])

    def scores(self, model: Tmca) -> tuple[list[CaseScore], list[CaseScore]]:
        """Return the scores of the held-out lessons and of the reference set."""
        lessons = self.snapshot.held_out, self.snapshot.reference
        passing = self.gated.held_out, self.gated.reference
        held_out, reference = (self._after(model, *three) for three in zip(lessons, passing, self.before, strict=True))
        return held_out, reference

    def _before(self, networks: Sequence[tuple[Gate | None, Tmca]], lessons: Sequence[Lesson]) -> list[CaseScore]:
        """Return what the base and the models behind it, newest first, reach: each where it answers today."""
        if len(networks) == 1:
            return self._of(networks[0][1], lessons)
        oldest = networks[-1][1]
        seen = described(oldest, lessons, device=self.device, size=self.size, batch_size=self.batch_size)
        answering = [
            next(i for i, (gate, _) in enumerate(networks) if gate is None or gate.lets_through(*one))
            for one in zip(seen, described_words(oldest, lessons, self.device), strict=True)
        ]
        scores = self._of(networks[-1][1], lessons)
        for number, (_, network) in enumerate(networks[:-1]):
            scores = self._after(network, lessons, [number == one for one in answering], scores)
        return scores

    def _after(
        self, model: Tmca, lessons: Sequence[Lesson], passing: Sequence[bool], before: Sequence[CaseScore]
    ) -> list[CaseScore]:
        fresh = iter(self._of(model, [lesson for lesson, passes in zip(lessons, passing, strict=True) if passes]))
        return [next(fresh) if passes else old for passes, old in zip(passing, before, strict=True)]

    def _of(self, model: Tmca, lessons: Sequence[Lesson]) -> list[CaseScore]:
        lessons = lessons[self.processes.rank :: self.processes.count]
        samples = [lesson.sample for lesson in lessons]
        told = [sample.sentences for sample in samples]
        halves = [lesson.half for lesson in lessons]
        scores = score_samples(model, samples, [told], self.device, self.batch_size, self.size, halves)[0]
        return self.processes.interleave(scores)


class _Run:
    """What changes while a fine-tuning runs: weights, their average, optimiser, progress."""

    def __init__(
        self,
        config: FinetuneConfig,
        model: Tmca,
        architecture: TmcaArchitecture,
        info: ModelInfo,
        device: torch.device,
        snapshot: Snapshot,
        judge: _Judge,
        processes: Processes,
    ) -> None:
        self.processes = processes
        self.config, self.model, self.architecture, self.info, self.device = config, model, architecture, info, device
        self.snapshot, self.judge = snapshot, judge
        self.teller = Teller([lesson.sample for lesson in (*snapshot.train, *snapshot.replay)], config.telling)
        # An adapter leaves a pretrained encoder's own weights alone: nothing in it has to be slowed down.
        schedule = ScheduleConfig(learning_rate=config.learning_rate, ema_decay=config.ema_decay)
        if config.mode == "adapters":
            schedule = schedule.model_copy(update={"image_learning_rate_scale": 1.0})
        self.optimizer = make_optimizer(model, schedule)
        self.ema = averaged(model, config.ema_decay, lambda: self.progress.step)
        self.is_mixed = trains_in_bfloat16(config.precision, device)
        self.resolved = config.model_dump_json(
            exclude={"out", "model", "device", "threads", "checkpoint_every", "examples"}
        )
        self.folder = config.out / RUN
        self.progress = self._resume()

    def _resume(self) -> Progress:
        if (self.folder / STATE).exists():
            return load_state(self.folder / STATE, self.resolved, self.model, self.ema, self.optimizer)
        running = {"loss": 0.0, "part": float(self.config.batch_size), "epochs": float(self.config.num_epochs)}
        return Progress(running=running)

    @property
    def num_epochs(self) -> int:
        """Epochs planned, as measured where minutes were given."""
        return int(self.progress.running["epochs"])

    @property
    def has_best(self) -> bool:
        """Whether any epoch was checked and kept."""
        return (self.folder / BEST).exists()

    @property
    def is_done(self) -> bool:
        """Whether all epochs are done, or the held-out Dice has not risen for too long."""
        log = self.progress.log
        last_best = max((i for i, entry in enumerate(log) if entry["is_best"]), default=len(log))
        return self.progress.epoch >= self.num_epochs or len(log) - 1 - last_best >= self.config.patience

    def epoch(self) -> Generator[FinetuneEvent, Command | None, Command | None]:
        """Train the rest of the epoch under way."""
        progress, config = self.progress, self.config
        while progress.batch < config.steps_per_epoch:
            started = time.perf_counter()
            loss = yield from self._step()
            progress.running["loss"] += loss
            progress.batch += 1
            progress.step += 1
            seconds = time.perf_counter() - started
            progress.seconds += seconds
            if progress.step % config.checkpoint_every == 0:
                yield from self._save(self._save_state)
            command = yield StepDone(
                step=progress.step,
                num_steps=self.num_epochs * config.steps_per_epoch,
                epoch=progress.epoch + 1,
                loss=loss,
                images_per_second=config.batch_size / seconds,
                eta_s=self._eta(),
            )
            command = self.processes.agree(command)
            if command is not None:
                return command
        return None

    def _eta(self) -> float:
        """Return the seconds that are left; until the number of epochs is measured, no more than the minutes given."""
        progress = self.progress
        steps_left = self.num_epochs * self.config.steps_per_epoch - progress.step
        seconds = progress.seconds / progress.step * steps_left
        if self.config.minutes and progress.epoch == 0:
            seconds = max(min(seconds, 60.0 * self.config.minutes - progress.seconds), 0.0)
        return seconds

    def _step(self) -> Generator[FinetuneEvent, Command | None, float]:
        """Take one step, in smaller parts where memory runs out."""
        while True:
            part = int(self.progress.running["part"])
            try:
                return self._try_step(part)
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                if part == 1 or self.processes.count > 1:  # the others' batches would stay whole
                    raise DeviceError(
                        f"There is not enough memory to learn from a batch of {part}.",
                        hint="Close other programs, use another device, or a smaller --set batch_size.",
                    ) from error
            self.progress.running["part"] = float(max(part // 2, 1))
            self.optimizer.zero_grad(set_to_none=True)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            yield BatchHalved(int(self.progress.running["part"]))

    def _try_step(self, part: int) -> float:
        config, progress = self.config, self.progress
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + progress.step)
        lessons = draw_lessons(self.snapshot, config.batch_size, config.replay_share, generator)
        rows = self.processes.rows(len(lessons))
        batch = collate([lesson.sample for lesson in lessons[rows]], self.judge.size)
        marks = torch.cat([batch.masks, torch.stack([lesson.painted for lesson in lessons[rows]]).float()], dim=1)
        images, marks, mirrored = augment(batch.images, marks, config.augment, generator, total=len(lessons), rows=rows)
        told = self.teller.tell([lesson.sample for lesson in lessons], mirrored, generator)
        told = [_tell_rejected(*three) for three in zip(lessons, told, mirrored, strict=True)][rows]
        masks, weights = marks[:, :1], 1.0 + (config.painted_weight - 1.0) * marks[:, 1:]
        masks[[one.is_denied for one in told]] = 0.0

        # Evaluation mode: a handful of pictures must not move the statistics of the normalisations.
        self.model.eval()
        num_steps = self.num_epochs * config.steps_per_epoch
        factor = learning_rate_factor(progress.step, num_steps, warmup_share=0.05)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        value = 0.0
        for first in range(0, len(told), part):
            some = slice(first, first + part)
            loss = self._loss(images[some], masks[some], weights[some], told[some]) * (len(told[some]) / len(told))
            value += float(self.processes.mean(loss))
            if not math.isfinite(value):
                names = ", ".join(dict.fromkeys(lesson.case for lesson in lessons if lesson.kind != "replay"))
                raise TrainingStopped(
                    f"The loss became {value} at step {progress.step + 1}, on the cases {names}; the best so far is "
                    "kept.",
                    hint="Look at these cases, or learn more slowly (--learning-rate).",
                )
            loss.backward()
        self.processes.average_gradients(self.model)
        clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.ema.update_parameters(self.model)
        return value

    def _loss(self, images: Tensor, masks: Tensor, weights: Tensor, told: Sequence[Told]) -> Tensor:
        tokens = self.model.tokenizer([one.sentences for one in told]).to(self.device)
        images = standardise_batch(images).to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_mixed):
            output = self.model(images, tokens)
        is_own = torch.tensor([one.is_own for one in told], device=self.device)
        return self.model.loss(output, masks.to(self.device), is_own, weights.to(self.device)).total

    def finish_epoch(self) -> Generator[FinetuneEvent, Command | None, Command | None]:
        """Check the averaged weights, keep them when they are the best so far, and log."""
        started, progress, config = time.perf_counter(), self.progress, self.config
        held_out, reference = self.judge.scores(cast("Tmca", self.ema.module))
        dice = mean_dice(list(score_per_case(self.snapshot.held_out, held_out).values()))
        reference_dice = mean_dice(reference)
        # What is gained is not paid for with what was known: forgetting counts in full.
        score = dice - max(0.0, self.judge.reference_before - reference_dice)
        is_best = score > progress.best_score or not self.snapshot.held_out
        progress.best_score = max(progress.best_score, score)
        loss = progress.running["loss"] / max(progress.batch, 1)
        progress.seconds += time.perf_counter() - started
        if config.minutes and progress.epoch == 0:
            num_epochs = max(1, int(60.0 * config.minutes / progress.seconds))
            progress.running["epochs"] = float(self.processes.agree(num_epochs))
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.running["loss"] = 0.0
        done = EpochChecked(progress.epoch, self.num_epochs, loss, dice, reference_dice, is_best)
        progress.log.append(vars(done))
        if is_best:
            yield from self._save(self._save_best)
        yield from self._save(self._save_state)
        yield from self._save(self._write_log)
        self.processes.wait()
        return self.processes.agree((yield done))

    def publish(self) -> FinetuneFinished:
        """Write the best weights as a model, judge what was written, and clear away the pictures of the snapshot."""
        base, _, _ = load_model(self.info.folder)
        shown = examples_of(self.snapshot.held_out) if self.config.examples and self.processes.is_first else []
        drawn_before = predict_masks(base.to(self.device), shown, self.device, self.judge.size)
        best, tensors, share = self._as_far_as_needed(base.cpu())
        result = compare(
            self.snapshot.held_out,
            self.judge.before[0],
            (after := self.judge.scores(best.to(self.device)))[0],
            self.judge.before[1],
            after[1],
        )
        self.processes.wait()  # all have read the best weights
        if self.processes.is_first:
            answers = dict(zip(self.snapshot.held_out, self.judge.gated.held_out, strict=True))
            drawn_after = predict_masks(best, shown, self.device, self.judge.size)
            drawn_after = [
                new if answers[lesson] else old
                for lesson, old, new in zip(shown, drawn_before, drawn_after, strict=True)
            ]
            write_examples(self.folder / EXAMPLES, result.cases if shown else (), shown, drawn_before, drawn_after)
            self._publish(best, tensors, share, result)
        self.processes.wait()
        size = sum(path.stat().st_size for path in self.config.out.glob("*.safetensors"))
        return FinetuneFinished(self.config.out, read_manifest(self.config.out).weights_sha256, size, result)

    def _as_far_as_needed(self, base: Tmca) -> tuple[Tmca, Mapping[str, NDArray[np.float16]], float]:
        """Return the network to publish, its adapter's tensors, if it has any, and the share of the way it goes.

        A gate keeps what was known: behind one, all of the way is gone.
        """
        if self.judge.gated.gate is not None or not self.snapshot.held_out:
            return (*self._after(base, 1.0), 1.0)
        gains, forgotten = {}, {}
        for share in SHARES:
            held_out, reference = self.judge.scores(self._after(base, share)[0].to(self.device))
            dice = mean_dice(list(score_per_case(self.snapshot.held_out, held_out).values()))
            gains[share] = dice - self.judge.dice_before
            forgotten[share] = self.judge.reference_before - mean_dice(reference)
        share = choose_share(gains, forgotten)
        return (*self._after(base, share), share)

    def _after(self, base: Tmca, share: float) -> tuple[Tmca, Mapping[str, NDArray[np.float16]]]:
        """Return a network on the way from the base to the best weights, and its adapter's tensors, if it has any."""
        if self.config.mode == "adapters":
            model = copy.deepcopy(base)
            tensors = read_adapter(self.folder / BEST)[0]
            if share < 1.0:
                tensors = scaled_tensors(tensors, base, share)
            merge_adapter(model, tensors, self.config.out.name)
            return model, tensors
        model = load_model(self.folder / BEST)[0]
        with torch.no_grad():
            for learned, old in zip(model.parameters(), base.parameters(), strict=True):
                learned.copy_(old.lerp(learned, share))
        return model, {}

    def _publish(
        self, best: Tmca, tensors: Mapping[str, NDArray[np.float16]], share: float, result: Comparison
    ) -> None:
        with atomic_write(self.config.out / COMPARISON) as file:
            file.write(json.dumps(result.as_json(), indent=2).encode())
        told = {**self.snapshot.told, "mode": self.config.mode, "num_steps": self.progress.step, "share": share}
        told["precision"] = "bfloat16" if self.is_mixed else "float32"
        told["config"] = json.loads(self.resolved) | {"replay": self.config.replay and self.config.replay.name}
        out, name = self.config.out, self.config.out.name
        if self.config.mode == "adapters":
            gate = self.judge.gated.gate
            tensors = {**tensors, **(gate.tensors() if gate is not None else {})}
            save_adapter(out, tensors, self.info, name=name, figures=result.figures(), training=told)
        else:
            save_model(
                best.cpu(),
                self.architecture,
                out,
                name=name,
                version=self.info.version,
                threshold=self.info.threshold,
                figures=result.figures(),
                training=told,
            )
        _clear(self.folder)

    def _save(self, write: Callable[[], object]) -> Generator[FinetuneEvent, Command | None, None]:
        """Write, if this is the first process; while the disk refuses, say so and try again, for a while."""
        if not self.processes.is_first:
            return
        until = time.monotonic() + self.config.disk_wait_s
        while True:
            try:
                write()
                return
            except StudyWriteError as error:
                if time.monotonic() >= until:
                    raise
                yield Paused(error.message)
                time.sleep(min(1.0, self.config.disk_wait_s))

    def _save_best(self) -> None:
        model = cast("Tmca", self.ema.module)
        if self.config.mode == "adapters":
            with atomic_write(self.folder / BEST) as file:
                file.write(encode_adapter(trained_tensors(model), {}))
        else:
            save_model(model, self.architecture, self.folder / BEST, name=BEST, version="0")

    def _save_state(self) -> None:
        save_state(self.folder / STATE, self.resolved, self.progress, self.model, self.ema, self.optimizer)

    def _write_log(self) -> None:
        with atomic_write(self.folder / "log.jsonl") as file:
            file.write("".join(json.dumps(line) + "\n" for line in self.progress.log).encode())


def event_as_json(event: FinetuneEvent) -> dict[str, Any]:
    """Return an event as a line of ``--events-json``, its kind under "event"."""
    values = asdict(event)
    if isinstance(event, FinetuneFinished):
        values["folder"] = str(event.folder)
    return {"event": type(event).__name__, **values}


def _clear(folder: Path) -> None:
    """Remove what a finished run needs no more: patients' pictures above all."""
    for left in (STATE, SNAPSHOT):
        (folder / left).unlink(missing_ok=True)
    if (folder / BEST).is_dir():
        shutil.rmtree(folder / BEST)
    (folder / BEST).unlink(missing_ok=True)


def _tell_rejected(lesson: Lesson, told: Told, is_mirrored: bool) -> Told:
    """Return what is told of a lesson: a rejected sentence always as it is, for only to it is the answer empty."""
    if lesson.kind != "rejected":
        return told
    sentences = lesson.sample.sentences
    return Told(tuple(swap_sides(s) for s in sentences) if is_mirrored else sentences, is_denied=True, is_own=False)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "memory" in str(error) and ("allocate" in str(error) or "out of" in str(error))
