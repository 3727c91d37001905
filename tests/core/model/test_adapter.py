from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tmca_core.errors import CheckpointError, StudyWriteError
from tmca_core.model import store
from tmca_core.model.adapter import add_adapters, merge_adapter, trained_tensors
from tmca_core.model.adapter_file import ADAPTER, MAX_BYTES, encode_adapter, read_adapter
from tmca_core.model.architecture import EfficientNetLiteImageEncoder
from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.checkpoint import (
    DEFAULT_MODEL,
    find_model,
    list_models,
    load_model,
    models_folder,
    read_manifest,
    save_model,
)
from tmca_core.model.image_encoder import EfficientNetLite


@pytest.fixture(autouse=True)
def _own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "data"))


def make_base(folder, seed=0):
    torch.manual_seed(seed)
    model, architecture = build_tmca_tiny()
    for enhancement in model.decoder.enhancements:
        torch.nn.init.normal_(enhancement.gamma)
    return save_model(model, architecture, folder, name=folder.name, version="1", threshold=0.4)


def learn(base, folder, seed=1):
    """Return an adapted network, and the model written of it."""
    model, _, info = load_model(base)
    add_adapters(model, rank=3)
    model.to(memory_format=torch.channels_last)
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.02 * torch.randn_like(parameter)
    written = store.save_adapter(
        folder, trained_tensors(model), info, name=folder.name, figures={"verdict": "Better."}, training={"cases": []}
    )
    return model.eval(), written


@pytest.fixture
def base(tmp_path):
    return make_base(models_folder() / "tiny").folder


@pytest.fixture
def adapted(base):
    return learn(base, models_folder() / "tiny-2")


def logits(model):
    torch.manual_seed(5)
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        return model(image, model.tokenizer([["left lung"]])).logits


def test_an_adapter_loads_as_the_network_that_was_trained(base, adapted):
    trained, info = adapted
    loaded, _, found = load_model(find_model("tiny-2"))
    assert found.base["sha256"] == read_manifest(base).weights_sha256
    assert found.threshold == 0.4
    assert torch.allclose(logits(loaded), logits(trained), atol=2e-3)
    assert not torch.allclose(logits(loaded), logits(load_model(base)[0]), atol=2e-2)
    assert found.weights_sha256 == info.weights_sha256


def test_what_is_learned_twice_stands_on_what_was_learned_once(adapted):
    trained, info = learn(adapted[1].folder, models_folder() / "tiny-3", seed=2)
    assert torch.allclose(logits(load_model(info.folder)[0]), logits(trained), atol=3e-3)
    assert store.lineage(info)[0] == "tiny-3"
    assert [name.split()[0] for name in store.lineage(info)[1:]] == ["tiny-2", "tiny"]


def test_adapting_starts_from_the_very_same_answer(base):
    model = load_model(base)[0]
    before = logits(model)
    add_adapters(model, rank=3)
    assert torch.equal(logits(model), before)
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert any(name.startswith("text_encoder.bert") for name in frozen)
    assert any(name.startswith("image_encoder.stem") for name in frozen)


@pytest.mark.parametrize("at", [0.02, 0.3, 0.6, 0.99])
def test_a_flipped_byte_is_refused_in_words(adapted, at):
    path = adapted[1].folder / ADAPTER
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="the file is damaged or was changed"):
        load_model(path.parent)
    with pytest.raises(CheckpointError, match=r"damaged"):
        store.import_model(path, "again")


def test_an_adapter_of_another_base_is_refused_in_words(adapted, base):
    make_base(base, seed=9)
    with pytest.raises(CheckpointError, match=r"belongs to tiny 1 .*not installed; the tiny 1 found here is another"):
        load_model(adapted[1].folder)


def test_an_adapter_made_by_a_newer_version_is_refused_in_words(adapted, base, tmp_path):
    tensors, manifest = read_adapter(adapted[1].folder / ADAPTER)
    (tmp_path / "new.safetensors").write_bytes(encode_adapter(tensors, {**manifest, "format": 99, "made_by": "9.0"}))
    with pytest.raises(CheckpointError, match=r"made by napari-tmca 9\.0, this is"):
        store.import_model(tmp_path / "new.safetensors", "new")


def test_weights_that_are_not_finite_or_do_not_fit_are_refused(base):
    model = load_model(base)[0]
    with pytest.raises(CheckpointError, match=r"not finite in to_align\.bias"):
        merge_adapter(model, {"to_align.bias": np.full(16, np.nan, np.float16)}, "bad")
    with pytest.raises(CheckpointError, match="another architecture"):
        merge_adapter(model, {"to_align.bias": np.zeros(3, np.float16)}, "bad")


def test_an_adapter_has_a_greatest_size():
    with pytest.raises(CheckpointError, match=r"would take 6\.0 MB, at most 5 MB"):
        encode_adapter({"a": np.zeros(3_000_000, np.float16)}, {})
    assert MAX_BYTES == 5_000_000


def test_the_model_in_use_can_be_chosen_and_taken_back(adapted, tmp_path):
    assert store.model_in_use() == DEFAULT_MODEL
    with pytest.raises(CheckpointError, match="nothing to go back to"):
        store.roll_back()
    store.use_model("tiny")
    store.use_model("tiny-2")
    assert find_model("default") == adapted[1].folder
    assert store.roll_back() == "tiny"
    elsewhere = make_base(tmp_path / "elsewhere").folder
    store.use_model(str(elsewhere))
    assert find_model("default") == elsewhere
    (elsewhere / "manifest.json").unlink()
    assert store.model_in_use() == "tiny", "a model that is gone is passed over"
    with pytest.raises(CheckpointError, match="expected an installed model"):
        store.use_model("nobody")


def test_names_of_versions_count_on(adapted):
    assert store.next_name("tiny") == store.next_name("tiny-2") == "tiny-3"
    (models_folder() / "tiny-3" / "run").mkdir(parents=True)
    assert store.next_name("tiny") == "tiny-3", "an unfinished training is continued under its name"


def test_an_adapter_is_handed_on_as_one_file_without_a_path_of_this_machine(adapted, base, tmp_path):
    file = store.export_model("tiny-2", tmp_path / "out" / "mine.safetensors")
    assert str(tmp_path) not in file.read_bytes().decode("latin-1")
    with pytest.raises(StudyWriteError, match="something is there already"):
        store.export_model("tiny-2", file)
    with pytest.raises(CheckpointError, match="a model of this name is installed"):
        store.import_model(file)
    imported = store.import_model(file, "theirs")
    assert imported.folder == models_folder() / "theirs"
    assert torch.equal(logits(load_model(imported.folder)[0]), logits(load_model(adapted[1].folder)[0]))
    assert {"tiny", "tiny-2", "theirs"} <= {info.folder.name for info in list_models()}
    with pytest.raises(CheckpointError, match="expected a plain name"):
        store.import_model(file, "../evil")


def test_a_whole_model_is_handed_on_as_a_folder(base, tmp_path):
    folder = store.export_model("tiny", tmp_path / "handed")
    assert store.import_model(folder, "other").folder == models_folder() / "other"
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"]["config.json"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="damaged or was changed"):
        store.import_model(folder, "third")


def test_of_an_efficientnet_the_last_stages_and_the_laterals_are_adapted(tmp_path):
    torch.manual_seed(0)
    model, architecture = build_tmca_tiny()
    image = EfficientNetLiteImageEncoder(
        channels=architecture.image_encoder.channels, detail_channels=architecture.image_encoder.detail_channels
    )
    model.image_encoder = EfficientNetLite(channels=image.channels, detail_channels=image.detail_channels)
    architecture = architecture.model_copy(update={"image_encoder": image})
    save_model(model, architecture, tmp_path / "lite", name="lite", version="1")
    model, written = learn(tmp_path / "lite", tmp_path / "lite-2")
    adapted = {
        key.split(".weight.")[0] for key in trained_tensors(model) if key.startswith("image_encoder.") and "lora" in key
    }
    assert {".".join(name.split(".")[:4]) for name in adapted if "backbone" in name} == {
        *(f"image_encoder.backbone.stages.{stage}" for stage in (3, 4))
    }
    assert len([name for name in adapted if name.startswith("image_encoder.laterals.")]) == 5
    assert torch.allclose(logits(load_model(written.folder)[0]), logits(model), atol=2e-2)
    assert (written.folder / ADAPTER).stat().st_size < MAX_BYTES
