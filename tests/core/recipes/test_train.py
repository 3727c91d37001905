from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tmca_core.errors import CheckpointError, ConfigError, DatasetError
from tmca_core.model.checkpoint import load_model
from tmca_core.phantom import make_phantom
from tmca_core.predictor import Predictor
from tmca_core.recipes.batches import batch_workers
from tmca_core.recipes.train import (
    EpochDone,
    StepDone,
    TrainingFinished,
    TrainingStopped,
    learning_rate_factor,
    train,
)
from tmca_core.recipes.train_config import read_train_config
from tmca_core.report import parse_report

RUN = "import sys; from pathlib import Path; from tmca_core.recipes.train_config import read_train_config; "
RUN += "from tmca_core.recipes.train import train\n"
RUN += "for event in train(read_train_config(Path(sys.argv[1]))): print(type(event).__name__, flush=True)"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name in ("images", "masks", "reports"):
        (folder / name).mkdir()
    ids = [f"phantom{seed}" for seed in range(10)]
    for seed, case in enumerate(ids):
        phantom = make_phantom(seed, shape=(64, 64))
        Image.fromarray(np.asarray(phantom.scan.pixels, np.uint8)).save(folder / "images" / f"{case}.png")
        Image.fromarray(phantom.mask.astype(np.uint8) * 255).save(folder / "masks" / f"{case}.png")
        (folder / "reports" / f"{case}.txt").write_text(phantom.report_text)
    (folder / "split.json").write_text(json.dumps({"train": ids[:8], "val": ids[8:]}))
    return folder


def write_config(path, data, **run):
    settings = {"out": str(path.parent / "run"), "name": "tiny", "seed": 7, "threads": 1, "checkpoint_every": 1, **run}
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    path.write_text(
        f"[data]\nfolder = {json.dumps(str(data))}\nphantoms = 4\n"
        '[model]\nsize = "tiny"\n'
        "[schedule]\nstages = [{image_size = 32, epochs = 1}, {image_size = 64, epochs = 2}]\nbatch_size = 4\n"
        "[run]\n" + "\n".join(lines) + "\n"
    )
    return path


def test_a_training_ends_in_weights_that_predict(tmp_path, data):
    events = list(train(read_train_config(write_config(tmp_path / "c.toml", data))))
    epochs = [event for event in events if isinstance(event, EpochDone)]
    assert [epoch.image_size for epoch in epochs] == [32, 64, 64]
    assert [event.step for event in events if isinstance(event, StepDone)] == list(range(1, 10))
    finished = events[-1]
    assert isinstance(finished, TrainingFinished)
    predictor = Predictor.load(finished.folder, device="cpu")
    predictor.set_scan(make_phantom(3).scan)
    assert predictor.predict(parse_report("Opacity.")).provenance.model_sha256 == finished.weights_sha256
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == [1, 2, 3]
    assert {"loss", "dice_mean", "dice_pooled", "dice_mean_without_report"} <= set(log[0])


def test_more_folders_are_trained_on_and_scored_beside_the_first(tmp_path, data):
    lungs = tmp_path / "lungs"
    shutil.copytree(data, lungs)
    more = f'data.more=[{{folder="{lungs}", repeat=2}}]'
    telling = "telling={dropout=0.1, instruction_only=0.2, mismatch=0.3, rewrite=0.6, denied=0.2}"
    config = read_train_config(write_config(tmp_path / "c.toml", data), [more, telling, "augment.flip=0.5"])
    events = list(train(config))
    assert events[0].num_train == 8 + 2 * 8
    assert set(events[-2].dice_mean_of_more) == {"lungs"}


def test_weights_carry_their_recipe_and_no_folder_of_this_machine(tmp_path, data):
    more = f'data.more=[{{folder="{data}"}}]'
    finished = list(train(read_train_config(write_config(tmp_path / "c.toml", data), [more])))[-1]
    training = json.loads((finished.folder / "manifest.json").read_text())["training"]
    assert training["datasets"] == [data.name, data.name]
    assert training["config"]["data"]["folder"] == data.name
    assert str(tmp_path.parent) not in json.dumps(training)


def test_base_without_an_image_encoder_is_refused(tmp_path, data):
    config = read_train_config(write_config(tmp_path / "c.toml", data), ['model.size="base"'])
    with pytest.raises(ConfigError, match=r"model\.image_encoder: expected the folder or hub id of a ConvNeXt"):
        next(train(config))


def test_the_training_loss_falls(tmp_path, data):
    config = read_train_config(
        write_config(tmp_path / "c.toml", data), ["schedule.stages=[{image_size=64, epochs=20}]"]
    )
    losses = [event.loss for event in train(config) if isinstance(event, EpochDone)]
    assert losses[-1] < 0.8 * losses[0]


def test_killed_and_resumed_ends_in_the_same_weights(tmp_path, data):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = write_config(tmp_path / "whole" / "c.toml", data)
    killed = write_config(tmp_path / "killed" / "c.toml", data)
    subprocess.run([sys.executable, "-c", RUN, str(whole)], check=True, capture_output=True, timeout=300)
    for steps in (3, 2):
        process = subprocess.Popen([sys.executable, "-c", RUN, str(killed)], stdout=subprocess.PIPE, text=True)
        seen = 0
        for line in process.stdout:
            seen += line.startswith("StepDone")
            if seen == steps:
                break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    subprocess.run([sys.executable, "-c", RUN, str(killed)], check=True, capture_output=True, timeout=300)
    a, b = (load_file(tmp_path / name / "run" / "tiny" / "model.safetensors") for name in ("whole", "killed"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)
    logs = [
        [
            {key: value for key, value in json.loads(line).items() if key not in ("seconds", "waiting_share")}
            for line in (tmp_path / name / "run" / "log.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "killed")
    ]
    assert logs[0] == logs[1]


def test_a_finished_training_is_not_done_again(tmp_path, data):
    config = read_train_config(write_config(tmp_path / "c.toml", data))
    first = list(train(config))[-1]
    started = time.process_time()
    again = list(train(config))
    assert not [event for event in again if isinstance(event, StepDone)]
    assert again[-1] == first
    assert time.process_time() - started < 60


def test_a_state_of_another_configuration_is_refused(tmp_path, data):
    path = write_config(tmp_path / "c.toml", data)
    next(iter(train(read_train_config(path))))
    list(train(read_train_config(path)))
    with pytest.raises(CheckpointError, match="another configuration"):
        list(train(read_train_config(path, ["run.seed=8"])))


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(tmp_path, data):
    path = write_config(tmp_path / "c.toml", data)
    config = read_train_config(path, ["schedule.learning_rate=1e30", "schedule.warmup_share=0.0"])
    with pytest.raises(TrainingStopped, match="The loss became"):
        list(train(config))
    assert (tmp_path / "run" / "state.safetensors").exists()


def test_an_unknown_key_lists_the_valid_ones(tmp_path, data):
    path = write_config(tmp_path / "c.toml", data)
    with pytest.raises(ConfigError, match=r"unknown key 'schedule.epoch'.*Valid keys there: .*batch_size.*stages"):
        read_train_config(path, ["schedule.epoch=3"])
    with pytest.raises(ConfigError, match=r"unknown key 'model.alignment.level'.*Valid keys there: .*levels"):
        read_train_config(path, ["model.alignment.level=3"])


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("schedule.batch_size=0", "schedule.batch_size.*greater than or equal to 1"),
        ("run.precision='float8'", "run.precision.*'auto', 'bfloat16' or 'float32'"),
        ("nonsense", "expected section.key=value"),
    ],
)
def test_a_value_out_of_range_is_one_sentence(tmp_path, data, override, match):
    with pytest.raises(ConfigError, match=match):
        read_train_config(write_config(tmp_path / "c.toml", data), [override])


def test_a_missing_or_broken_configuration_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_train_config(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("[data\n")
    with pytest.raises(ConfigError, match="expected TOML"):
        read_train_config(tmp_path / "broken.toml")


def test_a_missing_data_folder_is_one_sentence(tmp_path):
    with pytest.raises(DatasetError, match="expected a data folder, got nothing there"):
        list(train(read_train_config(write_config(tmp_path / "c.toml", tmp_path / "nowhere"))))


def test_the_learning_rate_warms_up_and_falls():
    factors = [learning_rate_factor(step, 100, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[10] == pytest.approx(1.0)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.02


@pytest.mark.parametrize("platform", [sys.platform, "darwin"], ids=["processes", "threads"])
def test_batches_prepared_ahead_train_the_same_weights(tmp_path, data, monkeypatch, platform):
    found = []
    for workers in (0, 2):
        (tmp_path / f"{workers}").mkdir()
        config = read_train_config(write_config(tmp_path / f"{workers}" / "c.toml", data), ["augment.flip=0.5"])
        monkeypatch.setattr("tmca_core.recipes.batches.batch_workers", lambda device, _, n=workers: n)
        monkeypatch.setattr(sys, "platform", platform)
        events = list(train(config))
        found.append(events[-1].weights_sha256)
        log = [json.loads(line) for line in (tmp_path / f"{workers}" / "run" / "log.jsonl").read_text().splitlines()]
        assert all(0 <= line["waiting_share"] <= 1 for line in log)
    assert found[0] == found[1]


def test_workers_are_for_gpus_and_can_be_set():
    assert batch_workers(torch.device("cpu"), 4) == 0
    assert batch_workers(torch.device("cuda"), 4) == 4
    assert 1 <= batch_workers(torch.device("cuda")) <= 8


def test_minutes_end_a_training_whose_learning_rate_has_fallen_by_then(tmp_path, data, monkeypatch):
    rates = []
    step = torch.optim.AdamW.step

    def watched(self, *arguments):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    overrides = ["schedule.stages=[{image_size=64, epochs=1000}]", "schedule.minutes=0.05", "schedule.warmup_share=0.0"]
    events = list(train(read_train_config(write_config(tmp_path / "c.toml", data), overrides)))
    assert isinstance(events[-1], TrainingFinished)
    assert 3.0 <= [event for event in events if isinstance(event, EpochDone)][-1].seconds < 60.0
    assert len(rates) < 3000
    assert rates[-1] < 0.3 * rates[0]


def test_a_new_image_side_keeps_the_words_of_the_model_it_starts_from(tmp_path, data):
    first = list(train(read_train_config(write_config(tmp_path / "c.toml", data))))[-1].folder
    image = "{kind='compact', channels=[8, 12, 16, 24], depths=[1, 1, 1, 1], detail_channels=6}"
    path = tmp_path / "other"
    path.mkdir()
    overrides = [f"model.start_from='{first}'", f"model.image={image}", "schedule.text_learning_rate_scale=0.0"]
    second = list(train(read_train_config(write_config(path / "c.toml", data), overrides)))[-1].folder
    old, new = (load_file(folder / "model.safetensors") for folder in (first, second))
    words = [name for name in new if name.startswith("text_encoder.bert.embeddings.")]
    assert words
    assert all(torch.equal(old[name], new[name]) for name in words)
    assert load_model(second)[1].image_encoder.channels == (8, 12, 16, 24)
