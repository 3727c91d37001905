"""An annotation project on disk: plain files per case, an index over them, and nothing that is ever lost. No torch."""

from tmca_core.project.activity import Event, active_seconds, event, read_events
from tmca_core.project.case import Draft, OpenCase, Unsaved
from tmca_core.project.export import export_csv, methods_text
from tmca_core.project.journal import Journal, Recovered, read_journal
from tmca_core.project.layouts import CasesExported, ExportStoppedError, Layout, export_cases
from tmca_core.project.lock import Holder
from tmca_core.project.project import CaseAdded, CaseSkipped, Project
from tmca_core.project.provenance import MaskProvenance, compare_masks, describe_segmentation
from tmca_core.project.record import CaseRecord, MaskFile, Status

__all__ = [
    "CaseAdded",
    "CaseRecord",
    "CaseSkipped",
    "CasesExported",
    "Draft",
    "Event",
    "ExportStoppedError",
    "Holder",
    "Journal",
    "Layout",
    "MaskFile",
    "MaskProvenance",
    "OpenCase",
    "Project",
    "Recovered",
    "Status",
    "Unsaved",
    "active_seconds",
    "compare_masks",
    "describe_segmentation",
    "event",
    "export_cases",
    "export_csv",
    "methods_text",
    "read_events",
    "read_journal",
]
