"""A thorax as chord lengths: how many millimetres of tissue, air and bone each ray passes.

All curves are written for a reference adult, in millimetres of the patient's frame (see ``frame.py``); every patient
varies them. Rays are parallel and run front to back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.interpolate import PchipInterpolator

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from tmca_core.phantom.findings import Side
    from tmca_core.phantom.frame import Frame, Map

TISSUE_DEPTH_MM = 215.0
LUNG_DEPTH_MM = 165.0
APEX_MM = -131.0
ANGLE_BELOW_DOME_MM = 34.0  # the costophrenic angle lies this far below the top of the dome

JOIN_MM = np.float32(4.0)  # how far the parts of the heart flow into one silhouette

# Heights against: half width of the inside of the rib cage; medial border of the lungs before the heart covers it;
# depth of the thorax, relative; depth of the lung, relative; shoulder line (by distance from the midline).
CAGE = (
    (-140, 8),
    (-132, 42),
    (-120, 66),
    (-105, 84),
    (-85, 99),
    (-60, 112),
    (-30, 122),
    (0, 128),
    (40, 133),
    (80, 136),
    (120, 136),
    (160, 132),
    (240, 126),
)
MEDIAL = (
    (-140, 31),
    (-125, 27),
    (-105, 23),
    (-80, 21),
    (-50, 20),
    (-20, 18),
    (20, 15),
    (120, 12),
)
THORAX_DEPTH = ((-190, 0.45), (-140, 0.55), (-80, 0.85), (-10, 1.0), (240, 1.0))
LUNG_DEPTH = ((-140, 0.35), (-110, 0.6), (-50, 0.95), (20, 1.0), (240, 1.0))
SHOULDER_TOP = (
    (0, -200),
    (52, -172),
    (75, -152),
    (120, -138),
    (165, -122),
    (205, -88),
    (260, -40),
)


@dataclass(frozen=True)
class Build:
    """What differs from patient to patient.

    Attributes
    ----------
    width, heart, bone : float
        Width of the rib cage, size of the heart and mineral content of bone, relative to the reference.
    dome_mm : dict of side to float
        Height of the top of each diaphragm dome; the right one is higher (smaller y).
    wall_mm : float
        Thickness of the chest wall at the sides.
    breast_mm : float
        Depth of breast shadows; 0 for none.
    arm_mm : float
        Gap between trunk and arms.

    """

    width: float
    heart: float
    bone: float
    dome_mm: dict[Side, float]
    wall_mm: float
    breast_mm: float
    arm_mm: float

    @classmethod
    def draw(cls, rng: Generator) -> Self:
        """Draw a patient."""
        right_dome = float(np.clip(rng.normal(74.0, 10.0), 52.0, 96.0))
        return cls(
            width=float(rng.uniform(0.92, 1.06)),
            heart=float(rng.uniform(0.85, 1.15)),
            bone=float(rng.uniform(0.7, 1.2)),
            dome_mm={
                "right": right_dome,
                "left": right_dome + float(rng.uniform(4, 16)),
            },
            wall_mm=float(rng.uniform(12, 32)),
            breast_mm=float(max(rng.normal(0, 22), 0.0)),
            arm_mm=float(rng.uniform(4, 45)),
        )


@dataclass(frozen=True, eq=False)
class Thorax:
    """Soft parts of one patient on a film; every map is (Y, X).

    Attributes
    ----------
    tissue, lung, air : NDArray[np.float32]
        Chords in millimetres: through the whole body as if it were tissue, through aerated lung, and through the
        air of trachea, stomach and bowel.
    lungs : NDArray[np.uint8]
        The lungs as a reader sees them, clear of heart and diaphragm: 0 outside, 1 right lung, 2 left lung.
    depth_mm : NDArray[np.float32]
        Distance to the border of the visible lung, positive inside.
    height : NDArray[np.float32]
        0 at the apex to 1 at the costophrenic angle of the lung on that side.

    """

    tissue: Map
    lung: Map
    air: Map
    lungs: NDArray[np.uint8]
    depth_mm: Map
    height: Map


def build_thorax(frame: Frame, build: Build, rng: Generator) -> Thorax:
    """Return the soft parts of a patient."""
    field_mm = _lung_field_mm(frame, build)
    below_dome_mm = frame.y - _dome(frame, build)
    heart_mm, heart_chord = _heart(frame, build)
    depth_mm = np.minimum(np.minimum(field_mm, -below_dome_mm), heart_mm)
    return Thorax(
        tissue=_tissue_chord(frame, build),
        lung=_lung_chord(frame, field_mm, below_dome_mm, heart_mm, heart_chord),
        air=_trachea_chord(frame) + _abdominal_gas_chord(frame, build, rng),
        lungs=np.where(depth_mm > 0, np.where(frame.x < 0, 1, 2), 0).astype(np.uint8),
        depth_mm=depth_mm,
        height=(frame.y - APEX_MM) / (_side_values(frame, build.dome_mm) + ANGLE_BELOW_DOME_MM - APEX_MM),
    )


def at_height(y: NDArray[np.floating], points: tuple[tuple[float, float], ...]) -> Map:
    """Return a smooth curve through (y, value) points, at any heights."""
    return np.interp(y, *_table(points)).astype(np.float32)


@cache
def _table(
    points: tuple[tuple[float, float], ...],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, values = np.array(points, np.float64).T
    fine = np.arange(y[0], y[-1] + 1.0)
    return fine, PchipInterpolator(y, values)(fine)


def _side_values(frame: Frame, values: dict[Side, float]) -> Map:
    return np.where(frame.x < 0, np.float32(values["right"]), np.float32(values["left"]))


def _lung_field_mm(frame: Frame, build: Build) -> Map:
    """Return the distance to rib cage and mediastinum, positive in the lung fields."""
    width = np.float32(build.width)
    cage = at_height(frame.y, CAGE)
    slope = (at_height(frame.y + 1, CAGE) - cage) * width
    lateral = (cage * width - 3 - np.abs(frame.x)) / np.sqrt(1 + slope**2)
    return np.minimum(lateral, np.abs(frame.x) - at_height(frame.y, MEDIAL) * width)


def _dome(frame: Frame, build: Build) -> Map:
    """Return the height of the diaphragm by position: highest at mid-lung, steep towards the chest wall."""
    from_top = (np.abs(frame.x) - 60) / np.float32(75 * build.width)
    fall = np.where(from_top > 0, ANGLE_BELOW_DOME_MM * np.abs(from_top) ** 2.4, 14 * from_top**2)
    return (_side_values(frame, build.dome_mm) + fall).astype(np.float32)


def _heart(frame: Frame, build: Build) -> tuple[Map, Map]:
    """Return distance from the silhouette of heart and great vessels (negative inside) and the chord through them."""
    size, drop = build.heart, 0.55 * (build.dome_mm["left"] - 85)
    # centre x, y, semi-axes, tilt in degrees, depth
    parts = (
        (18 * size, 44 + drop, 66 * size, 42, 30, 100),  # left ventricle, its apex to the patient's left
        (38 * size, 58 + drop, 40 * size, 34, 30, 90),  # apex
        (-14, 42 + drop, 29 * size, 46, 0, 85),  # right atrium
        (22, -60, 17, 18, 0, 50),  # aortic knob
        (22, -26, 19, 26, 0, 45),  # pulmonary trunk
        (-8, -70, 21, 55, 0, 60),  # superior vena cava
        (14, 10, 14, 95, 0, 30),  # descending aorta
    )
    nearness = np.zeros(frame.shape, np.float32)
    chord = np.zeros(frame.shape, np.float32)
    for x, y, a, b, tilt, depth in parts:
        q = ellipse(frame, x, y, a, b, tilt)
        distance = (np.sqrt(q) - 1) * np.float32(min(a, b))
        nearness += np.exp(-np.clip(distance, -100, 200) / JOIN_MM)
        chord = np.maximum(chord, depth * np.sqrt(np.clip(1 - q, 0, 1)))
    outside = -JOIN_MM * np.log(nearness)
    return outside, chord


def ellipse(frame: Frame, x: float, y: float, a: float, b: float, tilt: float = 0.0) -> Map:
    """Return the squared elliptical radius: 0 at the centre (x, y), 1 on the border with semi-axes a and b."""
    cos, sin = (
        np.float32(np.cos(np.deg2rad(tilt))),
        np.float32(np.sin(np.deg2rad(tilt))),
    )
    dx, dy = frame.x - np.float32(x), frame.y - np.float32(y)
    return ((cos * dx + sin * dy) / np.float32(a)) ** 2 + ((cos * dy - sin * dx) / np.float32(b)) ** 2


def soft_step(distance_mm: Map, width_mm: float) -> Map:
    """Return 0 to 1 across a border of the given width, so that edges do not alias."""
    return np.clip(distance_mm / np.float32(width_mm) + 0.5, 0, 1)


def _lung_chord(frame: Frame, field_mm: Map, below_dome_mm: Map, heart_mm: Map, heart_chord: Map) -> Map:
    rounded = np.sqrt(1 - (1 - np.clip(field_mm / 48, 0, 1)) ** 2)
    chord = LUNG_DEPTH_MM * at_height(frame.y, LUNG_DEPTH) * rounded
    # Behind the dome lies only the posterior recess; behind the heart, what it does not displace.
    recess = 0.32 * np.exp(-np.clip(below_dome_mm, 0, None) / 26)
    behind_dome = soft_step(below_dome_mm, 2 * frame.pixel_mm)
    behind_heart = soft_step(-heart_mm, 3 * frame.pixel_mm)
    chord *= 1 + (recess - 1) * behind_dome
    chord -= behind_heart * np.minimum(heart_chord + 25, 0.8 * chord)
    return chord.astype(np.float32)


def _tissue_chord(frame: Frame, build: Build) -> Map:
    """Return the chord through the body outline: trunk, shoulders with arms, neck, breasts."""
    distance = np.abs(frame.x)
    half_width = at_height(frame.y, CAGE) * np.float32(build.width) + np.float32(build.wall_mm)
    trunk = at_height(frame.y, THORAX_DEPTH) * _round(distance / half_width, 2.6) * TISSUE_DEPTH_MM
    neck = 125 * _round(distance / 54, 2.0)
    below_shoulder = frame.y - at_height(distance, SHOULDER_TOP)
    arm_inner = half_width + np.float32(build.arm_mm) * np.clip((frame.y + 60) / 120, 0, 1)
    arm = soft_step(np.maximum(distance - arm_inner, -60 - frame.y), 14)
    shoulder = 120 * np.sqrt(np.clip(below_shoulder / 60, 0, 1)) * arm * _round((distance - 150) / 105, 2.0)
    body = np.maximum(np.maximum(trunk, neck * soft_step(-100 - frame.y, 60)), shoulder)
    breasts = sum(_round(np.sqrt(ellipse(frame, side * 76, 40, 58, 52)), 2.0) for side in (-1, 1))
    return (body + build.breast_mm * breasts).astype(np.float32)


def _round(radius: Map, power: float) -> Map:
    """Return the relative chord of a rounded body at a relative distance from its middle."""
    return np.sqrt(np.clip(1 - np.abs(radius) ** np.float32(power), 0, 1))


def _trachea_chord(frame: Frame) -> Map:
    trachea = 17 * _round((frame.x + 2) / 8.5, 2.0) * soft_step(-48 - frame.y, 6)
    left = ellipse(frame, 18, -36, 26, 6, 32)
    right = ellipse(frame, -17, -34, 24, 6.5, -40)
    return np.maximum(trachea, 12 * (_round(np.sqrt(left), 2.0) + _round(np.sqrt(right), 2.0)))


def _abdominal_gas_chord(frame: Frame, build: Build, rng: Generator) -> Map:
    """Return the chord through the stomach bubble under the left dome and a few loops of bowel."""
    left = build.dome_mm["left"]
    bubbles = [
        (
            rng.uniform(48, 88),
            left + rng.uniform(20, 30),
            rng.uniform(14, 32),
            rng.uniform(8, 15),
            55.0,
        )
    ]
    for _ in range(int(rng.integers(0, 5))):
        centre = rng.uniform(-30, 110), left + rng.uniform(45, 95)
        bubbles.append((*centre, rng.uniform(8, 24), rng.uniform(6, 16), 35.0))
    chord = np.zeros(frame.shape, np.float32)
    for x, y, a, b, depth in bubbles:
        tilt = float(rng.uniform(-30, 30))
        chord = np.maximum(
            chord,
            depth * rng.uniform(0.3, 1.0) * _round(np.sqrt(ellipse(frame, x, y, a, b, tilt)), 2.0),
        )
    return chord * soft_step(frame.y - left - 6, 6)
