"""The cases of a project as a Qt model: nothing is read from disk but the thumbnails of the rows on the screen."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tmca_core.project import CaseRecord, Project

# Heading, key of `Project.cases` to sort by.
COLUMNS = (
    ("", ""),
    ("Case", "id"),
    ("Status", "status"),
    ("Image", "name"),
    ("Kind", "modality"),
    ("Size", "size"),
    ("Who", "annotator"),
    ("Time", "time"),
    ("Dice", "dice"),
)
THUMBNAIL, CASE, STATUS, IMAGE, KIND, SIZE, WHO, TIME, DICE = range(len(COLUMNS))
MAX_ICONS = 400
# Okabe-Ito; words say the same.
STATUS_COLORS = {"new": "", "segmented": "#56b4e9", "corrected": "#009e73", "approved": "#009e73", "flagged": "#e69f00"}


class CaseTableModel(QAbstractTableModel):
    """Shows records in the order in which they are given; sorting and filtering is the index's work."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.project: Project | None = None
        self.records: list[CaseRecord] = []
        self._rows: dict[str, int] = {}
        self._icons: OrderedDict[str, QIcon | None] = OrderedDict()

    def set_cases(self, project: Project | None, records: Sequence[CaseRecord]) -> None:
        """Show other records."""
        self.beginResetModel()
        if project is not self.project:
            self._icons.clear()
        self.project, self.records = project, list(records)
        self._rows = {record.id: row for row, record in enumerate(self.records)}
        self.endResetModel()

    def set_case(self, record: CaseRecord) -> None:
        """Show a case as it is now, in the row where it stands."""
        row = self.row_of(record.id)
        if row is not None:
            self.records[row] = record
            self.dataChanged.emit(self.index(row, 0), self.index(row, len(COLUMNS) - 1))

    def row_of(self, case_id: str) -> int | None:
        """Return where a case stands, ``None`` where it is not shown."""
        return self._rows.get(case_id)

    def rowCount(self, parent: Any = None) -> int:
        """Return the number of cases shown."""
        return 0 if parent is not None and parent.isValid() else len(self.records)

    def columnCount(self, parent: Any = None) -> int:
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a column's heading."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section][0]
        return None

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        record, column = self.records[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return cell_text(record, column)
        if role == Qt.ItemDataRole.DecorationRole and column == THUMBNAIL:
            return self._icon(record.id)
        if role == Qt.ItemDataRole.ToolTipRole:
            return tooltip(record)
        if role == Qt.ItemDataRole.ForegroundRole and column == STATUS and STATUS_COLORS[record.status]:
            return QColor(STATUS_COLORS[record.status])
        if role == Qt.ItemDataRole.TextAlignmentRole and column in (TIME, DICE):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def _icon(self, case_id: str) -> QIcon | None:
        """Return a thumbnail, read when its row is first painted; the last few hundred are kept."""
        if case_id in self._icons:
            self._icons.move_to_end(case_id)
            return self._icons[case_id]
        found = self._read(self.project.thumbnail(case_id)) if self.project is not None else None
        self._icons[case_id] = found
        while len(self._icons) > MAX_ICONS:
            self._icons.popitem(last=False)
        return found

    @staticmethod
    def _read(path: Path) -> QIcon | None:
        # An icon is scaled to the cell; of a pixmap the cell would show a corner.
        pixmap = QPixmap(str(path))
        return None if pixmap.isNull() else QIcon(pixmap)


def cell_text(record: CaseRecord, column: int) -> str | None:
    """Return the text of a cell; ``None`` for the thumbnail's."""
    size = "\u00d7".join(map(str, record.shape))
    return {
        CASE: record.id,
        STATUS: record.status.value,
        IMAGE: record.name,
        KIND: record.modality,
        SIZE: f"{size}, {spacing_text(record)}",
        WHO: record.annotator,
        TIME: time_text(record.active_s),
        DICE: "" if record.dice_ai is None else f"{record.dice_ai:.2f}",
    }.get(column)


def spacing_text(record: CaseRecord) -> str:
    """Return the spacing, or that it is unknown."""
    if record.spacing_mm is None:
        return "spacing unknown"
    return "\u00d7".join(f"{step:.3g}" for step in record.spacing_mm) + " mm"


def time_text(seconds: float) -> str:
    """Return minutes and seconds; "" for none."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}" if seconds else ""


def tooltip(record: CaseRecord) -> str:
    """Return the rest of what is known of a case, as plain text."""
    parts = [record.name, f"{cell_text(record, SIZE)}"]
    if record.quality is not None:
        parts.append(f"quality {record.quality} of 5")
    if record.reviewer:
        parts.append(f"second reader: {record.reviewer}")
    if record.comment:
        # Qt takes what looks like markup for markup; a broken bracket keeps it a text.
        parts.append(record.comment.replace("<", "\u2039"))
    return "\n".join(parts)
