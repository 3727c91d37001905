"""Does a mask agree with what its report states? Presence, side, zones and number, in a clinician's words.

A check of words against pixels, by rules that can be read; the network has no part in it. It holds for pictures and
volumes that are shown radiologically (the patient's left at the right), as every `tmca_core.study.Scan` is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import skimage

from tmca_core.study import OUTLINED_KINDS, SideConvention

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tmca_core.study import Finding, Place, Report

Aspect = Literal["presence", "side", "zone", "number"]

# Rows of a chest radiograph that a zone may cover, as shares of its height: generous, since lungs are not always framed
# alike. 90 % of the mask rows of one-zone reports in QaTa-COV19's training split lie in 0.10-0.42 (upper), 0.34-0.62
# (middle) and 0.40-0.78 (lower).
ZONE_ROWS = {"upper": (0.0, 0.45), "middle": (0.28, 0.68), "lower": (0.38, 1.0)}
_MOSTLY = 0.5  # share of the mask that must lie where the report says
_TRACE = 0.03  # share of the mask under which a side counts as free
_SPECK = 0.0005  # share of the picture under which a part of the mask is not counted
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Remark:
    """One comparison of report and mask.

    Attributes
    ----------
    aspect : {"presence", "side", "zone", "number"}
        What was compared.
    agrees : bool
        Whether the mask is as the report says.
    text : str
        One sentence, for the reader of both.

    """

    aspect: Aspect
    agrees: bool
    text: str


def check_consistency(
    mask: NDArray[np.generic], report: Report, convention: SideConvention = SideConvention.PATIENT
) -> tuple[Remark, ...]:
    """Compare a mask with the findings of the sentences that the network was given.

    Nothing is said about what the report leaves open: without a side no side is compared. Zones are compared on
    pictures only.

    Parameters
    ----------
    mask : NDArray, shape (Y, X) or (Z, Y, X)
        Whatever is not zero is target.
    report : Report
        As `tmca_core.report.parse_report` reads it.
    convention : SideConvention
        What "left" means in it.

    """
    target = np.asarray(mask, dtype=bool)
    stated = [f for i in report.used for f in report.sentences[i].findings if f.kind in OUTLINED_KINDS]
    affirmed = [finding for finding in stated if finding.certainty in ("affirmed", "uncertain")]
    remarks = list(_presence(target, stated, affirmed))
    if affirmed and target.any():
        places = _places(affirmed)
        remarks += _sides(target, places, convention)
        if target.ndim == 2 and any(finding.kind == "opacity" for finding in affirmed):
            remarks += _zones(target, places, convention)
        remarks += _number(target, affirmed)
    return tuple(remarks)


def _presence(target: NDArray[np.bool_], stated: list[Finding], affirmed: list[Finding]) -> Iterator[Remark]:
    if affirmed and not target.any():
        yield Remark("presence", False, f"The report states {_an(affirmed[0].kind)}; the mask is empty.")
    elif affirmed:
        yield Remark("presence", True, f"The report states {_an(affirmed[0].kind)}, and the mask shows one.")
    elif stated and target.any():
        share = f"{target.mean():.1%}"
        yield Remark(
            "presence", False, f"The report states no {stated[0].kind}; the mask covers {share} of the picture."
        )
    elif stated:
        yield Remark("presence", True, f"The report states no {stated[0].kind}, and the mask is empty.")


def _sides(
    target: NDArray[np.bool_], places: dict[str, frozenset[str]], convention: SideConvention
) -> Iterator[Remark]:
    named = sorted(side for side in places if side)
    if not named:
        return
    shares = {side: _half(target, side, convention).sum() / target.sum() for side in ("left", "right")}
    if len(named) == 1:
        (side,) = named
        other = "right" if side == "left" else "left"
        agrees = bool(shares[side] > _MOSTLY)
        where = side if agrees else other
        text = (
            f"The report names the {side} side{'' if agrees else ' only'}; {shares[where]:.0%} of the mask lies on the "
        )
        yield Remark("side", agrees, f"{text}{where}.")
    else:
        free = [side for side in named if shares[side] < _TRACE]
        text = f"; the mask shows next to nothing on the {free[0]}." if free else ", and so does the mask."
        yield Remark("side", not free, f"The report names both sides{text}")


def _zones(
    target: NDArray[np.bool_], places: dict[str, frozenset[str]], convention: SideConvention
) -> Iterator[Remark]:
    height = target.shape[0]
    rows = (np.arange(height) + 0.5) / height
    for side, zones in sorted(places.items()):
        half = _half(target, side, convention) if side else target
        if not zones or half.sum() < _TRACE * target.sum():
            continue
        allowed = np.any([(rows >= ZONE_ROWS[zone][0]) & (rows <= ZONE_ROWS[zone][1]) for zone in zones], axis=0)
        inside = float(half[allowed].sum() / half.sum())
        place = f"{side} {_zone_words(zones)}".strip()
        text = f"The report names the {place}; {inside:.0%} of the mask{' on that side' if side else ''} lies there."
        yield Remark("zone", inside > _MOSTLY, text)


def _number(target: NDArray[np.bool_], affirmed: list[Finding]) -> Iterator[Remark]:
    counts = [finding.count for finding in affirmed if finding.count is not None]
    if not counts:
        return
    parts = np.bincount(skimage.measure.label(target, connectivity=target.ndim).ravel())[1:]
    found = int((parts >= _SPECK * target.size).sum())
    stated = sum(counts)
    agrees = found == stated
    text = f"The report counts {_count(stated)}, {'and so does' if agrees else f'{_count(found)} in'} the mask."
    yield Remark("number", agrees, text)


def _places(affirmed: list[Finding]) -> dict[str, frozenset[str]]:
    """Return the zones named of each side, of all findings together."""
    zones: dict[str, frozenset[str]] = {}
    for place in _all_places(affirmed):
        zones[place.side] = zones.get(place.side, frozenset()) | place.zones
    return zones


def _all_places(affirmed: list[Finding]) -> list[Place]:
    return [place for finding in affirmed for place in finding.places]


def _half(target: NDArray[np.bool_], side: str, convention: SideConvention) -> NDArray[np.bool_]:
    """Return the mask with the other half of the picture cleared."""
    is_right_of_picture = (side == "left") == (convention is SideConvention.PATIENT)
    middle = target.shape[-1] / 2
    columns = np.arange(target.shape[-1]) + 0.5
    return target & ((columns > middle) if is_right_of_picture else (columns < middle))


def _zone_words(zones: frozenset[str]) -> str:
    named = [zone for zone in ZONE_ROWS if zone in zones]
    return "lung" if len(named) == len(ZONE_ROWS) else f"{' and '.join(named)} {'zone' if len(named) == 1 else 'zones'}"


def _count(number: int) -> str:
    words = _WORDS[number] if number < len(_WORDS) else str(number)
    return f"{words} {'area' if number == 1 else 'areas'}"


def _an(kind: str) -> str:
    kind = "finding" if kind == "other" else kind
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
