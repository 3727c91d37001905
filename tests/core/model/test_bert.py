"""Our BERT against that of transformers: the same names, vectors and word pieces."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from tmca_core.model.architecture import TextEncoderArchitecture
from tmca_core.model.bert import Bert
from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.checkpoint import DEFAULT_MODEL, find_model, load_model

SIZES = TextEncoderArchitecture(
    vocab_size=40, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=36,
    max_position_embeddings=16,
)  # fmt: skip
TEXTS = (
    "Opacity in the left lower zone, 12.5 mm; no effusion.", "", "   ", "RLL/LLL: na\u00efve \u2014 \u201cquoted\u201d",
    "\u80ba\u708e", "a" * 300, "tab\tand\nline", "[SEP] typed by hand [CLS]", "\u200bzero width",
    "\ufb01brosis", "x\x00y",
)  # fmt: skip


def theirs(sizes):
    names = (
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
        "max_position_embeddings", "layer_norm_eps",
    )  # fmt: skip
    config = BertConfig(
        **{name: getattr(sizes, name) for name in names}, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    return BertModel(config, add_pooling_layer=False).eval()


def test_the_vectors_are_those_of_transformers():
    torch.manual_seed(0)
    ours, other = Bert(SIZES).eval(), theirs(SIZES)
    other.load_state_dict(ours.state_dict())  # strict: the names are the same
    ids = torch.randint(SIZES.vocab_size, (5, 12))
    mask = torch.arange(12)[None] < torch.tensor([12, 7, 1, 3, 9])[:, None]
    with torch.inference_mode():
        found, expected = ours(ids, mask), other(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(found[mask], expected[mask], rtol=0, atol=1e-6)


def test_the_shipped_weights_give_the_vectors_of_transformers():
    model, architecture, _ = load_model(find_model(DEFAULT_MODEL))
    ours, other = model.text_encoder.bert.eval(), theirs(architecture.text_encoder)
    other.load_state_dict(ours.state_dict())
    tokens = model.tokenizer([TEXTS])
    ids, mask = tokens.input_ids, tokens.attention_mask
    with torch.inference_mode():
        found, expected = ours(ids, mask), other(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(found[mask], expected[mask], rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", ["tiny", "shipped"])
def test_the_word_pieces_are_those_of_transformers(model):
    made = build_tmca_tiny()[0] if model == "tiny" else load_model(find_model(DEFAULT_MODEL))[0]
    ours = made.tokenizer
    other = BertTokenizer(vocab={piece: i for i, piece in enumerate(ours.vocabulary)}, do_lower_case=True)
    for text in TEXTS:
        expected = other(text, add_special_tokens=False, return_offsets_mapping=True)
        found = ours.tokenizer.encode(text, add_special_tokens=False)
        assert found.ids == expected["input_ids"], text
        assert found.offsets == [tuple(span) for span in expected["offset_mapping"]], text


def test_gradients_reach_the_trainable_layers_only():
    model, _ = build_tmca_tiny()
    names = {name for name, parameter in model.text_encoder.bert.named_parameters() if parameter.requires_grad}
    assert all(name.startswith("encoder.layer.") for name in names)
