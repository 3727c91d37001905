"""Weights on disk: a folder with safetensors, architecture, vocabulary, and a manifest that vouches for all of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_data_path
from pydantic import ValidationError

from tmca_core.calibration import Calibration
from tmca_core.errors import CheckpointError
from tmca_core.model.adapter_file import ADAPTER
from tmca_core.model.architecture import TmcaArchitecture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from tmca_core.model.gate import Gate
    from tmca_core.model.tmca import Tmca

MANIFEST, CONFIG, VOCABULARY, WEIGHTS = "manifest.json", "config.json", "vocab.txt", "model.safetensors"
FORMAT = 1
DEFAULT_MODEL = "tmca-compact"
_PICKLES = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle"}


@dataclass(frozen=True)
class ModelInfo:
    """What a manifest says about a model; reading one needs no torch.

    Attributes
    ----------
    name, version : str
        Of the model.
    folder : Path
        Where it lies.
    sha256 : Mapping of str to str
        Of every file of the model but the manifest.
    threshold : float
        Probability that separates target from background, chosen on validation data.
    figures, training : Mapping
        What was measured, and what it was trained on.
    calibration : Calibration
        Fitted after training.
    base : Mapping of str to str
        Name, version and sha256 of the model that an adapter belongs to; empty for a model of its own.

    """

    name: str
    version: str
    folder: Path
    sha256: Mapping[str, str]
    threshold: float = 0.5
    figures: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration = field(default_factory=Calibration)
    base: Mapping[str, str] = field(default_factory=dict)

    @property
    def weights_sha256(self) -> str:
        """Of the weights file."""
        return self.sha256[ADAPTER if self.base else WEIGHTS]


def models_folder() -> Path:
    """Return the folder where models of this user are installed, beside those of the package."""
    return user_data_path("napari-tmca") / "models"


def list_models() -> list[ModelInfo]:
    """Return all installed models, those of the package first; folders without a readable manifest are left out."""
    models = []
    for root in (_bundled_folder(), models_folder()):
        for manifest in sorted(root.glob(f"*/{MANIFEST}")):
            try:
                models.append(read_manifest(manifest.parent))
            except CheckpointError:
                continue
    return models


def find_model(model: str | Path) -> Path:
    """Return the folder of a model given by name or by folder; "default" is the one in use.

    Raises
    ------
    CheckpointError
        If there is no such model, or a pickle is offered.

    """
    if str(model) == "default":
        from tmca_core.model.store import model_in_use

        model = model_in_use()
    path = Path(model).expanduser()
    if path.suffix.lower() in _PICKLES:
        raise CheckpointError(
            f"{path.name}: refused, a {path.suffix} file can run code when it is loaded; nothing in it was executed.",
            hint="Offer the folder of a model (manifest.json, config.json, vocab.txt, model.safetensors).",
        )
    for root in (_bundled_folder(), models_folder()):
        if (root / str(model) / MANIFEST).is_file() and str(model) not in ("", "."):
            return root / str(model)
    if path.is_dir():
        return path
    raise CheckpointError(
        f"Model '{model}': expected an installed model or a folder, and found neither.", hint=_known()
    )


def read_manifest(folder: Path) -> ModelInfo:
    """Read what a model's manifest says.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, incomplete, or made by a newer version of this program.

    """
    manifest = _read_json(folder / MANIFEST)
    if manifest.get("format", 0) > FORMAT:
        raise CheckpointError(
            f"{folder.name}: made by napari-tmca {manifest.get('made_by', '?')}, this is {program_version()}.",
            hint="Update napari-tmca to use this model.",
        )
    try:
        base = {str(k): str(v) for k, v in manifest.get("base", {}).items()}
        weights = ADAPTER if base else WEIGHTS
        return ModelInfo(
            name=str(manifest["name"]),
            version=str(manifest["version"]),
            folder=folder,
            sha256={str(k): str(v) for k, v in manifest["sha256"].items()} | {weights: manifest["sha256"][weights]},
            base=base,
            threshold=float(manifest.get("threshold", 0.5)),
            figures=manifest.get("figures", {}),
            training=manifest.get("training", {}),
            calibration=Calibration.from_json(manifest.get("calibration", {})),
        )
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / MANIFEST}: expected name, version and sha256 of {WEIGHTS}; it is incomplete.",
            hint="Copy the folder of the model anew.",
        ) from error


def save_calibration(folder: Path, calibration: Calibration, figures: Mapping[str, Any]) -> ModelInfo:
    """Add a calibration, and figures that go with it, to a model's manifest; the weights stay as they are."""
    from tmca_core.atomic import atomic_write

    manifest = _read_json(folder / MANIFEST)
    manifest["calibration"] = calibration.as_json()
    manifest["figures"] = {**manifest.get("figures", {}), **figures}
    with atomic_write(folder / MANIFEST) as file:
        file.write(json.dumps(manifest, indent=2).encode())
    return _with_metadata(folder)


def _with_metadata(folder: Path) -> ModelInfo:
    """Write the model's metadata.json anew, and return its manifest."""
    from tmca_core.atomic import atomic_write
    from tmca_core.model.metadata import METADATA, bundle_metadata

    info = read_manifest(folder)
    if info.base:  # its architecture is its base's
        return info
    with atomic_write(folder / METADATA) as file:
        file.write(json.dumps(bundle_metadata(info, _read_architecture(folder / CONFIG)), indent=2).encode())
    return info


def verify(info: ModelInfo) -> None:
    """Check every file of a model against its manifest.

    Raises
    ------
    CheckpointError
        If a file is missing or its sha256 differs.

    """
    for name in (ADAPTER,) if info.base else (CONFIG, VOCABULARY, WEIGHTS):
        expected, found = info.sha256.get(name, "none"), sha256_of(info.folder / name)
        if found != expected:
            raise CheckpointError(
                f"{info.folder.name}/{name}: the file is damaged or was changed: "
                f"expected sha256 {expected[:12]}..., found {found[:12]}...",
                hint="Reinstall the model, or copy its folder anew.",
            )


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal, or raise CheckpointError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"{path}: this file of the model is missing or cannot be read.", hint="Copy the folder of the model anew."
        ) from error


def save_model(
    model: Tmca,
    architecture: TmcaArchitecture,
    folder: Path,
    *,
    name: str,
    version: str,
    threshold: float = 0.5,
    figures: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> ModelInfo:
    """Write a model to a folder: weights in float16, architecture, vocabulary, manifest.

    The manifest is written last, so that a folder with a manifest is whole.
    """
    import torch
    from safetensors.torch import save

    from tmca_core.atomic import atomic_write

    folder.mkdir(parents=True, exist_ok=True)
    state = {
        key: (value.half() if value.dtype == torch.float32 else value).contiguous()
        for key, value in model.state_dict().items()
    }
    contents = {
        WEIGHTS: save(state),
        CONFIG: architecture.model_dump_json(indent=2).encode(),
        VOCABULARY: ("\n".join(model.tokenizer.vocabulary) + "\n").encode(),
    }
    manifest = {
        "format": FORMAT,
        "name": name,
        "version": version,
        "made_by": program_version(),
        "threshold": threshold,
        "sha256": {key: hashlib.sha256(value).hexdigest() for key, value in contents.items()},
        "figures": dict(figures or {}),
        "training": dict(training or {}),
    }
    contents[MANIFEST] = json.dumps(manifest, indent=2).encode()
    for file_name, content in contents.items():
        with atomic_write(folder / file_name) as file:
            file.write(content)
    return _with_metadata(folder)


def load_model(folder: Path) -> tuple[Tmca, TmcaArchitecture, ModelInfo]:
    """Load a model after checking every file against the manifest; float32, in evaluation mode, on the CPU.

    Of an adapter, the network that answers for what it was taught; see `generations` for all others.

    Raises
    ------
    CheckpointError
        If the folder is no model, a file is missing, damaged or unsafe, tensors do not fit the architecture, or weights
        are not finite.

    """
    info = read_manifest(folder)
    verify(info)
    if info.base:
        return _load_adapted(info)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from tmca_core.model.build import build_tmca
    from tmca_core.model.hub import read_vocabulary

    architecture = _read_architecture(folder / CONFIG)
    model = build_tmca(architecture, read_vocabulary(folder / VOCABULARY))
    try:
        state = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{folder.name}/{WEIGHTS}: these are no safetensors.", hint="Copy them anew.") from error
    _check_state(model.state_dict(), state, folder.name)
    model.load_state_dict(state)
    return model.eval(), architecture, info


def generations(info: ModelInfo) -> list[tuple[Gate | None, ModelInfo]]:
    """Return a model and the bases behind it, newest first, each with its gate.

    The last has none: it answers for everything, and it is the one that describes scans and reports to the gates.

    Raises
    ------
    CheckpointError
        If a base is not installed, or an adapter is damaged.

    """
    from tmca_core.model.adapter_file import read_adapter
    from tmca_core.model.gate import Gate
    from tmca_core.model.store import find_base

    found: list[tuple[Gate | None, ModelInfo]] = []
    while info.base:
        gate = Gate.of(read_adapter(info.folder / ADAPTER)[0])
        found.append((gate, info))
        if gate is None:
            return found
        info = read_manifest(find_base(info))
    return [*found, (None, info)]


def _load_adapted(info: ModelInfo) -> tuple[Tmca, TmcaArchitecture, ModelInfo]:
    """Load an adapter's base, which may be an adapter itself, and merge the adapter into it."""
    from tmca_core.model.adapter import merge_adapter
    from tmca_core.model.adapter_file import read_adapter
    from tmca_core.model.store import find_base

    model, architecture, _ = load_model(find_base(info))
    merge_adapter(model, read_adapter(info.folder / ADAPTER)[0], info.name)
    return model, architecture, info


def program_version() -> str:
    """Return the version of this program."""
    return installed_version("napari-tmca")


def _bundled_folder() -> Path:
    return Path(str(files("tmca_core") / "weights"))


def _known() -> str:
    names = ", ".join(model.name for model in list_models()) or "none"
    return f"Installed: {names}. Give one of these, or the folder of a model."


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path.parent}: expected the folder of a model, and {path.name} is missing.",
            hint=_known() if path.parent.parent not in (_bundled_folder(), models_folder()) else "Copy it anew.",
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected JSON, and it cannot be read.", hint="Copy the file anew.") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(value).__name__}.")
    return value


def _read_architecture(path: Path) -> TmcaArchitecture:
    try:
        return TmcaArchitecture.model_validate(_read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(
            f"{path}: this architecture is not one that this version builds ({where}: {first['msg']}).",
            hint="Update napari-tmca, or use another model.",
        ) from error


def _check_state(own: Mapping[str, Tensor], state: Mapping[str, Tensor], name: str) -> None:
    missing, unexpected = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    misshapen = sorted(key for key in set(own) & set(state) if own[key].shape != state[key].shape)
    if missing or unexpected or misshapen:
        raise CheckpointError(
            f"{name}: the weights belong to another architecture: {len(missing)} tensors missing, {len(unexpected)} "
            f"unexpected, {len(misshapen)} of another shape, first {(missing + unexpected + misshapen)[:5]}.",
            hint="Use the config.json that belongs to these weights.",
        )
    invalid = sorted(key for key, value in state.items() if not bool(value.isfinite().all()))
    if invalid:
        raise CheckpointError(f"{name}: weights are not finite in {invalid[:5]}.", hint="Use another version of it.")
