"""Step through many cases in a real viewer, as an annotator does all day, and see whether anything piles up.

Usage: xvfb-run -a -s "-screen 0 1920x1080x24 +extension GLX" python benchmarks/soak.py [--cases N] [--hidden]

Each case is opened, segmented by its report (a network of 0.1 million random weights), painted on, saved and left.
Printed: growth of the memory (resident set) after a tenth of the cases, by which caches are full, and how many
layers, threads, widgets and open files there are at the end against then. --hidden draws nothing, which is quicker.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import napari
import numpy as np
from PIL import Image as Picture
from qtpy.QtWidgets import QApplication

from napari_tmca import open_workbench
from napari_tmca.commands import show_cases
from tmca_core.phantom import make_phantom
from tmca_core.project import Project

BAR_MB = 50.0
SHAPE = (64, 56)


@dataclass(frozen=True)
class Count:
    """What there is of everything that may pile up."""

    memory_mb: float
    layers: int
    threads: int
    widgets: int
    files: int


def make_project(folder: Path, num_cases: int) -> Path:
    """Write small phantoms with their reports, and a project of them; return its folder."""
    images = folder / "images"
    images.mkdir()
    for seed in range(num_cases):
        made = make_phantom(seed, shape=SHAPE)
        Picture.fromarray(np.asarray(made.scan.pixels)).save(images / f"{seed:04d}.png")
        (images / f"{seed:04d}.txt").write_text(made.report_text)
    with Project.create(folder / "study") as project:
        for _ in project.add([images]):
            pass
    return folder / "study"


def make_network(folder: Path) -> Path:
    """Save a network of random weights, and return its folder."""
    from tmca_core.model.build import build_tmca_tiny
    from tmca_core.model.checkpoint import save_model

    model, architecture = build_tmca_tiny()
    save_model(model, architecture, folder / "tiny", name="tiny", version="1")
    return folder / "tiny"


def step_through(viewer: napari.Viewer, project: Path, model: Path) -> tuple[Count, Count]:
    """Work on every case once; return what there was after a tenth of them, and at the end."""
    session = open_workbench(viewer)
    show_cases(viewer)
    session.model, session.device = str(model), "cpu"
    session.open_project(project)
    num_cases, early = len(session.cases.order), None
    for done in range(1, num_cases + 1):
        if session.next_case() is None:
            raise RuntimeError(f"there is no case {done} of {num_cases}")
        session.segment().result(timeout=120)
        rows, columns = np.nonzero(np.ones((4, 4)))
        session.mask_layer.data_setitem((rows + done % 40, columns), 1)
        session.undo()
        session.redo()
        session.save()
        if done == max(num_cases // 10, 3):
            early = count(viewer)
    late = count(viewer)
    session.close()
    return early, late


def count(viewer: napari.Viewer) -> Count:
    """Count, after everything that waits to be deleted is."""
    QApplication.processEvents()
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Count(
        memory_mb=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        layers=len(viewer.layers),
        threads=threading.active_count(),
        widgets=len(QApplication.allWidgets()),
        files=len(os.listdir("/proc/self/fd")),
    )


def main() -> None:
    """Print the figures; leave with 1 where something piled up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--hidden", action="store_true", help="draw nothing")
    options = parser.parse_args()
    viewer = napari.Viewer(show=not options.hidden)
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), options.cases)
        early, late = step_through(viewer, project, make_network(Path(folder)))
        viewer.close()
    growth = late.memory_mb - early.memory_mb
    sys.stdout.write(f"{options.cases} cases: memory {early.memory_mb:.0f} -> {late.memory_mb:.0f} MB, ")
    sys.stdout.write(f"growth {growth:.1f} MB (bar {BAR_MB:.0f})\n")
    for name in ("layers", "threads", "widgets", "files"):
        sys.stdout.write(f"{name}: {getattr(early, name)} -> {getattr(late, name)}\n")
    sys.exit(int(growth > BAR_MB or late.threads > early.threads or late.layers > early.layers))


if __name__ == "__main__":
    main()
