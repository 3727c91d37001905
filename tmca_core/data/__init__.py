"""Data folders on disk read as cases. Opening one needs no torch; ``loader`` and ``augment`` do."""

from tmca_core.data.case import Case, Dataset
from tmca_core.data.datasets import open_dataset, patients_in_two_splits, read_reference
from tmca_core.data.layouts import LAYOUTS, Layout

__all__ = ["LAYOUTS", "Case", "Dataset", "Layout", "open_dataset", "patients_in_two_splits", "read_reference"]
