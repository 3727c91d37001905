"""BERT's encoder with the parameter names of transformers' ``BertModel``, so that the same weights fit both.

Own code, because the import of `transformers.BertModel` takes as long as everything else until the first answer
(`python benchmarks/cold_start.py`); tests hold the two against each other. torch computes the attention.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

if TYPE_CHECKING:
    from tmca_core.model.architecture import TextEncoderArchitecture

_INITIAL_DEVIATION = 0.02  # of BERT's random weights


class Bert(nn.Module):
    """Word pieces to vectors (Devlin et al., NAACL 2019), without pooling layer, dropout and second segment.

    Parameters
    ----------
    sizes : TextEncoderArchitecture

    """

    def __init__(self, sizes: TextEncoderArchitecture) -> None:
        super().__init__()
        self.hidden_size = sizes.hidden_size
        self.embeddings = _Embeddings(sizes)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(_Layer(sizes) for _ in range(sizes.num_hidden_layers))})
        self.apply(_initialise)

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer layers, lowest first."""
        layers: nn.ModuleList = self.encoder["layer"]  # type: ignore[assignment]  # what was put in
        return layers

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the last layer's vectors, (N, L, d).

        Parameters
        ----------
        input_ids : Tensor of int64, shape (N, L)
        attention_mask : Tensor of bool, shape (N, L)
            True where a piece stands.

        """
        x: Tensor = self.embeddings(input_ids)
        mask = attention_mask[:, None, None]  # (N, 1, 1, L): of every head and query
        for layer in self.layers:
            x = layer(x, mask)
        return x


class _Embeddings(nn.Module):
    def __init__(self, sizes: TextEncoderArchitecture) -> None:
        super().__init__()
        dim = sizes.hidden_size
        self.word_embeddings = nn.Embedding(sizes.vocab_size, dim, padding_idx=0)
        self.position_embeddings = nn.Embedding(sizes.max_position_embeddings, dim)
        self.token_type_embeddings = nn.Embedding(2, dim)
        self.LayerNorm = nn.LayerNorm(dim, eps=sizes.layer_norm_eps)

    def forward(self, ids: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[1], device=ids.device)
        # In the order of BertModel: sums of floats depend on it.
        x = self.word_embeddings(ids) + self.token_type_embeddings.weight[0] + self.position_embeddings(positions)
        normed: Tensor = self.LayerNorm(x)
        return normed


class _Layer(nn.Module):
    def __init__(self, sizes: TextEncoderArchitecture) -> None:
        super().__init__()
        dim = sizes.hidden_size
        self.num_heads = sizes.num_attention_heads
        self.attention = nn.ModuleDict(
            {
                "self": nn.ModuleDict({name: nn.Linear(dim, dim) for name in ("query", "key", "value")}),
                "output": _projection(dim, dim, sizes.layer_norm_eps),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(dim, sizes.intermediate_size)})
        self.output = _projection(sizes.intermediate_size, dim, sizes.layer_norm_eps)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        own, after = self.attention["self"], self.attention["output"]
        query, key, value = (self._split(own[name](x)) for name in ("query", "key", "value"))  # type: ignore[index]
        seen = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = _added(after, seen.transpose(1, 2).flatten(2), x)
        return _added(self.output, gelu(self.intermediate["dense"](x)), x)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (N, heads, L, d / heads)


def _projection(in_features: int, out_features: int, eps: float) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": nn.Linear(in_features, out_features), "LayerNorm": nn.LayerNorm(out_features, eps)})


def _added(projection: nn.Module, x: Tensor, residual: Tensor) -> Tensor:
    normed: Tensor = projection["LayerNorm"](projection["dense"](x) + residual)  # type: ignore[index]
    return normed


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=_INITIAL_DEVIATION)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        nn.init.zeros_(module.weight[module.padding_idx])
