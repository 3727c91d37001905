"""Which case to correct next: the one that teaches most, the next in order, or any.

What a case may teach is guessed from how unsure the mask is and how far it moves when the report is taken away, each
as its rank among the cases, times how far the picture lies from everything learned from and chosen so far (k-center):
a twin of a chosen case teaches nothing, however unsure it is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.data.corrected import FolderSource
from tmca_core.data.corrected_project import finished_cases
from tmca_core.errors import TmcaError
from tmca_core.io import read_scan
from tmca_core.metrics import dice
from tmca_core.project import Project, Status
from tmca_core.report import parse_report
from tmca_core.study import AS_IT_IS, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.data.corrected_project import ProjectSource
    from tmca_core.predictor import Predictor
    from tmca_core.study import Scan


class Order(StrEnum):
    """Ways to choose the next case."""

    GAIN = "gain"
    IN_ORDER = "in-order"
    RANDOM = "random"


@dataclass(frozen=True, eq=False)
class CaseSeen:
    """What the network says of a case that nobody corrected yet.

    Attributes
    ----------
    id : str
        Which one.
    uncertainty : float
        1 - the Dice that the probabilities expect of the mask, 0..1.
    disagreement : float
        1 - Dice of the masks with and without the report, or 1 - agreement where the model is calibrated and that is
        more, 0..1; 0 without a report.
    features : NDArray[np.float32], shape (C,)
        The picture as the encoder sees it.

    """

    id: str
    uncertainty: float
    disagreement: float
    features: NDArray[np.float32]


@dataclass(frozen=True)
class CaseUnreadable:
    """A case that could not be looked at, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class CaseToSee:
    """A case by its name, and what opens it; ``is_finished`` where it is only looked at to know what it taught."""

    id: str
    image: Path
    text: str
    is_finished: bool = False
    reading: Reading = AS_IT_IS

    def opened(self) -> tuple[str, Scan | TmcaError, str]:
        """Return name, scan (or why there is none) and text."""
        try:
            return self.id, read_scan(self.image, **asdict(self.reading)), self.text
        except TmcaError as error:
            return self.id, error, self.text


def cases_to_see(source: FolderSource | ProjectSource, *, with_finished: bool = True) -> list[CaseToSee]:
    """Return the cases of a folder, or those of a project that nobody has finished and, if wanted, the others."""
    if isinstance(source, FolderSource):
        cases = source.cases()
        return [CaseToSee(case.id, case.image, f"{case.instruction} {case.text}".strip()) for case in cases]
    with Project.open(source.folder) as project:
        finished = {record.id for record in finished_cases(project)}
        records = [
            project.case(record.id)
            for record in project.cases()
            if record.id in finished or record.status in (Status.NEW, Status.SEGMENTED)
            if with_finished or record.id not in finished
        ]
        return [
            CaseToSee(record.id, record.image, project.report(record.id), record.id in finished, record.reading)
            for record in records
        ]


def see(predictor: Predictor, case_id: str, scan: Scan, text: str) -> CaseSeen:
    """Return what a network says of one case."""
    predictor.set_scan(scan)
    segmentation = predictor.predict(parse_report(text) if text.strip() else None)
    disagreement = 0.0
    if segmentation.image_only_logits is not None:
        alone = segmentation.image_only_probability >= segmentation.threshold
        disagreement = 1.0 - dice(segmentation.mask, alone)
    if segmentation.agreement is not None:
        disagreement = max(disagreement, 1.0 - segmentation.agreement)
    return CaseSeen(case_id, 1.0 - segmentation.confidence, disagreement, predictor.pooled_features())


def see_all(
    predictor: Predictor, cases: Iterable[tuple[str, Scan | TmcaError, str]]
) -> Iterator[CaseSeen | CaseUnreadable]:
    """Look at cases, given as id, scan (or why there is none) and text; close the iterator to stop."""
    for case_id, scan, text in cases:
        try:
            yield (
                CaseUnreadable(case_id, scan.message)
                if isinstance(scan, TmcaError)
                else see(predictor, case_id, scan, text)
            )
        except TmcaError as error:
            yield CaseUnreadable(case_id, error.message)


def choose(
    seen: Sequence[CaseSeen],
    count: int,
    *,
    order: Order = Order.GAIN,
    learned: Sequence[NDArray[np.float32]] = (),
    seed: int = 0,
) -> list[str]:
    """Return the ids of the next cases, the first one first.

    Parameters
    ----------
    seen : sequence of CaseSeen
        Cases not yet corrected.
    count : int
        How many at most.
    order : Order
        How they are chosen.
    learned : sequence of arrays, shape (C,)
        Features of the cases learned from so far.
    seed : int
        Of ``Order.RANDOM``.

    """
    if order is Order.IN_ORDER:
        return [case.id for case in seen[:count]]
    if order is Order.RANDOM:
        drawn = np.random.default_rng(seed).permutation(len(seen))[:count]
        return [seen[int(i)].id for i in drawn]
    if not seen:
        return []
    features = np.stack([case.features for case in seen])
    unsure = _ranks(np.array([case.uncertainty for case in seen]))
    disagrees = _ranks(np.array([case.disagreement for case in seen]))
    centre = features.mean(axis=0)
    distance = _nearest(features, np.stack(list(learned)) if learned else centre[None])
    chosen: list[int] = []
    for _ in range(min(count, len(seen))):
        gain = (0.5 + unsure + disagrees) * distance / max(float(distance.max()), 1e-12)
        gain[chosen] = -np.inf
        best = int(np.argmax(gain))
        chosen.append(best)
        distance = np.minimum(distance, _nearest(features, features[best][None]))
    return [seen[i].id for i in chosen]


def _nearest(features: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the distance of each row to the nearest of the others."""
    distances = np.linalg.norm(features[:, None].astype(np.float64) - others[None], axis=-1)
    nearest: NDArray[np.float64] = distances.min(axis=1)
    return nearest


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks as 0..1; equal values share theirs."""
    _, rank = np.unique(values, return_inverse=True)
    return rank / max(int(rank.max()), 1)
