from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tmca_core.calibration import Calibration
from tmca_core.errors import CheckpointError
from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.checkpoint import (
    find_model,
    list_models,
    load_model,
    read_manifest,
    save_calibration,
    save_model,
    sha256_of,
)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    model, architecture = build_tmca_tiny()
    save_model(model, architecture, tmp_path / "tiny", name="tiny", version="1.2.3", threshold=0.4)
    return tmp_path / "tiny"


def rewrite_weights(folder, change) -> None:
    """Change the weights and make the manifest vouch for them, as somebody who trains would."""
    state = change(load_file(folder / "model.safetensors"))
    save_file(state, folder / "model.safetensors")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"]["model.safetensors"] = sha256_of(folder / "model.safetensors")
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_saved_model_loads_with_the_same_answer(folder):
    torch.manual_seed(0)
    original, _ = build_tmca_tiny()
    loaded, architecture, info = load_model(folder)
    assert (info.name, info.version, info.threshold) == ("tiny", "1.2.3", 0.4)
    assert architecture.preprocess.image_size == 96
    original = original.half().float().eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = original(image, original.tokenizer([["left lung"]])).logits
        found = loaded(image, loaded.tokenizer([["left lung"]])).logits
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vocab.txt"])
def test_one_flipped_byte_is_refused(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name}: the file is damaged.*expected sha256 \w+\.\.\., found"):
        load_model(folder)


def test_truncated_weights_are_refused(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(folder)


def test_a_pickle_is_refused_and_not_executed(tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    (tmp_path / "model.pt").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(CheckpointError, match=r"model.pt: refused, a .pt file can run code"):
        find_model(tmp_path / "model.pt")
    assert not (tmp_path / "canary").exists()


def test_a_pickle_under_the_name_of_safetensors_is_refused_and_not_executed(folder, tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    (folder / "model.safetensors").write_bytes(pickle.dumps(Attack()))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"]["model.safetensors"] = sha256_of(folder / "model.safetensors")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="no safetensors"):
        load_model(folder)
    assert not (tmp_path / "canary").exists()


def test_missing_unexpected_and_misshapen_tensors_are_named(folder):
    def change(state):
        state["head.of.another"] = state.pop("decoder.head.bias")
        state["decoder.head.weight"] = state["decoder.head.weight"][:, :2].contiguous()
        return state

    rewrite_weights(folder, change)
    with pytest.raises(CheckpointError, match="1 tensors missing, 1 unexpected, 1 of another shape"):
        load_model(folder)


def test_weights_that_are_not_finite_are_named(folder):
    rewrite_weights(folder, lambda state: {**state, "decoder.head.bias": torch.tensor([float("nan")])})
    with pytest.raises(CheckpointError, match=r"not finite in \['decoder.head.bias'\]"):
        load_model(folder)


def test_an_unknown_model_lists_the_installed_ones(tmp_path):
    with pytest.raises(CheckpointError, match=r"Model 'nonsense'.*Installed: "):
        find_model("nonsense")


def test_an_empty_folder_says_what_is_missing(tmp_path):
    with pytest.raises(CheckpointError, match=r"manifest.json is missing"):
        load_model(find_model(tmp_path))


def test_a_manifest_of_a_newer_program_says_so(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 99, "made_by": "9.9"}))
    with pytest.raises(CheckpointError, match=r"made by napari-tmca 9.9, this is \d"):
        read_manifest(folder)


@pytest.mark.parametrize("content", ["{}", "[]", "no json", '{"name": 1, "version": 2, "sha256": {}}'])
def test_a_broken_manifest_is_one_sentence(folder, content):
    (folder / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"manifest.json"):
        read_manifest(folder)


def test_installed_models_are_listed_and_broken_ones_left_out(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tmca_core.model.checkpoint.models_folder", lambda: tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    assert "tiny" in [info.name for info in list_models()]
    assert "broken" not in [info.folder.name for info in list_models()]
    assert find_model("tiny") == folder


def test_the_stored_weights_are_half_precision_and_nothing_else(folder):
    state = load_file(folder / "model.safetensors")
    assert {str(tensor.dtype) for tensor in state.values()} <= {"torch.float16", "torch.int64"}
    assert np.isfinite(sum(float(tensor.double().sum()) for tensor in state.values()))


def test_metadata_of_a_bundle_stands_beside_the_manifest(tmp_path):
    model, architecture = build_tmca_tiny()
    info = save_model(model, architecture, tmp_path / "m", name="m", version="3", figures={"val": {"dice_mean": 0.5}})
    save_calibration(info.folder, Calibration(1.5), {"calibration": {"n": 9}})
    metadata = json.loads((info.folder / "metadata.json").read_text())
    assert metadata["version"] == "3"
    assert metadata["eval_metrics"] == {"val": {"dice_mean": 0.5}, "calibration": {"n": 9}}
    assert metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] == [96, 96]
    assert "Not a medical device" in metadata["intended_use"]
    assert read_manifest(info.folder).calibration == Calibration(1.5)
    load_model(info.folder)
