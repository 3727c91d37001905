"""One seed in, one radiograph with its exact mask and its report out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.phantom.anatomy import Build, build_thorax
from tmca_core.phantom.bones import RibFracture, build_bones
from tmca_core.phantom.film import take_film
from tmca_core.phantom.findings import PhantomFinding, check_findings, draw_findings
from tmca_core.phantom.frame import Frame
from tmca_core.phantom.opacity import build_opacities
from tmca_core.phantom.vessels import build_vessels
from tmca_core.phantom.wording import describe_findings, describe_fractures
from tmca_core.study import Scan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEAST_SIDE = 16  # pixels; below, no lung can be told from another


@dataclass(frozen=True, eq=False)
class Phantom:
    """A computed radiograph of which everything is known.

    Attributes
    ----------
    scan : Scan
        The film, uint8 (Y, X), bright = dense; modality "DX". The patient's left is at the right of the picture.
    mask : NDArray[np.bool_], shape (Y, X)
        Where opacities are; or where ribs are broken.
    lungs : NDArray[np.uint8], shape (Y, X)
        The visible lungs: 0 outside, 1 the patient's right lung, 2 the left one.
    report_text : str
        A prose report that agrees with the findings; sides are the patient's.
    findings : tuple of PhantomFinding
        What was put in; empty for a normal film.
    seed : int
        What it was made from.

    """

    scan: Scan
    mask: NDArray[np.bool_]
    lungs: NDArray[np.uint8]
    report_text: str
    findings: tuple[PhantomFinding, ...]
    seed: int


def make_phantom(
    seed: int,
    shape: tuple[int, int] = (224, 224),
    findings: Sequence[PhantomFinding] | None = None,
    fractures: Sequence[RibFracture] = (),
) -> Phantom:
    """Compute a frontal chest radiograph with its exact mask and report.

    Parameters
    ----------
    seed : int
        >= 0. The same seed gives the same patient and film whatever the findings are.
    shape : tuple of int
        (Y, X) in pixels, at least 16 each. The shorter side always covers 350 mm.
    findings : sequence of PhantomFinding, optional
        Opacities to put in, at most one per side; ``()`` for a normal film. Left out: drawn from the seed.
    fractures : sequence of RibFracture
        Ribs to break. If there are any, mask and report are of these alone: another target than opacities.

    Returns
    -------
    Phantom

    Raises
    ------
    ValueError
        If the seed is negative, a side of the shape is below 16, or two findings share a side.

    """
    if seed < 0:
        raise ValueError(f"seed: expected >= 0, got {seed}")
    if len(shape) != 2 or min(shape) < LEAST_SIDE:
        raise ValueError(f"shape: expected (Y, X) of at least {LEAST_SIDE} pixels each, got {shape}")
    patient_rng, findings_rng, opacity_rng, film_rng, words_rng = np.random.default_rng(seed).spawn(5)
    found = draw_findings(findings_rng) if findings is None else check_findings(findings)
    frame = Frame.draw(shape, patient_rng)
    build = Build.draw(patient_rng)
    thorax = build_thorax(frame, build, patient_rng)
    bone, broken = build_bones(frame, build, patient_rng, fractures)
    vessels = build_vessels(frame, thorax.depth_mm, patient_rng)
    mask, filled = build_opacities(frame, thorax, found, opacity_rng)
    pixels = take_film(frame, thorax, bone, vessels, filled, film_rng)
    return Phantom(
        scan=Scan(pixels, spacing_mm=(frame.spacing_mm, frame.spacing_mm), modality="DX"),
        mask=broken if fractures else mask,
        lungs=thorax.lungs,
        report_text=describe_fractures(fractures) if fractures else describe_findings(found, "prose", words_rng),
        findings=found,
        seed=seed,
    )
