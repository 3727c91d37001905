"""Methods behind one face: pictures and texts in, logits out, and one training step with the same loss and optimiser.

LViT and LanGuideMedSeg are imported from a checkout that the user points to, with the libraries that they ask for (see
each class); nothing of theirs is copied, fetched or changed on disk. All start from random weights: pretrained ones
would have to be fetched.
"""

from __future__ import annotations

import importlib
import sys
import zlib
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import BertTokenizer
from unet import PlainUNet

from tmca_core.data.loader import standardise_batch
from tmca_core.device import Precision, trains_in_bfloat16
from tmca_core.errors import ConfigError
from tmca_core.model.build import build_tmca, build_tmca_tiny
from tmca_core.model.checkpoint import find_model, load_model
from tmca_core.model.fold import fold_batch_norms
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
    note: str = ""

    def __init__(self, network: nn.Module, learning_rate: float) -> None:
        self.network = network
        self.learning_rate = learning_rate
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

    def train_step(self, images: Tensor, texts: Sequence[str], masks: Tensor, factor: float = 1.0) -> float:
        """Take one optimiser step at ``factor`` of the method's learning rate."""
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * factor
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(images, texts, masks)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def finish(self) -> None:
        """Make the network ready to predict; it is not trained any more."""
        self.network.eval()

    def predict(self, images: Tensor, texts: Sequence[str]) -> Tensor:
        """Return (B, 1, H, W) masks of 0 and 1; `finish` comes first."""
        with torch.inference_mode():
            return self.logits(images, texts) >= 0


class Ours(Method):
    """The network of a model with random weights; trained in mixed precision and used folded, as the project does.

    Parameters
    ----------
    model : str
        Name or folder of a model, whose architecture and vocabulary are taken; "tiny" for the network of the tests.
    precision : "auto", "bfloat16" or "float32"
        Of the training; "auto" is bfloat16 where the processor has instructions for it.

    """

    name = "tmca"

    def __init__(self, model: str, precision: Precision) -> None:
        if model == "tiny":
            network, _ = build_tmca_tiny()
        else:
            loaded, architecture, _ = load_model(find_model(model))
            network = build_tmca(architecture, loaded.tokenizer.vocabulary)
        super().__init__(network.to(memory_format=torch.channels_last), 2e-3)
        self.is_mixed = trains_in_bfloat16(precision, torch.device("cpu"))
        used = "bfloat16" if self.is_mixed else "float32"
        self.note = f"trained in {used}, with its alignment losses; the text encoder's lower layers stay random"

    def finish(self) -> None:
        """Fold the batch normalisations, as `tmca_core.predictor.Predictor` does."""
        super().finish()
        fold_batch_norms(self.network)

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
    """LViT from its checkout; it needs no library beside torch.

    Its text encoder, a frozen BERT outside the network, is not part of it and not timed. Of timm it imports DropPath
    alone, which it never builds at its own rate of 0; so timm, which wants torchvision, may be missing.
    """

    name = "LViT"
    note = "float32; word vectors random and fixed, in the place of bert-embedding's, which are not timed either"
    num_words: ClassVar[int] = 10

    def __init__(self, checkout: Path) -> None:
        with _importable(checkout, ("nets",)), _drop_path():
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
    """LanGuideMedSeg from its checkout: ConvNeXt-Tiny and a frozen BERT-base of CXR-BERT's size.

    It needs einops and monai; the words are cut by the vocabulary in the checkout.
    """

    name = "LanGuideMedSeg"
    note = "float32; both encoders with random weights, the text encoder frozen as published"
    num_words: ClassVar[int] = 24

    def __init__(self, checkout: Path) -> None:
        vocabulary = checkout / "lib" / "BiomedVLP-CXR-BERT-specialized" / "vocab.txt"
        for needed in (checkout / "utils" / "model.py", vocabulary):
            if not needed.is_file():
                raise _no_checkout(checkout, needed.relative_to(checkout).as_posix())
        with _importable(checkout, ("utils", "layers", "model")):
            module = _import(checkout, "utils.model")
        module.AutoModel = _RandomEncoder  # it would fetch weights and run code that comes with them
        super().__init__(module.LanGuideMedSeg("bert", "convnext", 768), 3e-4)
        self.tokenizer = BertTokenizer(vocab=str(vocabulary), do_lower_case=True)

    def logits(self, images: Tensor, texts: Sequence[str]) -> Tensor:
        """See `Method`; the network gives probabilities, which are turned back."""
        told = self.tokenizer(
            list(texts), padding="max_length", max_length=self.num_words, truncation=True, return_tensors="pt"
        )
        words = {"input_ids": told["input_ids"], "attention_mask": told["attention_mask"]}
        return torch.logit(self.network([standardise_batch(images), words]).float(), eps=1e-6)


class _RandomEncoder:
    """Stands where the peer asks transformers for pretrained weights."""

    @staticmethod
    def from_pretrained(name: str, **_: object) -> nn.Module:
        from transformers import BertConfig, BertModel, ConvNextConfig, ConvNextModel

        if name == "bert":
            return BertModel(BertConfig(vocab_size=30522), add_pooling_layer=False)
        return ConvNextModel(ConvNextConfig())


@contextmanager
def _drop_path() -> Iterator[None]:
    """Let ``from timm.models.layers import DropPath`` work where timm does not, while the block runs."""
    try:
        importlib.import_module("timm.models.layers")
    except ImportError:
        names = ("timm", "timm.models", "timm.models.layers")
        stand_ins = {name: ModuleType(name) for name in names}
        stand_ins[names[-1]].DropPath = nn.Identity  # type: ignore[attr-defined]
        sys.modules.update(stand_ins)
        try:
            yield
        finally:
            for name in names:
                del sys.modules[name]
    else:
        yield


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
