"""A simulated clinician corrects each mask to the reference, while the network learns from it.

What comes out is the effort per case against the number of cases seen: strokes and painted pixels.
"""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.atomic import atomic_write
from tmca_core.data.corrected import CorrectedCase, FolderSource, GivenCases
from tmca_core.errors import DatasetError
from tmca_core.metrics import dice
from tmca_core.predictor import Predictor
from tmca_core.recipes.clinician import correct
from tmca_core.recipes.finetune import FinetuneConfig, FinetuneFinished, finetune
from tmca_core.recipes.next_case import CaseSeen, Order, choose, see
from tmca_core.report import parse_report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.data.corrected import CaseSource


@dataclass(frozen=True)
class CaseCorrected:
    """One case was segmented and corrected. Dice are 0..1, of the mask before and after the strokes."""

    number: int
    id: str
    model: str
    dice_before: float
    dice_after: float
    num_strokes: int
    num_pixels: int


@dataclass(frozen=True)
class Learned:
    """The network learned from all cases corrected so far."""

    model: str
    num_cases: int
    sentence: str


@dataclass(frozen=True)
class SimulationDone:
    """Mean strokes per case before anything was learned and after the last learning, and where table and plot are."""

    strokes_before: float
    strokes_after: float
    table: Path
    plot: Path


def simulate(
    data: Path,
    config: FinetuneConfig,
    *,
    num_cases: int = 40,
    every: int = 10,
    order: Order = Order.IN_ORDER,
    error_px: float = 1.0,
) -> Iterator[CaseCorrected | Learned | SimulationDone]:
    """Segment, correct, learn, again and again; close the iterator to stop.

    Parameters
    ----------
    data : Path
        Folder whose training split is worked through; its masks stand for what the clinician wants.
    config : FinetuneConfig
        ``out`` is the folder of the simulation, ``model`` where it begins; every learning starts there anew, on all
        cases corrected so far.
    num_cases, every : int
        How many cases, and after how many the network learns.
    order : Order
        How the next cases are chosen.
    error_px : float
        See `correct`.

    Raises
    ------
    DatasetError
        If the folder has no picture with a mask.

    """
    pool = [case for case in FolderSource(data).read() if isinstance(case, CorrectedCase) and case.mask.ndim == 2]
    if not pool:
        raise DatasetError(f"{data}: expected pictures with masks, got none.", hint="Choose another folder.")
    rng = np.random.default_rng(config.seed)
    predictor = Predictor.load(config.model, device=config.device)
    model, done, rows = predictor.info.name, list[CorrectedCase](), list[CaseCorrected]()
    learned: list[NDArray[np.float32]] = []
    while pool and len(done) < num_cases:
        count = min(every, num_cases - len(done))
        ids = _next(predictor, pool, count, order, learned, config.seed + len(done))
        chosen, pool = [case for case in pool if case.id in ids], [case for case in pool if case.id not in ids]
        for case in chosen:
            predictor.set_scan(case.scan)
            drawn = predictor.predict(parse_report(f"{case.instruction} {case.text}".strip())).mask.astype(bool)
            learned.append(predictor.pooled_features())
            made = correct(drawn, case.mask, rng, error_px=error_px)
            done.append(replace(case, mask=made.mask, painted=made.painted, is_approved=True))
            before, after = dice(drawn, case.mask), dice(made.mask, case.mask)
            row = CaseCorrected(len(done), case.id, model, before, after, made.num_strokes, made.num_pixels)
            rows.append(row)
            yield row
        if pool and len(done) < num_cases:
            model = f"after-{len(done)}"
            result = _learn(config.model_copy(update={"out": config.out / model}), GivenCases(tuple(done)))
            predictor = Predictor.load(result.folder, device=config.device)
            yield Learned(model, len(done), result.comparison.sentence)
    yield _summarise(config.out, rows)


def _next(
    predictor: Predictor,
    pool: Sequence[CorrectedCase],
    count: int,
    order: Order,
    learned: Sequence[NDArray[np.float32]],
    seed: int,
) -> list[str]:
    if order is not Order.GAIN:
        blank = np.zeros(1, np.float32)
        return choose([CaseSeen(case.id, 0.0, 0.0, blank) for case in pool], count, order=order, seed=seed)
    seen = [see(predictor, case.id, case.scan, f"{case.instruction} {case.text}".strip()) for case in pool]
    return choose(seen, count, learned=learned)


def _learn(config: FinetuneConfig, source: CaseSource) -> FinetuneFinished:
    *_, last = finetune(config, source)
    assert isinstance(last, FinetuneFinished)
    return last


def _summarise(out: Path, rows: Sequence[CaseCorrected]) -> SimulationDone:
    out.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(rows[0])))
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    table, plot = out / "effort.csv", out / "effort.svg"
    for path, content in ((table, text.getvalue()), (plot, draw_effort(rows))):
        with atomic_write(path) as file:
            file.write(content.encode())
    first = [row.num_strokes for row in rows if row.model == rows[0].model]
    last = [row.num_strokes for row in rows if row.model == rows[-1].model]
    return SimulationDone(float(np.mean(first)), float(np.mean(last)), table, plot)


def draw_effort(rows: Sequence[CaseCorrected]) -> str:
    """Return an SVG of strokes per case: a dot per case, and the mean of each model's cases as a line."""
    width, height, left, bottom = 640, 320, 50, 40
    top = max(10, *(row.num_strokes for row in rows))

    def x(number: float) -> float:
        return left + (width - left - 20) * number / len(rows)

    def y(strokes: float) -> float:
        return height - bottom - (height - bottom - 20) * strokes / top

    dots = [
        f'<circle cx="{x(row.number):.1f}" cy="{y(row.num_strokes):.1f}" r="3" fill="#4fb3d9" opacity="0.6"/>'
        for row in rows
    ]
    steps = []
    for model in dict.fromkeys(row.model for row in rows):
        own = [row for row in rows if row.model == model]
        mean = y(float(np.mean([row.num_strokes for row in own])))
        ends = f'x1="{x(own[0].number - 1):.1f}" x2="{x(own[-1].number):.1f}"'
        steps.append(f'<line {ends} y1="{mean:.1f}" y2="{mean:.1f}" stroke="#d9822b" stroke-width="3"/>')
    axis = f'stroke="#555" x1="{left}" y1="{height - bottom}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<line {axis} x2="{width - 20}" y2="{height - bottom}"/><line {axis} x2="{left}" y2="20"/>',
        *dots,
        *steps,
        f'<text x="{width / 2}" y="{height - 8}" font-size="13" text-anchor="middle">',
        f"cases seen (1 to {len(rows)})</text>",
        f'<text x="14" y="{height / 2}" font-size="13" transform="rotate(-90 14 {height / 2})" text-anchor="middle">'
        "strokes per case</text>",
        f'<text x="{left - 6}" y="24" font-size="12" text-anchor="end">{top}</text>',
        f'<text x="{left - 6}" y="{height - bottom}" font-size="12" text-anchor="end">0</text></svg>',
    ]
    return "\n".join(parts) + "\n"
