"""An adapter on disk: one safetensors file that vouches for itself. Reading and checking one needs no torch.

The metadata of the file hold its manifest and a sha256 over manifest, names, shapes and values, so that the file can
be handed on alone and a flipped byte is seen wherever it is.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tmca_core.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

ADAPTER = "adapter.safetensors"
MAX_BYTES = 5_000_000
_COPY_ANEW = "Copy the file anew, or learn from the cases again."


def encode_adapter(tensors: Mapping[str, NDArray[np.float16]], manifest: Mapping[str, Any]) -> bytes:
    """Return the content of an adapter file.

    Raises
    ------
    CheckpointError
        If it would be larger than an adapter may be.

    """
    told = json.dumps(dict(manifest), sort_keys=True)
    content = save(dict(tensors), {"manifest": told, "sha256": _digest(told, tensors)})
    if len(content) > MAX_BYTES:
        raise CheckpointError(
            f"The adapter would take {len(content) / 1e6:.1f} MB, at most {MAX_BYTES / 1e6:.0f} MB are allowed.",
            hint="Use a lower rank, or train all weights (--full).",
        )
    return content


def read_adapter(path: Path) -> tuple[dict[str, NDArray[np.float16]], dict[str, Any]]:
    """Read an adapter's tensors and manifest, and check both against its sha256.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, too large, or no adapter.

    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise CheckpointError(f"{path.name}: {size / 1e6:.1f} MB are too many for an adapter.", hint=_COPY_ANEW)
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        told, expected = metadata["manifest"], metadata["sha256"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path.name}: missing, damaged, or no adapter.", hint=_COPY_ANEW) from error
    if _digest(told, tensors) != expected:
        raise CheckpointError(f"{path.name}: the file is damaged or was changed: its sha256 differs.", hint=_COPY_ANEW)
    manifest: dict[str, Any] = json.loads(told)
    return tensors, manifest


def _digest(told: str, tensors: Mapping[str, NDArray[np.float16]]) -> str:
    digest = hashlib.sha256(told.encode())
    for name in sorted(tensors):
        digest.update(f"\0{name}\0{tensors[name].dtype.str}\0{tensors[name].shape}\0".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()
