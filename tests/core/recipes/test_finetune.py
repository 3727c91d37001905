from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from tmca_core.data.corrected import CorrectedCase, GivenCases, UnusableCase, take_cases
from tmca_core.errors import CheckpointError, ConfigError, DatasetError
from tmca_core.model.adapter_file import MAX_BYTES, read_adapter
from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.checkpoint import read_manifest
from tmca_core.model.tmca import Tmca
from tmca_core.phantom import make_phantom
from tmca_core.predictor import Predictor
from tmca_core.recipes.before_after import compare
from tmca_core.recipes.finetune import (
    BatchHalved,
    CasesTaken,
    EpochChecked,
    FinetuneConfig,
    FinetuneFinished,
    Paused,
    finetune,
)
from tmca_core.recipes.lessons import draw_lessons, read_snapshot, take_snapshot, write_snapshot
from tmca_core.recipes.train import StepDone, TrainingStopped
from tmca_core.report import parse_report


def make_case(seed, **changes):
    phantom = make_phantom(seed, shape=(64, 64), findings=changes.pop("findings", None))
    case = CorrectedCase(f"p{seed}", f"patient {seed}", phantom.scan, phantom.mask, phantom.report_text)
    return replace(case, **changes)


def make_cases(n, **changes):
    return GivenCases(tuple(make_case(seed, **changes) for seed in range(n)))


@pytest.fixture
def config(base, tmp_path):
    return FinetuneConfig(
        out=tmp_path / "tiny-2",
        model=str(base),
        num_epochs=2,
        steps_per_epoch=2,
        batch_size=4,
        num_phantoms=2,
        num_reference=2,
        device="cpu",
        threads=1,
        precision="float32",
        checkpoint_every=1,
    )


def test_learning_ends_in_a_small_adapter_that_predicts(config, base):
    events = list(finetune(config, make_cases(5)))
    assert isinstance(events[0], CasesTaken)
    assert (events[0].num_train, events[0].num_held_out, events[0].num_replay) == (4, 1, 2)
    assert [e.step for e in events if isinstance(e, StepDone)] == [1, 2, 3, 4]
    assert len([e for e in events if isinstance(e, EpochChecked)]) == 2
    finished = events[-1]
    assert isinstance(finished, FinetuneFinished)
    assert finished.num_bytes < MAX_BYTES
    predictor = Predictor.load(finished.folder, device="cpu")
    predictor.set_scan(make_phantom(3).scan)
    assert predictor.predict(parse_report("Opacity.")).provenance.model_sha256 == finished.weights_sha256
    training = read_manifest(finished.folder).training
    assert training["parent"]["sha256"] == read_manifest(base).weights_sha256
    assert len(training["cases"]) == 4
    left = {path.name for path in (config.out / "run").iterdir()}
    assert not left & {"snapshot.safetensors", "state.safetensors", "best"}, "pictures of patients stay behind"


def test_the_loss_falls_and_the_network_learns(config):
    longer = config.model_copy(update={"num_epochs": 8, "steps_per_epoch": 12, "learning_rate": 1e-2})
    losses = [event.loss for event in finetune(longer, make_cases(5)) if isinstance(event, EpochChecked)]
    assert losses[-1] < 0.9 * losses[0]


def test_everything_can_be_trained_too(config):
    full = config.model_copy(update={"mode": "full", "num_epochs": 1})
    finished = list(finetune(full, make_cases(3)))[-1]
    info = read_manifest(finished.folder)
    assert not info.base
    assert info.training["mode"] == "full"
    Predictor.load(finished.folder, device="cpu")


def test_f01_no_case_is_refused_and_one_claims_nothing(config):
    with pytest.raises(DatasetError, match="expected at least one corrected case, got none"):
        next(finetune(config, GivenCases(())))
    events = list(finetune(config, make_cases(1)))
    assert any("no validation is possible" in note for note in events[0].notes)
    assert not events[-1].comparison.is_better
    assert "nothing is claimed" in events[-1].comparison.sentence


@pytest.mark.parametrize(("value", "said"), [(False, "Every mask is empty"), (True, "Every mask fills")])
def test_f02_masks_that_teach_nothing_are_told_before_the_start(value, said):
    taken = take_cases(make_cases(2, mask=np.full((64, 64), value)))
    assert any(said in note for note in taken.notes)


def test_f03_what_cannot_be_used_is_listed_or_stops_everything(config):
    odd = make_case(9, mask=np.zeros((8, 8), bool))
    source = GivenCases((*make_cases(2).items, odd, UnusableCase("gone", "no mask."), make_case(8, text="")))
    taken = take_cases(source)
    assert [case.id for case in taken.left_out] == ["p9", "gone"]
    assert any("2 cases left out" in note and "(8, 8)" in note for note in taken.notes)
    assert any("1 case without a report" in note for note in taken.notes)
    with pytest.raises(DatasetError, match=r"2 cases cannot be used \(p9, gone\)"):
        take_cases(source, strict=True)


def test_f04_a_patient_or_picture_stands_on_one_side_only():
    cases = [make_case(seed, patient=f"patient {seed // 2}") for seed in range(8)]
    cases.append(replace(cases[0], id="again", patient="somebody else"))
    taken = take_cases(GivenCases(tuple(cases)))
    sides = [{case.patient for case in side} for side in (taken.train, taken.held_out)]
    assert not sides[0] & sides[1]
    assert not {c.image_sha256 for c in taken.train} & {c.image_sha256 for c in taken.held_out}
    marked = GivenCases((make_case(0, is_held_out=True), make_case(0, id="copy", patient="x", is_held_out=False)))
    with pytest.raises(DatasetError, match="1 patient would be both: p0"):
        take_cases(marked)


def test_a_mask_that_no_human_approved_cannot_train(config):
    with pytest.raises(DatasetError, match="a machine made the mask and no human has approved it"):
        next(finetune(config, make_cases(2, is_approved=False)))


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_finetune import *
config = FinetuneConfig.model_validate_json(Path(sys.argv[1]).read_text())
kill_at = int(sys.argv[2])
replace_file = os.replace
steps = 0
def replace_or_die(*names):
    if steps == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    replace_file(*names)
os.replace = replace_or_die
for event in finetune(config, make_cases(3)):
    if isinstance(event, StepDone):
        steps = event.step
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_f05_f06_killed_while_writing_a_checkpoint_and_resumed_ends_in_the_same_weights(config, tmp_path):
    whole = list(finetune(config.model_copy(update={"out": tmp_path / "whole"}), make_cases(3)))[-1]
    (tmp_path / "config.json").write_text(config.model_dump_json())
    arguments = [sys.executable, "-c", KILLED, str(tmp_path / "config.json")]
    here = os.path.dirname(__file__)
    killed = subprocess.run([*arguments, "3", here], check=False, capture_output=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (config.out / "manifest.json").exists()
    events = list(finetune(config, make_cases(3)))
    assert events[0].resumed_at_step == 3, "the checkpoint under way was lost, the one before was not"
    ours, theirs = (read_adapter(out / "adapter.safetensors")[0] for out in (config.out, whole.folder))
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key], theirs[key]) for key in ours)


def test_f07_a_loss_that_is_no_number_names_step_and_cases(config):
    wild = config.model_copy(update={"learning_rate": 1e30, "num_epochs": 5})
    with pytest.raises(TrainingStopped, match=r"The loss became \w+ at step \d+, on the cases p\d"):
        list(finetune(wild, make_cases(3)))
    assert not (config.out / "manifest.json").exists()


def test_f08_a_full_disk_pauses_until_there_is_room(config, monkeypatch):
    sync, left = os.fsync, iter([True, True])

    def full_at_first(descriptor):
        if started and next(left, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    started = False
    monkeypatch.setattr(os, "fsync", full_at_first)
    events = []
    for event in finetune(config, make_cases(3)):
        started = True
        events.append(event)
    assert len([event for event in events if isinstance(event, Paused)]) == 2
    assert isinstance(events[-1], FinetuneFinished)


def test_f09_a_second_training_in_the_same_folder_is_refused(config):
    first = finetune(config, make_cases(3))
    next(first)
    with pytest.raises(ConfigError, match="a training is under way in this folder"):
        next(finetune(config, make_cases(3)))
    first.close()
    assert isinstance(next(finetune(config, make_cases(3))), CasesTaken)


def test_f10_a_model_that_is_not_better_is_not_called_so():
    phantoms = make_cases(4)
    _, architecture = build_tmca_tiny()
    snapshot = take_snapshot(
        take_cases(phantoms), architecture.preprocess, num_phantoms=0, num_reference=2, replay_folder=None, told={}
    )
    from tmca_core.metrics import CaseScore

    good, bad = CaseScore(90, 100, 100), CaseScore(10, 100, 100)
    known = [good, good]
    worse = compare(snapshot.held_out, [good], [bad], known, known)
    assert not worse.is_better
    assert worse.sentence.startswith("Not better: -80.0 Dice")
    forgetful = compare(snapshot.held_out, [bad], [good], known, [good, bad])
    assert not forgetful.is_better
    assert "40.0 Dice worse on the reference set" in forgetful.sentence
    assert compare(snapshot.held_out, [bad], [good], known, known).sentence.startswith("Better on 1 of 1 held-out")


def test_f11_when_memory_runs_out_a_batch_goes_through_in_parts(config, monkeypatch):
    forward = Tmca.forward

    def small_only(self, images, reports):
        if len(images) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, images, reports)

    monkeypatch.setattr(Tmca, "forward", small_only)
    events = list(finetune(config, make_cases(3)))
    assert [event.size for event in events if isinstance(event, BatchHalved)] == [2, 1]
    assert isinstance(events[-1], FinetuneFinished)


def test_f12_what_changes_during_a_training_is_not_learned_from(config):
    first = finetune(config, make_cases(3))
    next(first)
    next(first)
    first.close()
    events = list(finetune(config, make_cases(3, mask=np.zeros((64, 64), bool))))
    assert events[0].resumed_at_step == 1
    expected = {case.sha256 for case in make_cases(3).items}
    training = read_manifest(config.out).training
    assert {*training["cases"], *training["held_out"]} == expected
    assert not any("Every mask is empty" in note for note in events[0].notes)


def test_an_unfinished_training_of_other_cases_is_not_mixed_with_these(config):
    first = finetune(config, make_cases(3))
    next(first)
    first.close()
    with pytest.raises(CheckpointError, match="began on another model, or with other cases"):
        next(finetune(config, replace(make_cases(3), name="others")))


def test_stopping_keeps_the_best(config):
    events = finetune(config.model_copy(update={"num_epochs": 50}), make_cases(3))
    event = next(events)
    while not isinstance(event, EpochChecked):
        event = next(events)
    last = events.send("stop")
    assert isinstance(last, FinetuneFinished)
    assert (last.folder / "adapter.safetensors").exists()


def test_a_rejected_sentence_is_answered_by_nothing(tmp_path):
    _, architecture = build_tmca_tiny()
    taken = take_cases(make_cases(2, rejected=("Nodule in the right apex.",)))
    snapshot = take_snapshot(
        taken, architecture.preprocess, num_phantoms=0, num_reference=0, replay_folder=None, told={}
    )
    rejected = [lesson for lesson in snapshot.train if lesson.kind == "rejected"]
    assert [lesson.sample.report for lesson in rejected] == [("Nodule in the right apex.",)]
    write_snapshot(tmp_path / "snapshot", snapshot)
    assert [x.kind for x in read_snapshot(tmp_path / "snapshot").train] == [x.kind for x in snapshot.train]
    assert not rejected[0].sample.mask.any()
    assert all(lesson.kind == "case" for lesson in snapshot.held_out)


def test_a_volume_gives_slices_of_one_case():
    phantom = make_phantom(1, shape=(64, 64))
    volume = np.stack([np.asarray(phantom.scan.pixels)] * 3)
    mask = np.stack([phantom.mask, np.zeros_like(phantom.mask), phantom.mask])
    scan = replace(phantom.scan, pixels=volume, spacing_mm=None, affine_ras=None)
    case = CorrectedCase("v", "v", scan, mask, phantom.report_text, painted=mask)
    _, architecture = build_tmca_tiny()
    snapshot = take_snapshot(
        take_cases(GivenCases((case,))),
        architecture.preprocess,
        num_phantoms=0,
        num_reference=0,
        replay_folder=None,
        told={},
    )
    assert [bool(lesson.sample.mask.any()) for lesson in snapshot.train] == [True, True, False]
    assert bool(snapshot.train[0].painted.any())


def test_rare_classes_are_drawn_more_often_than_they_are():
    _, architecture = build_tmca_tiny()
    filled = [case for seed in range(20) if (case := make_case(seed, is_held_out=False)).mask.any()][:7]
    cases = [*filled, replace(make_case(99, findings=(), is_held_out=False), id="empty")]
    assert not cases[-1].mask.any()
    snapshot = take_snapshot(
        take_cases(GivenCases(tuple(cases))),
        architecture.preprocess,
        num_phantoms=0,
        num_reference=0,
        replay_folder=None,
        told={},
    )
    drawn = [
        lesson.case
        for step in range(200)
        for lesson in draw_lessons(snapshot, 2, 0.0, torch.Generator().manual_seed(step))
    ]
    assert drawn.count("empty") > 1.5 * len(drawn) / 8
