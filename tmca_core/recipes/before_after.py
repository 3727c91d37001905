"""Before and after on held-out cases, and one plain sentence that says whether a new model may be used."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmca_core.metrics import CaseScore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tmca_core.recipes.lessons import Lesson

# How much Dice the reference set may lose before the new model counts as worse on it.
REFERENCE_TOLERANCE = 0.005
NUM_RESAMPLES = 1000


@dataclass(frozen=True)
class CaseCompared:
    """One held-out case before and after; Dice are fractions, sides ``None`` where the report names no single side."""

    case: str
    patient: str
    dice_before: float
    dice_after: float
    side_before: bool | None
    side_after: bool | None


@dataclass(frozen=True)
class Comparison:
    """What a fine-tuning did, measured at the network's resolution.

    Attributes
    ----------
    cases : tuple of CaseCompared
        Held-out cases, the one that lost most first.
    dice_before, dice_after : float
        Means over the held-out cases; NaN-free, 0 where there is none.
    interval_before, interval_after, interval_gain : tuple of float
        95 %, by bootstrap over patients.
    reference_before, reference_after : float
        Mean Dice on what the base knew.
    is_better : bool
        Better on the held-out cases and not worse on the reference set: only then may it become the default.
    sentence : str
        The verdict in words.

    """

    cases: tuple[CaseCompared, ...]
    dice_before: float
    dice_after: float
    interval_before: tuple[float, float]
    interval_after: tuple[float, float]
    interval_gain: tuple[float, float]
    reference_before: float
    reference_after: float
    is_better: bool
    sentence: str

    def as_json(self) -> dict[str, Any]:
        """Return everything, for a file or a pipe."""
        return asdict(self)

    def figures(self) -> dict[str, Any]:
        """Return what a manifest says; names no case."""
        held_out = {
            "n": len(self.cases),
            "num_better": sum(case.dice_after > case.dice_before for case in self.cases),
            "dice_before": self.dice_before,
            "dice_after": self.dice_after,
            "gain_ci95": list(self.interval_gain),
        }
        reference = {"dice_before": self.reference_before, "dice_after": self.reference_after}
        return {"held_out": held_out, "reference": reference, "verdict": self.sentence, "is_better": self.is_better}


def score_per_case(lessons: Sequence[Lesson], scores: Sequence[CaseScore]) -> dict[str, CaseScore]:
    """Join the scores of the slices of one case."""
    joined: dict[str, CaseScore] = {}
    for lesson, score in zip(lessons, scores, strict=True):
        old = joined.get(lesson.case)
        if old is not None:
            score = CaseScore(
                old.num_both + score.num_both,
                old.num_predicted + score.num_predicted,
                old.num_reference + score.num_reference,
                old.is_on_stated_side if old.num_predicted >= score.num_predicted else score.is_on_stated_side,
            )
        joined[lesson.case] = score
    return joined


def mean_dice(scores: Sequence[CaseScore]) -> float:
    """Return the mean Dice; 0.0 of nothing."""
    return float(np.mean([score.dice for score in scores])) if scores else 0.0


def compare(
    held_out: Sequence[Lesson],
    before: Sequence[CaseScore],
    after: Sequence[CaseScore],
    reference_before: Sequence[CaseScore],
    reference_after: Sequence[CaseScore],
) -> Comparison:
    """Compare two models on the held-out lessons and on the reference set, lesson by lesson in one order."""
    patients = {lesson.case: lesson.patient for lesson in held_out}
    old, new = score_per_case(held_out, before), score_per_case(held_out, after)
    rows = [
        CaseCompared(
            name, patient, old[name].dice, new[name].dice, old[name].is_on_stated_side, new[name].is_on_stated_side
        )
        for name, patient in patients.items()
    ]
    rows.sort(key=lambda row: row.dice_after - row.dice_before)
    values = np.array([(row.dice_before, row.dice_after, row.dice_after - row.dice_before) for row in rows])
    intervals = _intervals(values.reshape(-1, 3), [row.patient for row in rows])
    known_before, known_after = mean_dice(reference_before), mean_dice(reference_after)
    is_better, sentence = _verdict(rows, intervals[2], known_before, known_after, has_reference=bool(reference_before))
    return Comparison(
        cases=tuple(rows),
        dice_before=mean_dice(list(old.values())),
        dice_after=mean_dice(list(new.values())),
        interval_before=intervals[0],
        interval_after=intervals[1],
        interval_gain=intervals[2],
        reference_before=known_before,
        reference_after=known_after,
        is_better=is_better,
        sentence=sentence,
    )


def _intervals(values: np.ndarray[Any, np.dtype[np.float64]], patients: Sequence[str]) -> list[tuple[float, float]]:
    """Return 95 % intervals of the column means of (n, 3), patients drawn with replacement; zeros of nothing."""
    if not len(values):
        return [(0.0, 0.0)] * 3
    names, group = np.unique(np.asarray(patients), return_inverse=True)
    sums = np.zeros((len(names), 4))
    np.add.at(sums, group, np.column_stack([values, np.ones(len(values))]))
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), NUM_RESAMPLES)
    totals = drawn @ sums
    low, high = np.percentile(totals[:, :3] / totals[:, 3:], [2.5, 97.5], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _verdict(
    rows: Sequence[CaseCompared],
    gain_interval: tuple[float, float],
    known_before: float,
    known_after: float,
    *,
    has_reference: bool,
) -> tuple[bool, str]:
    if not rows:
        return False, "No validation was possible (all cases are of one patient): nothing is claimed."
    num_better = sum(row.dice_after > row.dice_before for row in rows)
    gain = float(np.mean([row.dice_after - row.dice_before for row in rows]))
    low, high = (100 * value for value in gain_interval)
    measured = f"{100 * gain:+.1f} Dice (95 % {low:+.1f} to {high:+.1f})"
    forgot = known_before - known_after
    keeps = forgot <= REFERENCE_TOLERANCE
    reference = "not worse" if keeps else f"{100 * forgot:.1f} Dice worse"
    known = f"; {reference} on the reference set" if has_reference else ""
    if gain > 0 and keeps:
        return True, f"Better on {num_better} of {len(rows)} held-out cases; {measured}{known}."
    return False, (
        f"Not better: {measured} on {len(rows)} held-out cases, better on {num_better} of them{known}. "
        "The old model stays."
    )
