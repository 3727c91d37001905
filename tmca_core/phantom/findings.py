"""What lies where in a phantom: a side, zones, and how dense the opacity is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

Side = Literal["left", "right"]
Zone = Literal["upper", "middle", "lower"]
Density = Literal["ground-glass", "mixed", "consolidation"]

SIDES: tuple[Side, ...] = (
    "right",
    "left",
)  # the order in which reports of this project name them
ZONES: tuple[Zone, ...] = get_args(Zone)
DENSITIES: tuple[Density, ...] = get_args(Density)

NORMAL_RATE = 0.12
BILATERAL_RATE = 0.68
# How often each set of zones is drawn: whole lungs and lower zones lead, as in viral pneumonia.
ZONE_RATES: dict[tuple[Zone, ...], float] = {
    ("upper", "middle", "lower"): 0.30,
    ("lower",): 0.30,
    ("middle", "lower"): 0.16,
    ("middle",): 0.08,
    ("upper",): 0.06,
    ("upper", "middle"): 0.05,
    ("upper", "lower"): 0.05,
}


@dataclass(frozen=True)
class PhantomFinding:
    """An opacity in one lung.

    Attributes
    ----------
    side : {"left", "right"}
        The patient's side; the patient's left lies at the right of the picture.
    zones : tuple of {"upper", "middle", "lower"}
        Thirds of the height of that lung, kept in this order. All three: the whole lung.
    density : {"ground-glass", "mixed", "consolidation"}
        How much of the air is replaced.

    Raises
    ------
    ValueError
        If a side, zone or density is unknown, or no zone is given.

    """

    side: Side
    zones: tuple[Zone, ...]
    density: Density = "mixed"

    def __post_init__(self) -> None:
        """Check the values and put the zones in order."""
        if self.side not in SIDES:
            raise ValueError(f"side: expected one of {SIDES}, got {self.side!r}")
        if not self.zones or not set(self.zones) <= set(ZONES):
            raise ValueError(f"zones: expected some of {ZONES}, got {self.zones!r}")
        if self.density not in DENSITIES:
            raise ValueError(f"density: expected one of {DENSITIES}, got {self.density!r}")
        object.__setattr__(self, "zones", tuple(zone for zone in ZONES if zone in self.zones))

    @property
    def areas(self) -> tuple[tuple[Zone, ...], ...]:
        """Zones grouped by adjacency; each group is one connected area of the mask."""
        if self.zones == ("upper", "lower"):
            return (("upper",), ("lower",))
        return (self.zones,)


def check_findings(findings: Sequence[PhantomFinding]) -> tuple[PhantomFinding, ...]:
    """Return the findings, right lung first; at most one of each side."""
    sides = [finding.side for finding in findings]
    if len(set(sides)) < len(sides):
        raise ValueError(f"expected at most one finding per side, got {sides}")
    return tuple(sorted(findings, key=lambda finding: SIDES.index(finding.side)))


def draw_findings(rng: Generator) -> tuple[PhantomFinding, ...]:
    """Draw the findings of one phantom: none, one lung, or both."""
    if rng.random() < NORMAL_RATE:
        return ()
    sides = SIDES if rng.random() < BILATERAL_RATE else (SIDES[int(rng.integers(2))],)
    return tuple(PhantomFinding(side, _draw_zones(rng), DENSITIES[int(rng.integers(3))]) for side in sides)


def _draw_zones(rng: Generator) -> tuple[Zone, ...]:
    choices = list(ZONE_RATES)
    return choices[int(rng.choice(len(choices), p=list(ZONE_RATES.values())))]
