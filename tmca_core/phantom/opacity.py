"""Opacities: where they lie in a lung, their exact mask, and how much of the air they replace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_fill_holes, gaussian_filter, label

from tmca_core.phantom.findings import SIDES, ZONES
from tmca_core.phantom.noise import smooth_noise

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from tmca_core.phantom.anatomy import Thorax
    from tmca_core.phantom.findings import Density, PhantomFinding, Zone
    from tmca_core.phantom.frame import Frame, Map

ROUNDING_MM = 3.5  # outlines drawn by readers have no finer detail
# Least and greatest share of the air that is replaced where the opacity is fully developed.
FILLING: dict[Density, tuple[float, float]] = {
    "ground-glass": (0.22, 0.36),
    "mixed": (0.34, 0.55),
    "consolidation": (0.55, 0.8),
}


def build_opacities(
    frame: Frame, thorax: Thorax, findings: tuple[PhantomFinding, ...], rng: Generator
) -> tuple[NDArray[np.bool_], Map]:
    """Return the mask of all opacities and the share of air they replace, 0..1; both (Y, X)."""
    mask = np.zeros(frame.shape, bool)
    filled = np.zeros(frame.shape, np.float32)
    for finding in findings:
        for zones in finding.areas:
            area = _draw_area(frame, thorax, finding, zones, rng)
            mask |= area
            filled = np.maximum(filled, _fill(frame, thorax, area, finding.density, rng))
    return mask, filled


def _draw_area(
    frame: Frame,
    thorax: Thorax,
    finding: PhantomFinding,
    zones: tuple[Zone, ...],
    rng: Generator,
) -> NDArray[np.bool_]:
    """Return one connected area within the given zones of one lung."""
    wavy_height = thorax.height + 0.035 * smooth_noise(frame, 22, rng)
    first, last = ZONES.index(zones[0]) / 3, (ZONES.index(zones[-1]) + 1) / 3
    lung = thorax.lungs == SIDES.index(finding.side) + 1
    band = lung & (wavy_height > (first if first > 0 else -1)) & (wavy_height < (last if last < 1 else 2))
    if not band.any():
        return band
    whole = len(zones) == len(ZONES)
    score = smooth_noise(frame, 40, rng) + 0.3 * smooth_noise(frame, 15, rng) + _preference(frame, thorax, rng)
    cover = rng.uniform(0.72, 1.0) if whole else rng.uniform(0.35, 1.0)
    area = score >= np.quantile(score[band], 1 - cover)
    rounded = gaussian_filter((area & band).astype(np.float32), ROUNDING_MM / frame.pixel_mm)
    rounded /= gaussian_filter(band.astype(np.float32), ROUNDING_MM / frame.pixel_mm) + 1e-6
    return _largest_filled(band & (rounded > 0.5), band)


def _preference(frame: Frame, thorax: Thorax, rng: Generator) -> Map:
    """Return where this disease sits: at the periphery, around the hilum, or anywhere."""
    periphery = 1 - np.clip(thorax.depth_mm / 40, 0, 1)
    base = np.clip(thorax.height, 0, 1.2)
    return np.float32(rng.normal(0.4, 1.0)) * periphery + np.float32(rng.normal(0.8, 0.8)) * base


def _largest_filled(area: NDArray[np.bool_], band: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, count = label(area if area.any() else band)
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel(), minlength=count + 1)[1:]))
    return np.asarray(binary_fill_holes(largest), dtype=bool)


def _fill(frame: Frame, thorax: Thorax, area: NDArray[np.bool_], density: Density, rng: Generator) -> Map:
    """Return the share of air replaced: textured inside, soft where the area ends within the lung."""
    least, greatest = FILLING[density]
    softness = rng.uniform(2.0, 5.0) / frame.pixel_mm
    lungs = gaussian_filter((thorax.lungs > 0).astype(np.float32), softness)
    # Relative to the lung, so that an area fades where lung goes on and not at the heart or the chest wall.
    soft = np.minimum(gaussian_filter(area.astype(np.float32), softness) / (lungs + 1e-6), 1)
    soft *= np.clip(1 + thorax.depth_mm / 5, 0, 1)
    patchy = smooth_noise(frame, 20, rng) + 0.5 * smooth_noise(frame, 8, rng) + 0.4 * smooth_noise(frame, 3.5, rng)
    level = least + (greatest - least) * np.clip(0.5 + 0.35 * patchy, 0, 1)
    return (soft * level).astype(np.float32)
