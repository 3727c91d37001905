from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel, ConvNextConfig, ConvNextModel

from tmca_core.errors import CheckpointError
from tmca_core.model.build import (
    build_tmca,
    build_tmca_base,
    build_tmca_compact,
    build_tmca_tiny,
    tiny_vocabulary,
    with_efficientnet_lite,
)
from tmca_core.model.hub import EFFICIENTNET_LITE0, PretrainedSource, read_bert
from tmca_core.model.image_encoder import EfficientNetLiteBackbone
from tmca_core.model.prune import kept_word_pieces, medical_words, prune_bert


def tiny_bert() -> BertModel:
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(tiny_vocabulary()),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    return BertModel(config, add_pooling_layer=False).eval()


def write_bert(folder, *, as_pickle=False, prefix="", **config_extra):
    """A small BERT in the hub's layout; with a pickle and remote code, as CXR-BERT has them, where asked."""
    bert = tiny_bert()
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(tiny_vocabulary()) + "\n")
    (folder / "config.json").write_text(json.dumps({**bert.config.to_dict(), **config_extra}))
    state = {prefix + name: tensor.contiguous() for name, tensor in bert.state_dict().items()}
    state["cls.predictions.bias"] = torch.zeros(3)
    if as_pickle:
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file(state, folder / "model.safetensors")
    return bert


def write_convnext(folder):
    torch.manual_seed(2)
    backbone = ConvNextModel(ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])).eval()
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(backbone.config.to_dict()))
    state = {f"convnext.{name}": tensor.contiguous() for name, tensor in backbone.state_dict().items()}
    save_file({**state, "classifier.weight": torch.zeros(2, 32)}, folder / "model.safetensors")
    return backbone


def write_efficientnet_lite(folder):
    torch.manual_seed(3)
    backbone = EfficientNetLiteBackbone().eval()
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": EFFICIENTNET_LITE0}))
    save_file(backbone.state_dict(), folder / "model.safetensors")
    return backbone


def test_base_takes_its_encoders_from_local_folders(tmp_path):
    bert = write_bert(tmp_path / "bert", prefix="bert.")
    convnext = write_convnext(tmp_path / "convnext")
    model, architecture = build_tmca_base(
        image_source=PretrainedSource(tmp_path / "convnext"), text_source=PretrainedSource(tmp_path / "bert")
    )
    model.eval()
    assert architecture.image_encoder.channels == (8, 16, 24, 32)
    image, tokens = torch.randn(1, 3, 64, 64), model.tokenizer([["left lower lung"]])
    with torch.inference_mode():
        expected = convnext(pixel_values=image, output_hidden_states=True).hidden_states[1:]
        for found, level in zip(model.encode_image(image).levels, expected, strict=True):
            torch.testing.assert_close(found, level)
        hidden = bert(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask.long()).last_hidden_state
        torch.testing.assert_close(model.encode_reports(tokens).tokens, hidden)
        assert model(image, tokens).logits.shape == (1, 1, 64, 64)


def test_remote_code_in_a_folder_never_runs(tmp_path):
    canary = tmp_path / "canary"
    auto_map = {"AutoModel": "modeling_attack.AttackModel", "AutoConfig": "modeling_attack.AttackConfig"}
    write_bert(tmp_path / "bert", model_type="cxr-bert", auto_map=auto_map)
    (tmp_path / "bert" / "modeling_attack.py").write_text(f"open({str(canary)!r}, 'w')\n")
    model, _ = build_tmca_compact(PretrainedSource(tmp_path / "bert"))
    assert model.text_encoder.dim == 32
    assert not canary.exists()


def test_a_pickled_checkpoint_is_converted_once_to_safetensors(tmp_path):
    bert = write_bert(tmp_path / "bert", as_pickle=True)
    found = read_bert(PretrainedSource(tmp_path / "bert"))
    assert (tmp_path / "bert" / "model.safetensors").exists()
    name = "embeddings.word_embeddings.weight"
    assert torch.equal(found.tensors[name], bert.state_dict()[name])


def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    write_bert(tmp_path / "bert", as_pickle=True)
    (tmp_path / "bert" / "pytorch_model.bin").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin: refused"):
        read_bert(PretrainedSource(tmp_path / "bert"))
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "bert" / "model.safetensors").exists()


def test_a_vocabulary_of_another_size_is_refused(tmp_path):
    write_bert(tmp_path / "bert")
    (tmp_path / "bert" / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    with pytest.raises(CheckpointError, match=r"expected the \d+ word pieces that config.json names, got 2"):
        read_bert(PretrainedSource(tmp_path / "bert"))


def test_tensors_of_another_architecture_are_named(tmp_path):
    write_bert(tmp_path / "bert", num_hidden_layers=4)
    with pytest.raises(CheckpointError, match=r"16 tensors are missing.*encoder\.layer\.3"):
        build_tmca_compact(PretrainedSource(tmp_path / "bert"))


def test_a_hub_id_needs_a_pinned_revision():
    with pytest.raises(CheckpointError, match="needs a pinned revision"):
        PretrainedSource("somebody/some-bert").folder()


def test_an_unreachable_hub_is_one_sentence(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(CheckpointError, match=r"could not be fetched from the hub at revision v1\.1"):
        PretrainedSource("somebody/some-bert", revision="v1.1").folder()


def test_a_downloaded_snapshot_is_read_like_a_folder(tmp_path, monkeypatch):
    write_bert(tmp_path / "snapshot")
    asked = {}

    def download(repo, *, revision, allow_patterns):
        asked.update(repo=repo, revision=revision, patterns=allow_patterns)
        return str(tmp_path / "snapshot")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert read_bert(PretrainedSource("somebody/some-bert", revision="abc")).architecture.hidden_size == 32
    assert (asked["repo"], asked["revision"]) == ("somebody/some-bert", "abc")
    assert not [pattern for pattern in asked["patterns"] if pattern.endswith(".py")]


def test_a_pruned_bert_gives_the_states_of_the_layers_it_keeps(tmp_path):
    bert = write_bert(tmp_path / "bert")
    pieces = prune_bert(PretrainedSource(tmp_path / "bert"), tmp_path / "pruned", num_layers=2, num_common=40)
    assert pieces < len(tiny_vocabulary())
    pruned, _ = build_tmca_compact(PretrainedSource(tmp_path / "pruned"))
    tokens = pruned.tokenizer([["a left lung"]])
    full, _ = build_tmca_compact(PretrainedSource(tmp_path / "bert"))
    words = pruned.tokenizer.tokenizer.encode("a left lung").tokens
    ids = torch.tensor([[full.tokenizer.tokenizer.token_to_id(word) for word in words]])
    with torch.inference_mode():
        expected = bert(input_ids=ids, output_hidden_states=True).hidden_states[2]
        torch.testing.assert_close(pruned.eval().encode_reports(tokens).tokens, expected)


def test_pruning_keeps_medical_words_and_drops_what_cannot_be_typed():
    vocabulary = ["[PAD]", "[unused1]", "the", "中", "paris", "pneumonia", "##ly"]
    kept = kept_word_pieces(vocabulary, frozenset({"pneumonia"}), num_common=3)
    assert [vocabulary[i] for i in kept] == ["[PAD]", "the", "pneumonia", "##ly"]
    assert {"lung", "lobe", "artery", "thorax"} <= medical_words()


def test_compact_takes_its_image_encoder_from_a_local_folder(tmp_path):
    write_bert(tmp_path / "bert")
    backbone = write_efficientnet_lite(tmp_path / "image")
    source = PretrainedSource(tmp_path / "image")
    compact, architecture = build_tmca_compact(PretrainedSource(tmp_path / "bert"), image_source=source)
    assert architecture.image_encoder.kind == "efficientnet-lite0"
    tiny, tiny_architecture = build_tmca_tiny()
    tiny, tiny_architecture = with_efficientnet_lite(tiny, tiny_architecture, source)
    for model, sizes in ((compact, (64, 128, 192, 256)), (tiny, (12, 16, 24, 32))):
        model.eval()
        image, tokens = torch.randn(1, 3, 70, 64), model.tokenizer([["left lower lung"]])
        with torch.inference_mode():
            for found, expected in zip(
                model.image_encoder.backbone(image[..., :64, :]), backbone(image[..., :64, :]), strict=True
            ):
                torch.testing.assert_close(found, expected)
            assert tuple(level.shape[1] for level in model.encode_image(image).levels) == sizes
            assert model(image, tokens).logits.shape == (1, 1, 70, 64)
    rebuilt = build_tmca(tiny_architecture, tiny_vocabulary())
    rebuilt.load_state_dict(tiny.state_dict())


def test_an_image_encoder_of_another_network_is_refused(tmp_path):
    write_bert(tmp_path / "bert")
    write_convnext(tmp_path / "convnext")
    with pytest.raises(CheckpointError, match="expected model_type efficientnet-lite0"):
        build_tmca_compact(PretrainedSource(tmp_path / "bert"), image_source=PretrainedSource(tmp_path / "convnext"))


def test_only_the_official_image_weights_are_converted(tmp_path):
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, tmp_path / "lite0.pth")
    script = Path(__file__).parents[3] / "scripts" / "convert_efficientnet_lite.py"
    command = [sys.executable, str(script), str(tmp_path / "lite0.pth"), str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "expected sha256" in result.stderr
    assert not (tmp_path / "out").exists()
