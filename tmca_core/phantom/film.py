"""From chords to the grey values of a film: attenuation, scatter, noise, processing, curve, collimation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from tmca_core.phantom.noise import smooth_noise

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from tmca_core.phantom.anatomy import Thorax
    from tmca_core.phantom.frame import Frame, Map

# Effective linear attenuation per millimetre at chest tube voltages.
TISSUE_PER_MM = 0.017
BONE_EXCESS_PER_MM = 0.036
AIR_IN_LUNG = 0.76  # the rest of a lung is blood and tissue


@dataclass(frozen=True)
class Exposure:
    """How a film was taken and processed.

    Attributes
    ----------
    scatter : float
        Share of scattered light, which veils dense parts.
    flattening : float
        Share of the coarse contrast that processing takes out, 0..1.
    sharpening : float
        Share by which processing lifts fine contrast.
    noise : float
        Standard deviation of the quantum noise behind lung.
    lung_grey, heart_grey : float
        Where the curve puts healthy lung and mediastinum, 0 (black) to 1.
    blur_mm : float
        Blur of focus and detector.
    border_mm : tuple of float
        Width of the unexposed border at top, bottom, left and right; 0 for none.
    """

    scatter: float
    flattening: float
    sharpening: float
    noise: float
    lung_grey: float
    heart_grey: float
    blur_mm: float
    border_mm: tuple[float, ...]

    @classmethod
    def draw(cls, rng: Generator) -> Self:
        """Draw the settings of one film."""
        lung_grey = float(rng.uniform(0.2, 0.52))
        return cls(
            scatter=float(rng.uniform(0.15, 0.4)),
            flattening=float(rng.uniform(0.0, 0.5)),
            sharpening=float(rng.uniform(0.0, 0.9)),
            noise=float(rng.uniform(0.006, 0.03)),
            lung_grey=lung_grey,
            heart_grey=float(rng.uniform(max(lung_grey + 0.22, 0.68), 0.93)),
            blur_mm=float(rng.uniform(0.5, 1.3)),
            border_mm=tuple(float(width) for width in np.clip(rng.uniform(-60, 16, 4), 0, None)),
        )


def take_film(frame: Frame, thorax: Thorax, bone: Map, vessels: Map, filled: Map, rng: Generator) -> NDArray[np.uint8]:
    """Return the film, bright = dense, (Y, X).

    The curve is set on the patient without opacities, so that films with and without them compare.
    """
    exposure = Exposure.draw(rng)
    texture = 1 + np.float32(0.012) * smooth_noise(frame, 45, rng)
    grain = rng.standard_normal(frame.shape).astype(np.float32)
    lung = AIR_IN_LUNG * thorax.lung
    healthy = TISSUE_PER_MM * (thorax.tissue * texture - thorax.air - lung + vessels) + BONE_EXCESS_PER_MM * bone
    opaque = healthy + TISSUE_PER_MM * filled * np.maximum(lung - 0.8 * vessels, 0)
    middle, width = _curve(_detect(frame, healthy, exposure, grain), thorax, exposure)
    grey = 1 / (1 + np.exp((middle - _detect(frame, opaque, exposure, grain)) / width))
    grey *= ~_outside_collimator(frame, exposure)
    return np.clip(np.round(255 * grey), 0, 255).astype(np.uint8)


def _detect(frame: Frame, attenuation: Map, exposure: Exposure, grain: Map) -> Map:
    """Return the processed signal, rising with attenuation."""
    light = np.exp(-np.maximum(attenuation, 0))
    light = gaussian_filter(light, exposure.blur_mm / frame.pixel_mm, truncate=3.0)
    light = (1 - exposure.scatter) * light + exposure.scatter * 0.5 * _coarse(frame, light, 28)
    signal = -np.log(light)
    # Fewer quanta behind dense parts: the relative noise grows there.
    signal += exposure.noise * grain * np.exp(0.28 * (signal - 2.0))
    signal -= exposure.flattening * _coarse(frame, signal, 32)
    return signal + exposure.sharpening * (signal - gaussian_filter(signal, 3 / frame.pixel_mm, truncate=3.0))


def _coarse(frame: Frame, values: Map, sigma_mm: float) -> Map:
    """Return a wide Gaussian blur, computed on a coarse copy."""
    step = max(int(sigma_mm / frame.pixel_mm / 3), 1)
    padded = np.pad(values, [(0, -size % step) for size in frame.shape], mode="edge")
    rows, columns = (size // step for size in padded.shape)
    small = padded.reshape(rows, step, columns, step).mean(axis=(1, 3))  # (Y / step, X / step)
    small = gaussian_filter(small, sigma_mm / frame.pixel_mm / step)
    return zoom(small, step, order=1, mode="nearest", grid_mode=True)[: frame.shape[0], : frame.shape[1]]


def _curve(signal: Map, thorax: Thorax, exposure: Exposure) -> tuple[float, float]:
    """Return middle and width of the logistic film curve that gives lung and mediastinum their greys."""
    lung = thorax.lungs > 0
    body = (thorax.tissue > 0.8 * thorax.tissue.max()) & (thorax.lung < 0.35 * thorax.lung.max())
    low = float(np.median(signal[lung])) if lung.any() else float(signal.min())
    high = float(np.median(signal[body])) if body.any() else float(signal.max())
    low_logit, high_logit = (np.log(grey / (1 - grey)) for grey in (exposure.lung_grey, exposure.heart_grey))
    width = max(high - low, 0.1) / (high_logit - low_logit)
    return low - width * low_logit, width


def _outside_collimator(frame: Frame, exposure: Exposure) -> NDArray[np.bool_]:
    top, bottom, left, right = (round(width / frame.pixel_mm) for width in exposure.border_mm)
    outside = np.ones(frame.shape, bool)
    outside[top : frame.shape[0] - bottom, left : frame.shape[1] - right] = False
    return outside
