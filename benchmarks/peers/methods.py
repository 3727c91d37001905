"""Methods behind one face: pictures and texts in, logits out, and one training step with the same loss and optimiser.

LViT and LanGuideMedSeg are imported from a checkout that the user points to, with the libraries that they ask for;
nothing of theirs is copied, fetched or changed on disk. All start from random weights: pretrained ones would have to be
fetched.
"""

from __future__ import annotations

import importlib
import sys
import zlib
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from unet import PlainUNet

from tmca_core.data.loader import standardise_batch
from tmca_core.errors import ConfigError
from tmca_core.model.build import build_tmca, build_tmca_tiny
from tmca_core.model.checkpoint import find_model, load_model
from tmca_core.model.losses import segmentation_loss
from tmca_core.report import parse_report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class Method:
    """One network with its optimiser. Subclasses say how it is called, and may add to the loss.

    Parameters
    ----------
    network : nn.Module
        With random weights.
    learning_rate : float
        Of AdamW.

    """

    name: ClassVar[str]
    note: ClassVar[str] = ""

    def __init__(self, network: nn.Module, learning_rate: float) -> None:
        self.network = network
        trained = [p for p in network.parameters() if p.requires_grad]
        self.num_weights = sum(p.numel() for p in network.parameters())
        self.num_trained = sum(p.numel() for p in trained)
        self.optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=1e-4)

    def logits(self, images: Tensor, texts: Sequence[str]) -> Tensor:
        """Return (B, 1, H, W) logits of pictures (B, 3, H, W), 0..1, and their texts."""
        raise NotImplementedError

    def loss(self, images: Tensor, texts: Sequence[str], masks: Tensor) -> Tensor:
        """Return the training loss against masks (B, 1, H, W)."""
        return segmentation_loss(self.logits(images, texts), masks)

    def train_step(self, images: Tensor, texts: Sequence[str], masks: Tensor) -> float:
        """Take one optimiser step."""
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(images, texts, masks)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def predict(self, images: Tensor, texts: Sequence[str]) -> Tensor:
        """Return (B, 1, H, W) masks of 0 and 1."""
        self.network.eval()
        with torch.inference_mode():
            return self.logits(images, texts) >= 0


class Ours(Method):
    """``tmca-compact`` with random weights, or the tiny network; trained in bfloat16 as `tmca train` does."""

    name = "tmca"

    def __init__(self, size: str, precision: str) -> None:
        if size == "tiny":
            network, _ = build_tmca_tiny()
        else:
            loaded, architecture, _ = load_model(find_model("tmca-compact"))
            vocabulary = loaded.tokenizer.tokenizer.get_vocab()
            network = build_tmca(architecture, sorted(vocabulary, key=vocabulary.__getitem__))
        super().__init__(network.to(memory_format=torch.channels_last), 2e-3)
        self.is_mixed = precision == "bfloat16"

    def _forward(self, images: Tensor, texts: Sequence[str]) -> Any:
        reports = [parse_report(text) for text in texts]
        tokens = self.network.tokenizer([[r.sentences[i].text for i in r.used] for r in reports])
        return self.network(standardise_batch(images).contiguous(memory_format=torch.channels_last), tokens)

    def logits(self, images: Tensor, texts: Sequence[str]) -> Tensor:
        """See `Method`."""
        logits: Tensor = self._forward(images, texts).logits
        return logits

    def loss(self, images: Tensor, texts: Sequence[str], masks: Tensor) -> Tensor:
        """Return the segmentation and the alignment losses."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.is_mixed):
            output = self._forward(images, texts)
        total: Tensor = self.network.loss(output, masks).total
        return total


class UNet(Method):
    """The yardstick, image only."""

    name = "U-Net"

    def __init__(self) -> None:
        super().__init__(PlainUNet(), 1e-3)

    def logits(self, images: Tensor, texts: Sequence[str]) -> Tensor:
        """See `Method`; the texts are not read."""
        logits: Tensor = self.network(standardise_batch(images))
        return logits


class LViT(Method):
    """LViT from its checkout. Its text encoder, a frozen BERT outside the network, is not part of it and not timed."""

    name = "LViT"
    note = "word vectors: random and fixed, in the place of bert-embedding's"
    num_words: ClassVar[int] = 10

    def __init__(self, checkout: Path) -> None:
        with _importable(checkout, ("nets",)):
            module = _import(checkout, "nets.LViT")
        config = SimpleNamespace(base_channel=64)  # the one value that the network reads of its Config.py
        super().__init__(module.LViT(config), 3e-4)

    def logits(self, images: Tensor, texts: Sequence[str]) -> Tensor:
        """See `Method`; LViT gives probabilities, which are turned back."""
        words = torch.stack([self._vectors(text) for text in texts])
        return torch.logit(self.network(images, words).float(), eps=1e-6)

    def _vectors(self, text: str) -> Tensor:
        words = (text.lower().split() + [""] * self.num_words)[: self.num_words]
        return torch.stack([_word_vector(word) for word in words])


class LanGuideMedSeg(Method):
    """LanGuideMedSeg from its checkout: ConvNeXt-Tiny and a frozen BERT-base of CXR-BERT's size."""

    name = "LanGuideMedSeg"
    note = "both encoders with random weights; words numbered by their checksum"
    num_words: ClassVar[int] = 24

    def __init__(self, checkout: Path) -> None:
        with _importable(checkout, ("utils", "layers", "model")):
            if not (checkout / "utils" / "model.py").is_file():
                raise _no_checkout(checkout, "utils/model.py")
            module = _import(checkout, "utils.model")
        module.AutoModel = _RandomEncoder  # it would fetch weights and run code that comes with them
        super().__init__(module.LanGuideMedSeg("bert", "convnext", 768), 3e-4)

    def logits(self, images: Tensor, texts: Sequence[str]) -> Tensor:
        """See `Method`; the network gives probabilities, which are turned back."""
        words = [text.lower().split()[: self.num_words] for text in texts]
        numbers = torch.zeros(len(texts), self.num_words, dtype=torch.long)
        for row, line in enumerate(words):
            numbers[row, : len(line)] = torch.tensor([1000 + zlib.crc32(w.encode()) % 29_000 for w in line])
        told = {"input_ids": numbers, "attention_mask": (numbers > 0).long()}
        return torch.logit(self.network([standardise_batch(images), told]).float(), eps=1e-6)


class _RandomEncoder:
    """Stands where the peer asks transformers for pretrained weights."""

    @staticmethod
    def from_pretrained(name: str, **_: object) -> nn.Module:
        from transformers import BertConfig, BertModel, ConvNextConfig, ConvNextModel

        if name == "bert":
            return BertModel(BertConfig(vocab_size=30522), add_pooling_layer=False)
        return ConvNextModel(ConvNextConfig())


def _word_vector(word: str) -> Tensor:
    return torch.randn(768, generator=torch.Generator().manual_seed(zlib.crc32(word.encode())))


@contextmanager
def _importable(checkout: Path, names: Sequence[str]) -> Iterator[None]:
    """Let modules be imported from a checkout while the block runs; two checkouts may use the same names."""
    before = list(sys.path)
    for name in [key for key in sys.modules if key.partition(".")[0] in names]:
        del sys.modules[name]
    sys.path[:0] = [str(checkout), str(checkout / "utils")]
    try:
        yield
    finally:
        sys.path[:] = before


def _import(checkout: Path, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and name.startswith(error.name):
            raise _no_checkout(checkout, name) from error
        raise ConfigError(
            f"{checkout.name}: it needs the library '{error.name}', which is not installed.",
            hint="Install what the checkout asks for; the project does not.",
        ) from error


def _no_checkout(checkout: Path, what: str) -> ConfigError:
    return ConfigError(f"{checkout}: expected a checkout with {what}, there is none.", hint="Point to its top folder.")
