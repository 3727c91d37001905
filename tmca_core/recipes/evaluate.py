"""Score a predictor on a data folder: every case of every split, then the split's scores, in all and per target."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from tmca_core.data import read_reference
from tmca_core.data.table import count, name_some
from tmca_core.errors import DatasetError, GeometryError, StudyReadError
from tmca_core.io import read_scan
from tmca_core.metrics import CaseScore, Scores, bootstrap_intervals, score_case, stated_half_of_picture
from tmca_core.recipes.evaluate_more import CaseMore, MeanMasks, More, measure_case, summarise_more
from tmca_core.recipes.reports import ReportMode, choose_reports
from tmca_core.report import parse_report

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.data import Case, Dataset
    from tmca_core.predictor import Predictor
    from tmca_core.study import Report, Scan, Segmentation

CaseError: TypeAlias = StudyReadError | GeometryError | DatasetError
"""What can be wrong with one case and not with all of them."""

NOTHING_MORE = More()


@dataclass(frozen=True)
class CaseDone:
    """One case was predicted and scored.

    Attributes
    ----------
    case : Case
        Which one.
    score : CaseScore
        Its score on the reference's own grid.
    confidence : float
        Dice that the network expected.
    agreement : float or None
        How well report and image went together.
    done, total : int
        Cases finished and cases asked for, over all splits.
    told : str or None
        The text that was given with the image; ``None`` for none.
    more : CaseMore or None
        What was asked for beside.

    """

    case: Case
    score: CaseScore
    confidence: float
    agreement: float | None
    done: int
    total: int
    told: str | None = None
    more: CaseMore | None = None

    def as_row(self) -> dict[str, Any]:
        """Return what a table of cases says of it."""
        on_side = self.score.is_on_stated_side
        return {
            "split": self.case.split,
            "id": self.case.id,
            "patient": self.case.patient,
            "target": self.case.target,
            "dice": round(self.score.dice, 6),
            "iou": round(self.score.iou, 6),
            "num_predicted": self.score.num_predicted,
            "num_reference": self.score.num_reference,
            "on_stated_side": "" if on_side is None else int(on_side),
            "confidence": round(self.confidence, 6),
            "agreement": "" if self.agreement is None else round(self.agreement, 6),
            "origin": self.case.origin,
            **(self.more.as_row() if self.more is not None else {}),
        }


@dataclass(frozen=True)
class CaseFailed:
    """One case could not be read or predicted; it adds nothing to the scores.

    Attributes
    ----------
    case : Case
        Which one.
    error : CaseError
        Why.
    done, total : int
        Cases finished and cases asked for, over all splits.

    """

    case: Case
    error: CaseError
    done: int
    total: int


@dataclass(frozen=True)
class SplitDone:
    """One split is finished.

    Attributes
    ----------
    split : str
        Which one.
    scores : Scores
        Over all its cases.
    targets : Mapping of str to Scores
        The same per target; empty where the data names no target.
    failed : tuple of CaseFailed
        Cases left out of the scores; never any unless they were allowed.
    intervals : Mapping of str to (low, high)
        95 % of the scores over all cases, by bootstrap over patients.
    origins : Mapping of str to Scores
        The same per origin of the texts; empty where the data names fewer than two.
    more : Mapping
        What was asked for beside, as `tmca_core.recipes.evaluate_more.summarise_more` gives it.
    leaks : tuple of str or None
        Scored cases that a training may have seen from another split; ``None`` where nobody asked.
    without_leaks : Scores or None
        Over the other cases; ``None`` where there is no leak, or nothing beside.

    """

    split: str
    scores: Scores
    targets: Mapping[str, Scores] = field(default_factory=dict)
    failed: tuple[CaseFailed, ...] = ()
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    origins: Mapping[str, Scores] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    leaks: tuple[str, ...] | None = None
    without_leaks: Scores | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the scores under the keys of ``tmca evaluate --json``; per target below "targets" where there are."""
        values: dict[str, Any] = asdict(self.scores)
        values["ci95"] = {name: list(interval) for name, interval in self.intervals.items()}
        if self.targets:
            values["targets"] = {target: asdict(scores) for target, scores in self.targets.items()}
        if self.origins:
            values["origins"] = {origin: asdict(scores) for origin, scores in self.origins.items()}
        values.update(self.more)
        if self.leaks is not None:
            values["leaks"] = list(self.leaks)
        if self.without_leaks is not None:
            values["without_leaks"] = asdict(self.without_leaks)
        if self.failed:
            values["left_out"] = [failed.case.id for failed in self.failed]
        return values


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    *,
    splits: Sequence[str] | None = None,
    reports: ReportMode | Mapping[str, str] = ReportMode.GIVEN,
    seed: int = 0,
    limit: int | None = None,
    leave_out_unreadable: bool = False,
    more: More = NOTHING_MORE,
    leaks: Collection[tuple[str, str]] | None = None,
) -> Iterator[CaseDone | CaseFailed | SplitDone]:
    """Predict and score every case; close the iterator to stop.

    Side accuracy asks whether the mask follows the report *that was given*, so it is undefined without reports.

    Parameters
    ----------
    predictor : Predictor
        Loaded weights.
    dataset : Dataset
        The cases.
    splits : sequence of str, optional
        Which splits; all present by default.
    reports : ReportMode or Mapping of str to str
        How the reports are chosen, or the texts themselves by case id.
    seed : int
        Seed of ``ReportMode.SHUFFLED``.
    limit : int, optional
        At most so many cases of each split, evenly spread over it, for a quick look.
    leave_out_unreadable : bool
        Whether a case that cannot be read is left out and named in ``SplitDone.failed``. By default the split ends in
        an error that names all of them.
    more : More
        What to measure beside Dice and IoU.
    leaks : collection of (split, id), optional
        From `tmca_core.data.leaks.leaked_cases`: the scores are given without these, too.

    Yields
    ------
    CaseDone or CaseFailed
        After every case.
    SplitDone
        After the last case of a split.

    Raises
    ------
    DatasetError
        If a split is not there; a case has no reference or no report; or cases cannot be read. All cases are named.

    """
    plan = {name: spread(dataset.split(name), limit) for name in splits or dataset.splits}
    _refuse_missing_references(dataset.folder, plan)
    texts = {name: choose_reports(cases, reports, seed=seed) for name, cases in plan.items()}
    floor = MeanMasks(dataset.split("train")) if more.floors and "train" in dataset.splits else None
    done, total = 0, sum(len(cases) for cases in plan.values())
    for name, cases in plan.items():
        scored: list[CaseDone] = []
        failed: list[CaseFailed] = []
        for case, outcome in _outcomes(predictor, cases, texts[name], more, floor):
            done += 1
            if isinstance(outcome, _Outcome):
                told, o = texts[name][case.id], outcome
                scored.append(CaseDone(case, o.score, o.confidence, o.agreement, done, total, told, o.more))
                yield scored[-1]
            else:
                failed.append(CaseFailed(case, outcome, done, total))
                yield failed[-1]
        if failed and not (leave_out_unreadable and scored):
            raise _unreadable(dataset.folder, failed)
        intervals = bootstrap_intervals([e.score for e in scored], [e.case.patient for e in scored])
        yield SplitDone(
            name,
            *_summarise(scored),
            tuple(failed),
            intervals,
            _per_origin(scored),
            _summarise_more(scored, more) if more else {},
            *_without_leaks(scored, leaks),
        )


@dataclass(frozen=True)
class _Outcome:
    score: CaseScore
    confidence: float
    agreement: float | None
    more: CaseMore | None


def spread(cases: Sequence[Case], limit: int | None) -> tuple[Case, ...]:
    """Return at most ``limit`` cases, evenly spread over the sequence."""
    if limit is None or limit >= len(cases):
        return tuple(cases)
    return tuple(cases[i * len(cases) // limit] for i in range(limit))


def _outcomes(
    predictor: Predictor,
    cases: Sequence[Case],
    texts: Mapping[str, str | None],
    more: More,
    floor: MeanMasks | None,
) -> Iterator[tuple[Case, _Outcome | CaseError]]:
    """Yield every case with its score, or with the reason why it has none; neighbours share one image's features."""
    image: Path | None = None
    scan: Scan | None = None
    for case in cases:
        try:
            if scan is None or case.image != image:
                scan = read_scan(case.image)
                predictor.set_scan(scan)
                image = case.image
            outcome: _Outcome | CaseError = _score(predictor, scan, case, texts[case.id], more, floor)
        except (StudyReadError, GeometryError, DatasetError) as error:
            outcome = error
        yield case, outcome


def _score(
    predictor: Predictor, scan: Scan, case: Case, text: str | None, more: More, floor: MeanMasks | None
) -> _Outcome:
    report = told_report(case, text)
    stated_half = None if report is None else stated_half_of_picture(report, case.side_convention)
    reference = read_reference(case)
    segmentation = predictor.predict(report)
    score = score_case(mask_on_grid(segmentation, reference.shape), reference, stated_half)
    measured = None
    if more:
        measured = measure_case(
            more,
            floor,
            case,
            segmentation,
            report,
            on_grid(segmentation.probability, reference.shape),
            on_grid(segmentation.image_only_probability, reference.shape) >= segmentation.threshold,
            reference,
            _spacing_on_grid(scan, reference.shape),
        )
    return _Outcome(score, segmentation.confidence, segmentation.agreement, measured)


def told_report(case: Case, text: str | None) -> Report | None:
    """Return what the network is told of a case: its instruction and a text; ``None`` for image-only mode."""
    return None if text is None else parse_report(f"{case.instruction} {text}".strip())


def _spacing_on_grid(scan: Scan, shape: tuple[int, ...]) -> tuple[float, ...] | None:
    """Return the spacing of another grid over the same picture."""
    if scan.spacing_mm is None:
        return None
    return tuple(step * a / b for step, a, b in zip(scan.spacing_mm, scan.shape, shape, strict=True))


def mask_on_grid(segmentation: Segmentation, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the mask on another grid that covers the same picture.

    The probability is brought to the grid (linearly, averaged where the grid is coarser) and then cut at the threshold.

    Parameters
    ----------
    segmentation : Segmentation
        On the scan's grid.
    shape : tuple of int
        (Y, X) or (Z, Y, X) of the reference.

    Raises
    ------
    GeometryError
        If one is a picture and the other a volume, or two volumes differ in shape.

    """
    if segmentation.logits.shape == shape:
        return segmentation.mask.astype(bool)
    return on_grid(segmentation.probability, shape) >= segmentation.threshold


def on_grid(probability: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a probability on another grid that covers the same picture; errors are those of `mask_on_grid`."""
    found = probability.shape
    if found == shape:
        return probability
    if len(found) != 2 or len(shape) != 2:
        raise GeometryError(
            f"Reference: expected shape {found} like the scan, got {shape}.",
            hint="Resample the reference to the scan's grid.",
        )
    height, width = shape
    return np.asarray(Image.fromarray(probability).resize((width, height), Image.Resampling.BILINEAR))


def _summarise(scored: Sequence[CaseDone]) -> tuple[Scores, dict[str, Scores]]:
    """Return the scores of all cases, and per target where any case names one."""
    names = sorted({event.case.target for event in scored})
    per_target = {name: Scores.of(e.score for e in scored if e.case.target == name) for name in names if any(names)}
    return Scores.of(event.score for event in scored), per_target


def _without_leaks(
    scored: Sequence[CaseDone], leaks: Collection[tuple[str, str]] | None
) -> tuple[tuple[str, ...] | None, Scores | None]:
    """Return the ids of the leaks among the cases, and the scores of the others."""
    if leaks is None:
        return None, None
    found = tuple(event.case.id for event in scored if (event.case.split, event.case.id) in leaks)
    others = [event.score for event in scored if (event.case.split, event.case.id) not in leaks]
    return found, Scores.of(others) if found and others else None


def _per_origin(scored: Sequence[CaseDone]) -> dict[str, Scores]:
    names = sorted({event.case.origin for event in scored})
    if len(names) < 2:
        return {}
    return {name: Scores.of(e.score for e in scored if e.case.origin == name) for name in names}


def _summarise_more(scored: Sequence[CaseDone], more: More) -> dict[str, Any]:
    measured = [event.more for event in scored if event.more is not None]
    confidence, dice = [event.confidence for event in scored], [event.score.dice for event in scored]
    return summarise_more(measured, confidence, dice, more.tolerance)


def _refuse_missing_references(folder: Path, plan: Mapping[str, Sequence[Case]]) -> None:
    absent = [case.id for cases in plan.values() for case in cases if case.mask is None]
    if absent:
        raise DatasetError(
            f"{folder}: expected a reference mask for every case, {len(absent):,} have none: {name_some(absent)}.",
            hint="Add the masks, or evaluate another split.",
        )


def _unreadable(folder: Path, failed: Sequence[CaseFailed]) -> DatasetError:
    """Return the error that names every case that failed, with the reason of the first."""
    ids = name_some(event.case.id for event in failed)
    return DatasetError(
        f"{folder}: expected every case to be readable, {count(len(failed), 'cases')} failed: {ids}. "
        f"The first: {failed[0].error.message}",
        hint="Repair these cases, or allow them to be left out and named.",
    )
