"""Pretrained weights in the hub's layout: from a hub id at a pinned revision, or from a local folder.

Only numbers and tensors are read. A folder's ``auto_map`` or Python files are never looked at, and a pickled
``pytorch_model.bin`` is converted once to safetensors, by a child process and with PyTorch's restricted unpickler.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file

from tmca_core.errors import CheckpointError
from tmca_core.model.architecture import ConvNeXtImageEncoder, TextEncoderArchitecture

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import ConvNextModel

    from tmca_core.model.bert import Bert
    from tmca_core.model.image_encoder import EfficientNetLiteBackbone

WEIGHTS_FILE = "model.safetensors"
PICKLE_FILE = "pytorch_model.bin"
EFFICIENTNET_LITE0 = "efficientnet-lite0"

_CONVERT = (
    "import sys, torch; from safetensors.torch import save_file; "
    "state = torch.load(sys.argv[1], map_location='cpu', weights_only=True); "
    "save_file({k: v.clone().contiguous() for k, v in state.items()}, sys.argv[2])"
)


@dataclass(frozen=True)
class PretrainedSource:
    """Where pretrained weights come from.

    Attributes
    ----------
    location : str or Path
        A local folder, or a hub id such as "facebook/convnext-tiny-224".
    revision : str or None
        Commit or tag on the hub; required there, so that the same call gives the same weights next year.

    """

    location: str | Path
    revision: str | None = None

    def folder(self) -> Path:
        """Return the local folder, downloading the files that are read here from the hub when it is a hub id."""
        if Path(self.location).is_dir():
            return Path(self.location)
        return self._download()

    def _download(self) -> Path:
        if self.revision is None:
            raise CheckpointError(
                f"{self.location}: this is no folder on this machine, and a hub id needs a pinned revision.",
                hint="Give the path of a folder that holds the weights, or the revision (a commit or tag of the hub).",
            )
        from huggingface_hub import snapshot_download

        patterns = ["config.json", "vocab.txt", "tokenizer_config.json", WEIGHTS_FILE, PICKLE_FILE]
        try:
            return Path(snapshot_download(str(self.location), revision=self.revision, allow_patterns=patterns))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{self.location}: the weights could not be fetched from the hub at revision {self.revision}.",
                hint="Check the network, or copy the folder to this machine and give its path.",
            ) from error


@dataclass(frozen=True, eq=False)
class PretrainedBert:
    """A BERT read from a folder: its sizes, its word pieces, its tensors by `BertModel`'s names."""

    folder: Path
    architecture: TextEncoderArchitecture
    vocabulary: list[str]
    tensors: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class PretrainedImageBackbone:
    """A ConvNeXt read from a folder: its sizes, its tensors by `ConvNextModel`'s names."""

    folder: Path
    architecture: ConvNeXtImageEncoder
    tensors: dict[str, Tensor]


def read_bert(source: PretrainedSource) -> PretrainedBert:
    """Read a BERT of the hub's layout: config.json, vocab.txt, model.safetensors or pytorch_model.bin.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged, or the vocabulary's size is not the one in the configuration.

    """
    folder = source.folder()
    config, vocabulary = read_json(folder / "config.json"), read_vocabulary(folder / "vocab.txt")
    keys = set(TextEncoderArchitecture.model_fields) & set(config)
    lower_case = _read_optional(folder / "tokenizer_config.json").get("do_lower_case", True)
    architecture = TextEncoderArchitecture(**{key: config[key] for key in keys}, lower_case=lower_case)
    if architecture.vocab_size != len(vocabulary):
        raise CheckpointError(
            f"{folder.name}: expected the {architecture.vocab_size} word pieces that config.json names, "
            f"got {len(vocabulary)} in vocab.txt.",
            hint="Use the vocab.txt that belongs to these weights.",
        )
    return PretrainedBert(folder, architecture, vocabulary, _tensors(folder, prefix="bert."))


def read_convnext(source: PretrainedSource) -> PretrainedImageBackbone:
    """Read a ConvNeXt of the hub's layout: config.json, model.safetensors or pytorch_model.bin.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged, or the configuration is no four-stage ConvNeXt.

    """
    folder = source.folder()
    config = read_json(folder / "config.json")
    sizes, depths = config.get("hidden_sizes"), config.get("depths")
    if not sizes or not depths or len(sizes) != 4 or len(depths) != 4:
        raise CheckpointError(
            f"{folder.name}: expected a ConvNeXt with four hidden_sizes and four depths in config.json.",
            hint="Use weights such as facebook/convnext-tiny-224.",
        )
    architecture = ConvNeXtImageEncoder(channels=tuple(sizes), depths=tuple(depths))
    return PretrainedImageBackbone(folder, architecture, _tensors(folder, prefix="convnext."))


def load_bert_weights(bert: Bert, source: PretrainedBert) -> None:
    """Copy the tensors of ``source`` into ``bert``; heads and poolers of the source are left out."""
    _load(bert, source.tensors, source.folder)


def load_convnext_weights(backbone: ConvNextModel, source: PretrainedImageBackbone) -> None:
    """Copy the tensors of ``source`` into ``backbone``; its classifier is left out."""
    _load(backbone, source.tensors, source.folder)


def load_efficientnet_lite(backbone: EfficientNetLiteBackbone, source: PretrainedSource) -> None:
    """Copy the tensors of a folder that scripts/convert_efficientnet_lite.py has written into ``backbone``.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged, or the configuration is of another network.

    """
    folder = source.folder()
    found = read_json(folder / "config.json").get("model_type")
    if found != EFFICIENTNET_LITE0:
        raise CheckpointError(
            f"{folder.name}: expected model_type {EFFICIENTNET_LITE0} in config.json, got {found}.",
            hint="scripts/convert_efficientnet_lite.py makes such a folder.",
        )
    _load(backbone, _tensors(folder, prefix=""), folder)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, or raise CheckpointError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: this file is missing.", hint="The folder of a model holds it.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: expected JSON, and it cannot be read.", hint="Copy the file anew.") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(value).__name__}.")
    return value


def read_vocabulary(path: Path) -> list[str]:
    """Return the word pieces of a vocab.txt, one per line, in the order of their ids."""
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: the vocabulary cannot be read.", hint="Copy the file anew.") from error


def _read_optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _tensors(folder: Path, *, prefix: str) -> dict[str, Tensor]:
    path = folder / WEIGHTS_FILE
    if not path.exists():
        path = _converted(folder)
    try:
        tensors = load_file(path)
    except Exception as error:  # safetensors raises its own type, which it does not export
        raise CheckpointError(f"{path}: the weights are damaged or no safetensors.", hint="Copy them anew.") from error
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _converted(folder: Path) -> Path:
    """Convert pytorch_model.bin once; the child process cannot harm this one, whatever the pickle holds."""
    pickle, converted = folder / PICKLE_FILE, folder / WEIGHTS_FILE
    if not pickle.exists():
        raise CheckpointError(
            f"{folder}: expected {WEIGHTS_FILE} or {PICKLE_FILE}, and neither is there.",
            hint="Copy the whole folder of the model.",
        )
    partial = folder / f".{WEIGHTS_FILE}.partial"
    command = [sys.executable, "-c", _CONVERT, str(pickle), str(partial)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if result.returncode != 0:
        partial.unlink(missing_ok=True)
        raise CheckpointError(
            f"{pickle}: refused, it holds more than tensors or is damaged; nothing in it was executed.",
            hint="Ask for the weights as safetensors.",
        )
    return partial.replace(converted)


def _load(module: Bert | ConvNextModel | EfficientNetLiteBackbone, tensors: dict[str, Tensor], folder: Path) -> None:
    own = module.state_dict()
    missing = sorted(set(own) - set(tensors))
    misshapen = sorted(name for name in own if name in tensors and own[name].shape != tensors[name].shape)
    if missing or misshapen:
        raise CheckpointError(
            f"{folder.name}: {len(missing)} tensors are missing and {len(misshapen)} have another shape, "
            f"first {(missing + misshapen)[:5]}.",
            hint="The weights belong to another architecture than config.json names.",
        )
    module.load_state_dict({name: tensors[name] for name in own})
