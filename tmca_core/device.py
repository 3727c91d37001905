"""The device that computes, and how finely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tmca_core.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
Precision = Literal["auto", "bfloat16", "float32"]


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


def trains_in_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Return whether a training there computes in bfloat16; "auto" takes it where the hardware has instructions for it.

    A processor without them emulates it, several times slower than float32 (`python benchmarks/precision.py`).
    """
    import torch

    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return any(has for name, has in _processor().items() if "bf16" in name)
    return False


def _processor() -> Mapping[str, object]:
    """Return what the processor can do, by name; nothing where this torch cannot tell."""
    import torch

    tell = getattr(torch.cpu, "get_capabilities", dict)
    found: Mapping[str, object] = tell()
    return found
