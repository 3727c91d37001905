"""Folder layouts that can be read, one file each: ``detects(folder)`` and ``read(folder)``.

A new layout is a new module here that ends in ``LAYOUT = Layout(...)``, and a line in ``LAYOUTS``.
"""

from tmca_core.data.layouts._common import Layout
from tmca_core.data.layouts.cases_csv import LAYOUT as CASES_CSV
from tmca_core.data.layouts.languidemedseg import LAYOUT as LANGUIDEMEDSEG
from tmca_core.data.layouts.lvit import LAYOUT as LVIT
from tmca_core.data.layouts.medclipseg import LAYOUT as MEDCLIPSEG
from tmca_core.data.layouts.qata import LAYOUT as QATA

LAYOUTS: tuple[Layout, ...] = (QATA, CASES_CSV, LVIT, MEDCLIPSEG, LANGUIDEMEDSEG)
"""Every known layout, in the order in which they are tried."""

__all__ = ["LAYOUTS", "Layout"]
