"""Text encoder: the sentences of a report to token embeddings, any number of sentences of any length.

Every sentence goes through BERT on its own. So a report of ten thousand words costs a larger batch and never a longer
sequence, nothing is cut, equal sentences are encoded once, and a sentence's attention map depends on that sentence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import BertWordPieceTokenizer

    from tmca_core.model.bert import Bert


@dataclass(frozen=True, eq=False)
class ReportTokens:
    """Tokenised reports of a batch, each distinct segment once.

    A segment is a sentence, or a window of one that is longer than the encoder takes.

    Attributes
    ----------
    input_ids, attention_mask : Tensor, shape (N, L)
        The distinct segments, padded to the longest.
    lengths : tuple of int, length N
        Tokens of each segment; kept beside the mask so that no device is asked for them.
    segments : tuple of tuple of (int, int)
        Per report its (segment, sentence) pairs in reading order. Empty for no report.

    """

    input_ids: Tensor
    attention_mask: Tensor
    lengths: tuple[int, ...]
    segments: tuple[tuple[tuple[int, int], ...], ...]

    def to(self, device: torch.device) -> ReportTokens:
        """Return the same tokens on ``device``."""
        return replace(self, input_ids=self.input_ids.to(device), attention_mask=self.attention_mask.to(device))


@dataclass(frozen=True, eq=False)
class ReportEmbedding:
    """Embedded reports of a batch.

    Attributes
    ----------
    tokens : Tensor, shape (B, T, d)
        E of METHOD, padded with zeros.
    mask : Tensor of bool, shape (B, T)
        True where a token stands.
    sentence : Tensor of int64, shape (B, T)
        The sentence each token belongs to; -1 for padding and for the null embedding.
    has_report : Tensor of bool, shape (B,)
        False where the null embedding stands in.

    """

    tokens: Tensor
    mask: Tensor
    sentence: Tensor
    has_report: Tensor

    @property
    def num_sentences(self) -> int:
        """Number of sentences of the longest report of the batch."""
        return int(self.sentence.max().item()) + 1

    def at(self, index: int) -> ReportEmbedding:
        """Return one report of the batch as a batch of one, without padding."""
        length = int(self.mask[index].sum().item())
        row = slice(index, index + 1)
        return ReportEmbedding(
            self.tokens[row, :length], self.mask[row, :length], self.sentence[row, :length], self.has_report[row]
        )


class ReportTokenizer:
    """Sentences to word pieces, by a BERT vocabulary.

    Parameters
    ----------
    tokenizer : BertWordPieceTokenizer
        Of the checkpoint the text encoder comes from.
    max_tokens : int
        Longest segment, special tokens included; longer sentences are split into windows of this length.

    """

    def __init__(self, tokenizer: BertWordPieceTokenizer, *, max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens

    def __call__(self, reports: Sequence[Sequence[str] | None]) -> ReportTokens:
        """Tokenise a batch.

        Parameters
        ----------
        reports : sequence of (sequence of str, or None)
            The sentences of each report; ``None`` or no sentence means no report.

        """
        index: dict[tuple[int, ...], int] = {}
        segments = tuple(
            tuple(
                (index.setdefault(window, len(index)), sentence)
                for sentence, text in enumerate(report or ())
                for window in self._windows(text)
            )
            for report in reports
        )
        ids, mask = self._pad(list(index))
        return ReportTokens(ids, mask, tuple(len(window) for window in index), segments)

    @property
    def vocabulary(self) -> list[str]:
        """Word pieces in the order of their ids."""
        ids = self.tokenizer.get_vocab()
        return sorted(ids, key=ids.__getitem__)

    def offsets(self, text: str) -> tuple[tuple[int, int] | None, ...]:
        """Return where each token of one sentence stands in it, as character offsets; ``None`` for special tokens."""
        pieces: list[tuple[int, int]] = self.tokenizer.encode(_encodable(text), add_special_tokens=False).offsets
        room = self.max_tokens - 2
        windows = [pieces[i : i + room] for i in range(0, max(len(pieces), 1), room)]
        return tuple(span for window in windows for span in (None, *window, None))

    def _windows(self, text: str) -> list[tuple[int, ...]]:
        pieces = self.tokenizer.encode(_encodable(text), add_special_tokens=False).ids
        room = self.max_tokens - 2
        first, last = self._id("[CLS]"), self._id("[SEP]")
        return [(first, *pieces[i : i + room], last) for i in range(0, max(len(pieces), 1), room)]

    def _id(self, piece: str) -> int:
        found: int = self.tokenizer.token_to_id(piece)
        return found

    def _pad(self, windows: list[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
        length = max((len(window) for window in windows), default=1)
        ids = torch.full((len(windows), length), self._id("[PAD]"), dtype=torch.int64)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = torch.tensor(window)
        lengths = torch.tensor([len(window) for window in windows], dtype=torch.int64)
        return ids, torch.arange(length)[None] < lengths[:, None]


def _encodable(text: str) -> str:
    """Return text that UTF-8 can carry: lone surrogates become the replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class TextEncoder(nn.Module):
    """BERT over sentences, and a learned null embedding for the missing report.

    Parameters
    ----------
    bert : Bert
    num_trainable_layers : int
        Transformer layers, from the top, that training changes; everything below stays as it was pretrained.

    """

    def __init__(self, bert: Bert, *, num_trainable_layers: int) -> None:
        super().__init__()
        self.bert = bert
        self.dim = bert.hidden_size
        self.null = nn.Parameter(torch.zeros(1, self.dim))
        nn.init.normal_(self.null, std=0.02)
        layers = list(bert.layers)
        trainable = layers[len(layers) - num_trainable_layers :]
        bert.requires_grad_(False)
        for layer in trainable:
            layer.requires_grad_(True)

    def forward(self, reports: ReportTokens) -> ReportEmbedding:
        """Return the embedding of every report; those without a sentence get the null embedding."""
        index, sentence = _token_places(reports)  # (B, T), made here and sent at once
        device = self.null.device
        index, sentence = index.to(device), sentence.to(device)
        mask = index >= 0
        # The row behind the last token is the null embedding.
        embedding = self._states(reports).index_select(0, index.clamp_min(0).flatten()).unflatten(0, index.shape)
        return ReportEmbedding(
            tokens=embedding.masked_fill(~mask[..., None], 0.0),  # (B, T, d)
            mask=mask,
            sentence=sentence,
            has_report=torch.tensor([bool(report) for report in reports.segments]).to(device),
        )

    def _states(self, reports: ReportTokens) -> Tensor:
        """Return the vectors of all tokens of all segments, padding included, and the null embedding: (N L + 1, d)."""
        if not reports.lengths:
            return self.null
        hidden = self.bert(reports.input_ids, reports.attention_mask)  # (N, L, d)
        return torch.cat([hidden.flatten(0, 1).to(self.null.dtype), self.null])


def _token_places(reports: ReportTokens) -> tuple[Tensor, Tensor]:
    """Return, for every token of every report, its row among all states and its sentence, (B, T); -1 for padding.

    The null embedding's row is the last one, its sentence -1.
    """
    width = reports.input_ids.shape[1]
    null = len(reports.lengths) * width
    rows = [
        [(segment * width + i, sentence) for segment, sentence in report for i in range(reports.lengths[segment])]
        or [(null, -1)]
        for report in reports.segments
    ]
    longest = max(len(row) for row in rows)
    places = torch.tensor([row + [(-1, -1)] * (longest - len(row)) for row in rows])  # (B, T, 2)
    return places[..., 0], places[..., 1]
