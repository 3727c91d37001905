"""The device that computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmca_core.errors import DeviceError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; "auto" takes CUDA, then MPS, then the CPU.

    Raises
    ------
    DeviceError
        If the name is unknown or this machine has no such device: nothing else is taken in its place.

    """
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if available[device])
    kind = name.partition(":")[0]
    if kind not in available:
        raise DeviceError(f"Device '{name}': expected one of {', '.join(DEVICES)}.", hint="Choose one of these.")
    if not available[kind]:
        here = ", ".join(device for device, is_there in available.items() if is_there)
        raise DeviceError(f"Device '{name}' is not available on this machine; it has: {here}.", hint="Use auto or cpu.")
    return torch.device(name)
