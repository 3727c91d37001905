"""A small BERT out of a larger one: fewer layers, fewer word pieces, every kept weight unchanged."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from tmca_core.model.hub import WEIGHTS_FILE, PretrainedSource, read_bert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"
SPECIAL_TOKENS = frozenset({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"})


def prune_bert(source: PretrainedSource, out: Path, *, num_layers: int, num_common: int) -> int:
    """Write a pruned copy of a BERT in the hub's layout and return its number of word pieces.

    Parameters
    ----------
    source : PretrainedSource
        The BERT to start from.
    out : Path
        New folder.
    num_layers : int
        Transformer layers kept, from the bottom: they hold the words in their context, the top ones a sentence's gist.
    num_common : int
        Size of the vocabulary's head that is kept; BERT's is sorted by frequency. Beyond it continuation pieces and
        medical words stay, so that any text can still be spelled.

    """
    bert = read_bert(source)
    kept = kept_word_pieces(bert.vocabulary, medical_words(), num_common=num_common)
    names = [name for name in bert.tensors if _layer_of(name) < num_layers and not name.startswith("pooler.")]
    tensors = {name: bert.tensors[name].float() for name in names}
    tensors[WORD_EMBEDDINGS] = tensors[WORD_EMBEDDINGS][torch.tensor(kept)].contiguous()
    tensors.pop("embeddings.position_ids", None)
    config = {
        "model_type": "bert",
        **bert.architecture.model_dump(exclude={"lower_case", "max_tokens", "num_trainable_layers"}),
        "num_hidden_layers": num_layers,
        "vocab_size": len(kept),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    (out / "vocab.txt").write_text("\n".join(bert.vocabulary[i] for i in kept) + "\n", encoding="utf-8")
    save_file(tensors, out / WEIGHTS_FILE)
    return len(kept)


def kept_word_pieces(vocabulary: Sequence[str], words: AbstractSet[str], *, num_common: int) -> list[int]:
    """Return the ids that stay: special tokens, continuation pieces, the common head and ``words``; ASCII only."""
    return [
        i
        for i, piece in enumerate(vocabulary)
        if piece in SPECIAL_TOKENS
        or (piece.isascii() and not piece.startswith("[unused") and _is_wanted(i, piece, words, num_common))
    ]


def medical_words() -> frozenset[str]:
    """Return the words in the concept names of the coding schemes that pydicom carries (SNOMED CT, DCM, RadLex...)."""
    from pydicom.sr.codedict import codes

    names = (name for scheme in ("SCT", "DCM", "UMLS", "LN") for name in getattr(codes, scheme).dir())
    return frozenset(word.lower() for name in names for word in re.findall(r"[A-Z][a-z]+|[a-z]+", name))


def _is_wanted(index: int, piece: str, words: AbstractSet[str], num_common: int) -> bool:
    return index < num_common or piece.startswith("##") or piece in words


def _layer_of(name: str) -> int:
    match = re.match(r"encoder\.layer\.(\d+)\.", name)
    return int(match.group(1)) if match else -1
