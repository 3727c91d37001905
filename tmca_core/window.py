"""The robust range of an image's intensities: one definition for the network, the viewer and pictures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW_PERCENTILES = (0.5, 99.5)
_ENOUGH = 1_000_000  # values from which percentiles are taken


def robust_window(
    pixels: NDArray[np.generic], percentiles: tuple[float, float] = WINDOW_PERCENTILES
) -> tuple[float, float]:
    """Return the lowest and highest intensity without outliers, in the pixels' own units; equal for a constant image.

    Parameters
    ----------
    pixels : NDArray
        Any shape, any real dtype; of a large one every n-th value counts.
    percentiles : tuple of float
        Low and high, 0..100.

    """
    values = pixels.reshape(-1)
    sample = values[:: max(values.size // _ENOUGH, 1)].astype(np.float64)
    low, high = np.percentile(sample, percentiles)
    return float(low), float(high)


# Level and width in Hounsfield units, as radiologists read CT.
_CT_WINDOWS = {"Lung": (-600.0, 1500.0), "Soft tissue": (40.0, 400.0), "Bone": (400.0, 1800.0), "Brain": (40.0, 80.0)}
_WINDOW = re.compile(r"([^:]*[^:\s])\s*:\s*(-?\d+(?:\.\d+)?)\s*[,/ ]\s*(\d+(?:\.\d+)?)")
_CONTRAST = {"Automatic": WINDOW_PERCENTILES, "More contrast": (10.0, 98.0), "Full range": (0.0, 100.0)}


def parse_windows(text: str) -> tuple[dict[str, tuple[float, float]], tuple[str, ...]]:
    """Return named windows, lowest and highest intensity, and the parts of the text that could not be read.

    Parameters
    ----------
    text : str
        ``"Liver: 60, 160; Stroke: 40, 40"``: name, level, width (above 0); a line for each, or a semicolon
        between.

    """
    windows: dict[str, tuple[float, float]] = {}
    unread = []
    for part in filter(None, (part.strip() for part in text.replace("\n", ";").split(";"))):
        match = _WINDOW.fullmatch(part)
        if match is None or float(match[3]) <= 0:
            unread.append(part)
            continue
        level, width = float(match[2]), float(match[3])
        windows[match[1].strip()] = (level - width / 2, level + width / 2)
    return windows, tuple(unread)


def window_presets(pixels: NDArray[np.generic], modality: str) -> dict[str, tuple[float, float]]:
    """Return named windows, lowest and highest intensity shown, that suit a scan; the first is what it opens with.

    Parameters
    ----------
    pixels : NDArray
        In Hounsfield units where the modality is CT.
    modality : str
        DICOM code; "" where unknown.

    """
    presets = {name: robust_window(pixels, percentiles) for name, percentiles in _CONTRAST.items()}
    if modality == "CT":
        presets |= {name: (level - width / 2, level + width / 2) for name, (level, width) in _CT_WINDOWS.items()}
    return {name: (low, high) for name, (low, high) in presets.items() if high > low}
