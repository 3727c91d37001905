"""Lengths that a reader gives by hand, for files that state none. They never override one that a file has."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from tmca_core.errors import ConfigError, GeometryError, StudyReadError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tmca_core.study import Scan

_SAME = 0.02  # of the step between slices


def parse_spacing(text: str) -> tuple[float, ...]:
    """Return two or three lengths in mm, (y, x) or (z, y, x), from a text with blanks, commas or "x" between them.

    Raises
    ------
    ConfigError
        If they are not two or three positive numbers.

    """
    try:
        values = tuple(float(word) for word in re.split(r"[\s,;x]+", text.strip()))
    except ValueError:
        values = ()
    if not _are_lengths(values):
        raise ConfigError(
            f"spacing: expected two or three lengths in mm, got '{text[:40]}'.",
            hint="Write them from the slowest axis to the fastest, such as 5,0.7,0.7.",
        )
    return values


def check_spacing(values: Sequence[float]) -> tuple[float, ...]:
    """Return the lengths as a tuple; raise ``ValueError`` if they are not two or three positive numbers."""
    lengths = tuple(float(value) for value in values)
    if not _are_lengths(lengths):
        raise ValueError(f"expected a spacing of two or three positive lengths in mm, got {values}")
    return lengths


def note_by_hand(lengths: tuple[float, ...]) -> str:
    """Return the note on a scan whose spacing was given."""
    return f"Spacing given by hand, {_text(lengths)} mm: the file states none."


def with_spacing(name: str, scan: Scan, lengths: tuple[float, ...]) -> Scan:
    """Return the scan with the spacing given, in the order of its axes.

    Raises
    ------
    StudyReadError
        If the file states one, or the scan has another number of axes.

    """
    note = note_by_hand(lengths)
    if note in scan.notes:  # used already, where the reader needed it
        return scan
    if scan.spacing_mm is not None:
        raise StudyReadError(
            f"{name}: a spacing was given by hand, and the file states its own, {_text(scan.spacing_mm)} mm.",
            hint="Leave the spacing out: it never overrides that of a file.",
        )
    if len(lengths) != scan.ndim:
        raise StudyReadError(
            f"{name}: expected a spacing of {scan.ndim} lengths, ({'z, ' * (scan.ndim == 3)}y, x), got {len(lengths)}.",
            hint="Give one length in mm for each axis.",
        )
    return replace(scan, spacing_mm=lengths, notes=(*scan.notes, note))


def check_step(name: str, step_mm: float, lengths: tuple[float, ...]) -> None:
    """Raise `GeometryError` if the distance of slices was given, and the positions in the file say another."""
    if len(lengths) == 3 and abs(lengths[0] - step_mm) > _SAME * step_mm:
        raise GeometryError(
            f"{name}: a distance of slices of {lengths[0]:g} mm was given by hand, and by their positions it is "
            f"{step_mm:.4g} mm.",
            hint=f"Give {step_mm:.4g}, or only the two lengths of a pixel.",
        )


def _are_lengths(values: tuple[float, ...]) -> bool:
    return len(values) in (2, 3) and all(math.isfinite(value) and value > 0 for value in values)


def _text(lengths: tuple[float, ...]) -> str:
    return " x ".join(f"{length:.4g}" for length in lengths)
