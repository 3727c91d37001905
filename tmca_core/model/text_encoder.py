"""Text encoder: the sentences of a report to token embeddings, any number of sentences of any length.

Every sentence goes through BERT on its own. So a report of ten thousand words costs a larger batch and never a longer
sequence, nothing is cut, equal sentences are encoded once, and a sentence's attention map depends on that sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

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
    segments : tuple of tuple of (int, int)
        Per report its (segment, sentence) pairs in reading order. Empty for no report.

    """

    input_ids: Tensor
    attention_mask: Tensor
    segments: tuple[tuple[tuple[int, int], ...], ...]

    def to(self, device: torch.device) -> ReportTokens:
        """Return the same tokens on ``device``."""
        return ReportTokens(self.input_ids.to(device), self.attention_mask.to(device), self.segments)


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
        return ReportTokens(ids, mask, segments)

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
        states = self._segment_states(reports)  # N tensors of (length, d)
        rows = [[(states[segment], sentence) for segment, sentence in report] for report in reports.segments]
        tokens = [torch.cat([state for state, _ in row]) if row else self.null for row in rows]
        sentence = [_sentence_of_token(row, self.null.device) for row in rows]
        lengths = torch.tensor([len(t) for t in tokens], device=self.null.device)
        embedding = pad_sequence([t.to(self.null.dtype) for t in tokens], batch_first=True)  # (B, T, d)
        return ReportEmbedding(
            tokens=embedding,
            mask=torch.arange(embedding.shape[1], device=lengths.device)[None] < lengths[:, None],
            sentence=pad_sequence(sentence, batch_first=True, padding_value=-1),
            has_report=torch.tensor([bool(row) for row in rows], device=lengths.device),
        )

    def _segment_states(self, reports: ReportTokens) -> list[Tensor]:
        if reports.input_ids.shape[0] == 0:
            return []
        ids, mask = reports.input_ids, reports.attention_mask
        hidden = self.bert(ids, mask)  # (N, L, d)
        return [state[keep] for state, keep in zip(hidden, mask, strict=True)]


def _sentence_of_token(row: list[tuple[Tensor, int]], device: torch.device) -> Tensor:
    if not row:
        return torch.full((1,), -1, dtype=torch.int64, device=device)
    return torch.cat([torch.full((len(state),), s, dtype=torch.int64, device=device) for state, s in row])
