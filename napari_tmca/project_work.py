"""Work on the files of a project, off the GUI thread: adding images, exporting cases (see `napari_tmca.background`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmca_core.project import CaseAdded, ExportStoppedError, Project, export_cases

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from pathlib import Path

    from napari_tmca.background import Tell, Work
    from tmca_core.project import Layout

_NUM_NAMED = 3  # of what was left out


def add_images(folder: Path, paths: Sequence[Path]) -> Work:
    """Return the work of adding images, folders and CSV tables to the project in a folder."""

    def work(tell: Tell, cancel: threading.Event) -> list[str]:
        num_added, skipped = 0, []
        with Project.open(folder) as project:
            for step in project.add(paths):
                if isinstance(step, CaseAdded):
                    num_added += 1
                    tell(step.done, step.total, step.record.name)
                else:
                    skipped.append(f"{step.image.name}: {step.reason}")
                    tell(step.done, step.total, step.image.name)
                if cancel.is_set():
                    break
        return [f"Added {num_added:,} to the project.", *_left_out("Not added", skipped)]

    return work


def export_as(layout: Layout, folder: Path, case_ids: Sequence[str], out: Path) -> Work:
    """Return the work of exporting cases of the project in a folder for training programs."""

    def work(tell: Tell, cancel: threading.Event) -> list[str]:
        tell(0, len(case_ids), "")
        with Project.open(folder) as project:
            try:
                done = export_cases(
                    project, case_ids, out, layout, on_case=lambda n, total: tell(n, total, ""), is_over=cancel.is_set
                )
            except ExportStoppedError:
                return [f"The export was cancelled; nothing was left in {out.name}."]
        count = f"{done.num_cases:,} {'case' if done.num_cases == 1 else 'cases'}"
        return [f"Exported {count} to {out.name}.", *_left_out("Not exported", done.skipped)]

    return work


def _left_out(what: str, reasons: Sequence[str]) -> list[str]:
    told = [f"{what}: {reason}" for reason in reasons[:_NUM_NAMED]]
    if len(reasons) > _NUM_NAMED:
        told.append(f"{what}, too: {len(reasons) - _NUM_NAMED:,} more.")
    return told
