"""Ribs, clavicles, spine and shoulder girdle as excess millimetres of bone along each ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.phantom.anatomy import CAGE, at_height, soft_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from tmca_core.phantom.anatomy import Build
    from tmca_core.phantom.findings import Side
    from tmca_core.phantom.frame import Frame, Map

RIB_PAIRS = 11
STEP_MM, GAP_MM, AROUND_MM = 7.0, 2.5, 11.0  # how far the parts of a broken rib are apart, and what is outlined
CALLUS_MM, CALLUS_WIDTH_MM = 30.0, 6.0  # new bone around the break, without which a rib's break is hardly seen
CORTEX = 0.72  # inner radius of a rib over its outer radius
MARROW = 0.45  # bone missing inside, relative to solid bone


@dataclass(frozen=True)
class RibFracture:
    """A broken rib that heals: its outer part pushed down, new bone around the break.

    Attributes
    ----------
    side : {"left", "right"}
        The patient's.
    rib : int
        3 to 9, counted from above.
    place : float
        Where along the rear arc, 0 at its inner end to 1 at the chest wall.

    """

    side: Side
    rib: int
    place: float = 0.6

    def __post_init__(self) -> None:
        """Check the values."""
        if self.side not in ("left", "right") or not 3 <= self.rib <= 9 or not 0.2 <= self.place <= 0.9:
            raise ValueError(f"expected a side, a rib 3 to 9 and a place 0.2 to 0.9, got {self}")


def build_bones(
    frame: Frame, build: Build, rng: Generator, fractures: Sequence[RibFracture] = ()
) -> tuple[Map, NDArray[np.bool_]]:
    """Return the chord through bone, (Y, X) in millimetres, and where ribs are broken."""
    bone = np.zeros(frame.shape, np.float32)
    broken = np.zeros(frame.shape, np.bool_)
    _add_ribs(bone, broken, frame, build, rng, fractures)
    _add_clavicles(bone, frame, build, rng)
    bone += _spine(frame) + _shoulder_blades(frame, build, rng)
    return bone * np.float32(build.bone), broken


def _add_ribs(
    bone: Map,
    broken: NDArray[np.bool_],
    frame: Frame,
    build: Build,
    rng: Generator,
    fractures: Sequence[RibFracture],
) -> None:
    """Add every rib as a tilted ring seen from the front: a posterior arc above an anterior one."""
    spacing = 20.5 + rng.normal(0, 0.6)
    tilt = rng.uniform(0.85, 1.15)
    for index in range(RIB_PAIRS):
        for side in (-1, 1):
            top = -124 + spacing * index + rng.normal(0, 1.0)
            descent = tilt * np.interp(index, (0, 2, 5, 10), (30, 62, 84, 96))
            half_width = float(at_height(np.array(top + descent / 2), CAGE)) * build.width - 1
            radius = rng.uniform(4.8, 6.2)
            anterior_end = half_width * np.interp(index, (0, 3, 8, 10), (0.3, 0.42, 0.72, 0.9))
            own = [f for f in fractures if f.rib == index + 1 and f.side == ("right" if side < 0 else "left")]
            break_mm = 20.0 + own[0].place * (half_width - 20.0) if own else None
            middle = _add_arc(bone, frame, side, (top, descent, half_width), (20.0, 1), radius, break_mm)
            if break_mm is not None:
                squared = (frame.x * side - np.float32(break_mm)) ** 2 + (frame.y - np.float32(middle)) ** 2
                broken |= squared < AROUND_MM**2
                bone += np.float32(CALLUS_MM) * np.exp(-squared / np.float32(2 * CALLUS_WIDTH_MM**2))
            _add_arc(
                bone,
                frame,
                side,
                (top, descent, half_width),
                (anterior_end, -1),
                0.9 * radius,
            )


def _add_arc(
    bone: Map,
    frame: Frame,
    side: int,
    ring: tuple[float, float, float],
    arc: tuple[float, int],
    radius: float,
    break_mm: float | None = None,
) -> float:
    """Add one half of a rib: ``ring`` is top, descent and half width in mm, ``arc`` the inner end and +1 posterior.

    With ``break_mm``, the distance from the midline at which it is broken, return the height of the break.
    """
    top, descent, half_width = ring
    inner_end, direction = arc
    along = np.linspace(inner_end, half_width, 12)
    run = np.sqrt(1 - (along / half_width) ** 2)
    window = frame.window(side * along, top + descent / 2 * (1 - direction * run), radius + 2)
    x, y = frame.x[window] * side, frame.y[window]
    run_here = np.sqrt(np.clip(1 - (x / np.float32(half_width)) ** 2, 0.012, 1))
    slope = np.float32(descent / 2 / half_width**2) * x / run_here
    middle = np.float32(top + descent / 2) - np.float32(direction * descent / 2) * run_here
    beyond = soft_step(x - np.float32(break_mm), 2) if break_mm is not None else np.float32(0)
    distance = np.abs(y - middle - np.float32(STEP_MM) * beyond) / np.sqrt(1 + slope**2)
    ends = soft_step(x - np.float32(inner_end), 8) * soft_step(np.float32(half_width) - x, 2)
    if break_mm is None:
        bone[window] += _tube(distance, radius) * ends
        return 0.0
    gap = 1 - np.exp(-(((x - np.float32(break_mm)) / np.float32(GAP_MM)) ** 2))
    bone[window] += _tube(distance, radius) * ends * gap
    run_there = float(np.sqrt(1 - (break_mm / half_width) ** 2))
    return top + descent / 2 * (1 - direction * run_there) + STEP_MM / 2


def _tube(distance: Map, radius: float) -> Map:
    """Return the bone chord of a tube with a dense cortex, by distance from its axis."""
    outer = np.sqrt(np.clip(1 - (distance / np.float32(radius)) ** 2, 0, 1))
    inner = np.sqrt(np.clip(1 - (distance / np.float32(CORTEX * radius)) ** 2, 0, 1))
    return (radius * (outer - MARROW * CORTEX * inner)).astype(np.float32)


def _add_clavicles(bone: Map, frame: Frame, build: Build, rng: Generator) -> None:
    """Add both clavicles: an S from the sternum up to the shoulder."""
    rise = rng.uniform(14, 36)
    for side in (-1, 1):
        top = -96 + rng.normal(0, 2)
        x = frame.x * side / np.float32(build.width)
        along = np.clip((x - 12) / 130, -0.2, 1.2)
        middle = np.float32(top) - np.float32(rise) * along - 5 * np.sin(2 * np.pi * along)
        radius = 5.5 + 2.5 * np.abs(along - 0.5)
        distance = np.abs(frame.y - middle) / radius
        ends = soft_step(x - 12, 5) * soft_step(142 - x, 5)
        bone += 8.5 * _tube(distance, 1.0) * ends


def _spine(frame: Frame) -> Map:
    """Return vertebral bodies with their discs, pedicles and spinous processes."""
    half_width = np.interp(frame.y, (-200, -100, 100, 200), (12, 15, 20, 24)).astype(np.float32)
    level = (frame.y + 200) / np.interp(frame.y, (-200, -100, 200), (17, 20, 28)).astype(np.float32)
    within = np.abs(level - np.round(level))  # 0 in the middle of a body, 0.5 in the disc
    body = 12 * np.sqrt(np.clip(1 - (frame.x / half_width) ** 4, 0, 1)) * (0.55 + 0.45 * soft_step(0.36 - within, 0.12))
    pedicle = 7 * np.exp(-(((np.abs(frame.x) - 0.62 * half_width) / 3) ** 2) - (within / 0.2) ** 2)
    process = 5 * np.exp(-((frame.x / 2.5) ** 2) - ((within - 0.25) / 0.15) ** 2)
    return (body + pedicle + process).astype(np.float32)


def _shoulder_blades(frame: Frame, build: Build, rng: Generator) -> Map:
    """Return scapulae and heads of the humerus; rolled forward they leave the lungs, else they overlie them."""
    x = np.abs(frame.x) / np.float32(build.width)
    medial = rng.uniform(92, 126) + 0.10 * (frame.y + 70)
    inside = np.minimum(np.minimum(x - medial, frame.y + 112), 158 - x - 0.55 * (frame.y + 70))
    blade = 2.2 * soft_step(inside, 5) + 3.0 * np.exp(-((inside - 3) ** 2) / 8)
    spine_of_blade = 4 * np.exp(-(((frame.y + 100 + 0.12 * (x - 110)) / 4) ** 2)) * soft_step(x - medial, 10)
    head = 16 * np.sqrt(np.clip(1 - ((x - 168) ** 2 + (frame.y + 98) ** 2) / 24**2, 0, 1))
    shaft = 12 * soft_step(11 - np.abs(x - 176 - 0.1 * (frame.y + 60)), 4) * soft_step(frame.y + 88, 10)
    return (blade + spine_of_blade * soft_step(165 - x, 10) + np.maximum(head, shaft)).astype(np.float32)
