"""Pictures of an evaluation: worst, median and best cases, risk against coverage, reliability.

matplotlib comes with the extra ``plots`` and is imported here alone, when a picture is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tmca_core.atomic import atomic_write
from tmca_core.data.datasets import read_reference
from tmca_core.errors import ConfigError
from tmca_core.io import read_scan
from tmca_core.overlay import draw_overlay
from tmca_core.recipes.evaluate import told_report
from tmca_core.recipes.evaluate_more import NUM_BINS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.predictor import Predictor
    from tmca_core.recipes.evaluate import CaseDone
    from tmca_core.study import Scan

_PER_GROUP = 3
_BLUE, _ORANGE, _GREY = "#0072b2", "#e69f00", "#999999"  # Okabe-Ito


def require_matplotlib() -> None:
    """Say before hours of work that the pictures cannot be drawn.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.

    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "Plots: expected matplotlib, it is not installed.", hint='Install it: pip install "napari-tmca[plots]".'
        ) from error


def pick_cases(scored: Sequence[CaseDone]) -> dict[str, list[CaseDone]]:
    """Return the three worst, middle and best cases by Dice; fewer where there are fewer, none of them twice."""
    ranked = sorted(scored, key=lambda event: (event.score.dice, event.case.id))
    n = min(_PER_GROUP, -(-len(ranked) // 3))
    worst, best = ranked[:n], ranked[max(len(ranked) - n, n) :]
    rest = ranked[n : len(ranked) - len(best)]
    first = max((len(rest) - n) // 2, 0)
    return {"worst": worst, "median": rest[first : first + n], "best": best}


def draw_cases(predictor: Predictor, scored: Sequence[CaseDone], path: Path) -> None:
    """Draw worst, median and best cases, the network's mask above the reference.

    Parameters
    ----------
    predictor : Predictor
        Predicts these cases once more, with what they were told.
    scored : sequence of CaseDone
        Of one split.
    path : Path
        A .png file.

    """
    picked = [(name, event) for name, events in pick_cases(scored).items() for event in events]
    figure = _figure(1.8 * len(picked) + 0.4, 4.3)
    axes = figure.subplots(2, len(picked), squeeze=False)
    for column, (name, event) in enumerate(picked):
        scan = read_scan(event.case.image)
        predictor.set_scan(scan)
        mask = predictor.predict(told_report(event.case, event.told)).mask
        reference = _like(read_reference(event.case), scan)
        for row, drawn in enumerate((mask, reference)):
            axes[row, column].imshow(draw_overlay(scan, drawn)[0])
            axes[row, column].set(xticks=[], yticks=[])
        axes[0, column].set_title(f"{name}\n{event.case.id[:18]}\nDice {event.score.dice:.3f}", fontsize=7)
    for row, label in enumerate(("mask", "reference")):
        axes[row, 0].set_ylabel(label, fontsize=8)
    _save(figure, path)


def draw_risk_coverage(curve: Mapping[str, float], path: Path) -> None:
    """Draw the mean Dice of the most confident share of the cases against that share."""
    figure = _figure(4, 3)
    axes = figure.subplots()
    shares = [float(share) for share in curve]
    axes.plot(shares, list(curve.values()), color=_BLUE, marker="o", markersize=3)
    axes.set(xlabel="share of the cases kept, most confident first", ylabel="Dice mean", xlim=(0, 1.02))
    axes.grid(color="#dddddd")
    _save(figure, path)


def draw_reliability(calibration: Mapping[str, Any], path: Path) -> None:
    """Draw the share of target pixels against the stated probability, and how many pixels there are."""
    figure = _figure(4, 4.2)
    above, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    counts, stated, found = (np.array(values, dtype=float) for values in zip(*calibration["bins"], strict=True))
    has = counts > 0
    above.plot([0, 1], [0, 1], color=_GREY, linestyle="--")
    above.plot(stated[has], found[has], color=_ORANGE, marker="o", markersize=4)
    above.set(ylabel="share of target pixels", title=f"ECE {calibration['ece']:.4f}")
    middles = (np.arange(NUM_BINS) + 0.5) / NUM_BINS
    below.bar(middles[has], counts[has], width=0.9 / NUM_BINS, color=_GREY)
    below.set(xlabel="stated probability", ylabel="pixels", yscale="log")
    _save(figure, path)


def _like(mask: NDArray[np.bool_], scan: Scan) -> NDArray[np.bool_]:
    """Return a reference on the scan's grid."""
    if mask.shape == scan.shape or mask.ndim != 2:
        return mask
    height, width = scan.shape
    picture = Image.fromarray(mask.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(picture) > 0


def _figure(width: float, height: float) -> Any:
    require_matplotlib()
    from matplotlib.figure import Figure  # without pyplot: no window system, no state

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)
