"""The models of a user: versions with their lineage, which one is in use, and the way back. Needs no torch.

``models/in_use.json`` lists the versions that were in use, the present one last; with none listed it is the shipped
model. A version stays where it is whether it is in use or not.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmca_core.atomic import atomic_write
from tmca_core.errors import CheckpointError, StudyWriteError
from tmca_core.model.adapter_file import ADAPTER, encode_adapter, read_adapter
from tmca_core.model.checkpoint import (
    CONFIG,
    DEFAULT_MODEL,
    FORMAT,
    MANIFEST,
    VOCABULARY,
    WEIGHTS,
    ModelInfo,
    find_model,
    list_models,
    models_folder,
    program_version,
    read_manifest,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

IN_USE = "in_use.json"
BASE_HINT = "base.txt"  # where the base lies on this machine; no part of the model, and never exported


def model_in_use() -> str:
    """Return the name of the model that is used where none is named."""
    history = _history()
    return history[-1] if history else DEFAULT_MODEL


def use_model(name: str) -> ModelInfo:
    """Put an installed model, or a model's folder, in use from now on.

    Raises
    ------
    CheckpointError
        If there is no such model, or it is not intact.

    """
    info = read_manifest(find_model(name))
    verify(info)
    if info.base:
        find_base(info)
    known = info.folder.parent == models_folder() or info.name == DEFAULT_MODEL
    chosen = info.folder.name if known else str(info.folder.resolve())
    if chosen != model_in_use():
        _write_history([*_history(), chosen])
    return info


def roll_back() -> str:
    """Return to the model that was in use before, and return its name.

    Raises
    ------
    CheckpointError
        If there was none: the shipped model is in use.

    """
    history = _history()
    if not history:
        raise CheckpointError(
            f"There is nothing to go back to: the shipped {DEFAULT_MODEL} is in use.", hint="See `tmca models`."
        )
    _write_history(history[:-1])
    return model_in_use()


def next_name(base: str) -> str:
    """Return a free name for what is learned on a model: ``tmca-compact-2`` for the first version after it.

    A folder without a manifest is a training that was not finished; its name is free, so that it is continued.
    """
    stem, _, number = base.rpartition("-")
    stem = stem if stem and number.isdigit() else base
    taken = {info.folder.name for info in list_models()}
    taken |= {manifest.parent.name for manifest in models_folder().glob(f"*/{MANIFEST}")}
    return next(name for i in range(2, len(taken) + 3) if (name := f"{stem}-{i}") not in taken)


def save_adapter(
    folder: Path,
    tensors: Mapping[str, NDArray[np.float16]],
    base: ModelInfo,
    *,
    name: str,
    figures: Mapping[str, Any],
    training: Mapping[str, Any],
) -> ModelInfo:
    """Write an adapter's folder: the file that vouches for itself, and the manifest that lists it as a model.

    The manifest is written last, so that a folder with a manifest is whole.
    """
    manifest = {
        "format": FORMAT,
        "name": name,
        "version": program_version(),
        "made_by": program_version(),
        "threshold": base.threshold,
        "base": {"name": base.name, "version": base.version, "sha256": base.weights_sha256},
        "figures": dict(figures),
        "training": dict(training),
        "calibration": base.calibration.as_json(),
    }
    return _write_adapter(folder, encode_adapter(tensors, manifest), manifest, base.folder)


def find_base(info: ModelInfo) -> Path:
    """Return the folder of the model that an adapter belongs to.

    Raises
    ------
    CheckpointError
        If no installed model has the sha256 that the adapter names.

    """
    hint = info.folder / BASE_HINT
    places = [model.folder for model in list_models()]
    if hint.is_file():
        places.insert(0, Path(hint.read_text(encoding="utf-8").strip()))
    same_name = ""
    for place in places:
        try:
            model = read_manifest(place)
        except CheckpointError:
            continue
        if model.weights_sha256 == info.base["sha256"]:
            return place
        if model.name == info.base["name"]:
            same_name = f"; the {model.name} {model.version} found here is another one"
    wanted = f"{info.base['name']} {info.base.get('version', '')} (sha256 {info.base['sha256'][:12]}...)"
    raise CheckpointError(
        f"{info.name}: this adapter belongs to {wanted}, which is not installed{same_name}.",
        hint="Install its base, or learn from the cases again on the model that is here.",
    )


def export_model(name: str, out: Path) -> Path:
    """Copy a model out of the store: an adapter as one file, any other as a folder; nothing that exists is replaced.

    Raises
    ------
    CheckpointError, StudyWriteError
        If there is no such model, it is not intact, or something is at ``out`` already.

    """
    info = read_manifest(find_model(name))
    verify(info)
    if out.is_dir() or not out.suffix:
        out = out / (f"{info.folder.name}.safetensors" if info.base else info.folder.name)
    if out.exists():
        raise StudyWriteError(f"{out}: something is there already.", hint="Choose another name.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if info.base:
            with atomic_write(out) as file:
                file.write((info.folder / ADAPTER).read_bytes())
        else:
            shutil.copytree(info.folder, out, ignore=shutil.ignore_patterns("run", "comparison.json", BASE_HINT, ".*"))
    except OSError as error:
        raise StudyWriteError(f"{out}: cannot be written ({error.strerror}).", hint="Choose another place.") from error
    return out


def import_model(source: Path, name: str = "") -> ModelInfo:
    """Install an adapter file or a model's folder, after checking it, under its own name or another.

    Raises
    ------
    CheckpointError
        If it is damaged, made by a newer version, belongs to a base that is not here, or the name is taken.

    """
    if source.is_dir():
        info = read_manifest(source)
        verify(info)
        folder = _free_folder(name or info.name)
        if not info.base:
            for file_name in (CONFIG, VOCABULARY, WEIGHTS, MANIFEST):  # nothing else of a stranger's folder
                with atomic_write(_made(folder) / file_name) as file:
                    file.write((source / file_name).read_bytes())
            return read_manifest(folder)
        source = source / ADAPTER
    _, manifest = read_adapter(source)
    if manifest.get("format", 0) > FORMAT:
        raise CheckpointError(
            f"{source.name}: made by napari-tmca {manifest.get('made_by', '?')}, this is {program_version()}.",
            hint="Update napari-tmca to use this model.",
        )
    folder = _free_folder(name or str(manifest["name"]))
    described = ModelInfo(str(manifest["name"]), str(manifest["version"]), folder, {}, base=manifest["base"])
    base = find_base(described)
    return _write_adapter(folder, source.read_bytes(), {**manifest, "name": folder.name}, base)


def ancestors(info: ModelInfo) -> list[ModelInfo]:
    """Return the models that a model was learned on, as far as they are here, the nearest first."""
    found: list[ModelInfo] = []
    while info.base or info.training.get("parent"):
        wanted = info.base or info.training["parent"]
        try:
            info = read_manifest(find_base(replace(info, base=wanted)))
        except CheckpointError:
            break
        found.append(info)
    return found


def lineage(info: ModelInfo) -> list[str]:
    """Return name and version of a model and of what it was learned on, the newest first."""
    names = [info.name]
    while info.base:
        names.append(f"{info.base['name']} ({info.base['sha256'][:12]})")
        try:
            info = read_manifest(find_base(info))
        except CheckpointError:
            break
    return names


def _write_adapter(folder: Path, content: bytes, manifest: Mapping[str, Any], base_folder: Path) -> ModelInfo:
    listed = {**manifest, "sha256": {ADAPTER: hashlib.sha256(content).hexdigest()}}
    files = {
        ADAPTER: content,
        BASE_HINT: f"{base_folder.resolve()}\n".encode(),
        MANIFEST: json.dumps(listed, indent=2).encode(),
    }
    for file_name, value in files.items():
        with atomic_write(_made(folder) / file_name) as file:
            file.write(value)
    return read_manifest(folder)


def _free_folder(name: str) -> Path:
    """Return the folder of a new model; a name is one plain word, and never one that is taken."""
    if not name or name != Path(name).name or name.startswith("."):
        raise CheckpointError(f"'{name}': expected a plain name for the model.", hint="Name it with --name.")
    taken = {info.folder.name for info in list_models()} | {"default"}
    if name in taken or (models_folder() / name).exists():
        raise CheckpointError(f"'{name}': a model of this name is installed.", hint="Name it with --name.")
    return models_folder() / name


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyWriteError(
            f"{folder}: the folder cannot be made ({error.strerror}).", hint="Choose another place."
        ) from error
    return folder


def _history() -> list[str]:
    """Return what was in use; entries whose model is gone are passed over."""
    try:
        history = json.loads((models_folder() / IN_USE).read_text(encoding="utf-8"))["history"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [str(name) for name in history if _is_there(str(name))]


def _is_there(name: str) -> bool:
    folders = (Path(name), models_folder() / name)
    return name == DEFAULT_MODEL or any((folder / MANIFEST).is_file() for folder in folders)


def _write_history(history: list[str]) -> None:
    with atomic_write(_made(models_folder()) / IN_USE) as file:
        file.write(json.dumps({"history": history}, indent=2).encode())
