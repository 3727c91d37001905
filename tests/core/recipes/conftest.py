"""A segmenter by rule: bright pixels, on the side that the report names. Its answers are known, it loads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tmca_core.metrics import stated_half_of_picture
from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.checkpoint import save_model
from tmca_core.study import Provenance, Segmentation, SideConvention

if TYPE_CHECKING:
    from collections.abc import Generator

    from tmca_core.study import Report, Scan

PROVENANCE = Provenance(
    model_name="rule",
    model_version="1.0",
    model_sha256="ab" * 32,
    device="cpu",
    versions={"napari-tmca": "0.1.0"},
    timings_s={"image": 0.0123456, "report": 0.001},
    network_shape=(32, 32),
)


class RuleSegmenter:
    """Answers like `tmca_core.predictor.Predictor`: bright pixels, in one half only where the report names one side."""

    def __init__(self) -> None:
        self.scans: list[Scan] = []
        self.reports: list[Report | None] = []

    def set_scan(self, scan: Scan) -> None:
        self.scans.append(scan)

    def predict(self, report: Report | None, threshold: float | None = None) -> Segmentation:
        steps = self.predict_steps(report, threshold)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                return stop.value

    def predict_steps(
        self, report: Report | None, threshold: float | None = None, *, slices: range | None = None
    ) -> Generator[str, None, Segmentation]:
        self.reports.append(report)
        yield "slice done"
        scan = self.scans[-1]
        pixels = scan.pixels.mean(axis=-1) if scan.is_rgb else scan.pixels
        logits = np.where(pixels > 100, 8.0, -8.0).astype(np.float32)
        half = stated_half_of_picture(report, SideConvention.PATIENT) if report else None
        middle = scan.shape[-1] // 2
        if half:
            logits[..., slice(middle, None) if half == "left" else slice(0, middle)] = -8.0
        maps = tuple(np.full((*scan.shape[:-2], size, size), 0.5, np.float32) for size in (8, 4, 2, 1))
        return Segmentation(logits, threshold or 0.5, maps, (), report, PROVENANCE, ("said by the rule",))


@pytest.fixture
def segmenter() -> RuleSegmenter:
    return RuleSegmenter()


@pytest.fixture
def provenance() -> Provenance:
    return PROVENANCE


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Folder of a real network of 0.1 million random weights that looks at 32 x 32 pixels."""
    torch.manual_seed(0)
    model, architecture = build_tmca_tiny()
    for enhancement in model.decoder.enhancements:
        torch.nn.init.normal_(enhancement.gamma)
    small = architecture.preprocess.model_copy(update={"image_size": 32})
    architecture = architecture.model_copy(update={"preprocess": small})
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(model, architecture, folder, name="tiny", version="1")
    return folder
