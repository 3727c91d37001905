"""Which cases a training would take: a folder's, or those of a project with what is new and what is held out."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_tmca.notify import report_error
from tmca_core.errors import TmcaError
from tmca_core.project import Project
from tmca_core.project.project import PROJECT_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_tmca.session import Session
    from tmca_core.data.corrected_project import CaseListed

HEADINGS = ("case", "image", "status", "new", "held out")
HELD_OUT_COLUMN = 4


def _disconnector(links: Any) -> Callable[[], None]:
    """Return what lets go of a panel that was closed: closing a dock destroys it without a closeEvent."""

    def disconnect() -> None:
        for signal, slot in links:
            signal.disconnect(slot, missing_ok=True)

    return disconnect


class LearningCases(QWidget):
    """A folder, and the cases in it; ``changed`` is emitted when other cases would be taken.

    Parameters
    ----------
    session : Session
        Whose open project is offered first.

    """

    changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("Project, or folder of corrected cases")
        self.browse = QPushButton("Browse\u2026")
        self.which = QLabel()
        self.which.setWordWrap(True)
        self.which.setTextFormat(Qt.TextFormat.PlainText)
        self.table = QTableWidget(0, len(HEADINGS))
        self.table.setHorizontalHeaderLabels(HEADINGS)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.verticalHeader().setVisible(False)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.clear_marks = QPushButton("Choose held-out cases by itself")
        self.clear_marks.setToolTip("Forget your marks; a fifth of the patients is held out, the same ones each time")
        self.num_cases = 0
        self._patients: list[tuple[str, str]] = []  # id and patient, row by row
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        row = QHBoxLayout()
        row.addWidget(self.folder)
        row.addWidget(self.browse)
        layout.addLayout(row)
        layout.addWidget(self.which)
        layout.addWidget(self.table, stretch=1)
        layout.addWidget(self.clear_marks)
        layout.addStretch(0)
        self.folder.textChanged.connect(self.refresh)
        self.browse.clicked.connect(self._browse)
        self.table.itemChanged.connect(self._on_mark)
        self.clear_marks.clicked.connect(self._on_clear)
        links = ((session.cases.project_changed, self._on_project), (session.cases.cases_changed, self._on_cases))
        for signal, slot in links:
            signal.connect(slot)
        self.destroyed.connect(_disconnector(links))
        self._on_project()

    @property
    def is_project(self) -> bool:
        """Whether the folder chosen is that of a project."""
        return bool(self.folder.text()) and (Path(self.folder.text()) / PROJECT_NAME).is_file()

    def arguments(self) -> list[str]:
        """Return what tells ``tmca finetune`` where the cases are."""
        return ["--project" if self.is_project else "--data", self.folder.text()]

    def refresh(self) -> None:
        """Show which cases there are; no image is opened."""
        self.num_cases = 0
        listed: list[CaseListed] = []
        try:
            if not self.folder.text():
                self.which.setText("Open a project, or choose a folder of corrected cases.")
            elif self.is_project:
                listed = self._list_project()
            else:
                self._list_folder()
        except TmcaError as error:
            self.which.setText(error.message)
        self._fill(listed)
        self.changed.emit()

    def _list_project(self) -> list[CaseListed]:
        from tmca_core.data.corrected import history_of
        from tmca_core.data.corrected_project import list_cases
        from tmca_core.data.table import count

        with self._project() as project:
            history = history_of(self.session.model)
            listed = list_cases(project, history)
            num_cases = len(project.cases())
        self.num_cases = len(listed)
        num_new = sum(case.is_new for case in listed)
        num_held_out = sum(case.is_held_out for case in listed)
        since = f", {num_new} of them new since {history.model}" if history.states else ""
        if not listed:
            self.which.setText(f"None of {count(num_cases, 'cases')} is corrected or approved yet.")
            return listed
        judged = f"{num_held_out} held out to judge by" if num_held_out else "none held out: nothing can be judged"
        self.which.setText(f"{count(len(listed), 'cases')} corrected or approved{since}; {judged}.")
        return listed

    def _list_folder(self) -> None:
        from tmca_core.data.corrected import FolderSource

        cases = FolderSource(Path(self.folder.text())).cases()
        num_patients = len({case.patient for case in cases})
        held_out = "a fifth of the patients is held out" if num_patients > 1 else "one patient: nothing can be held out"
        self.num_cases = len(cases)
        self.which.setText(f"{len(cases)} cases of {num_patients} patients; {held_out}.")

    def _fill(self, listed: list[CaseListed]) -> None:
        self.table.blockSignals(True)
        self.table.setRowCount(len(listed))
        self._patients = [(case.record.id, case.record.patient or case.record.id) for case in listed]
        for row, case in enumerate(listed):
            record = case.record
            told = (record.id, record.name, record.status.value, "new" if case.is_new else "", "")
            for column, text in enumerate(told):
                item = QTableWidgetItem(text)
                if column == HELD_OUT_COLUMN:
                    item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
                    item.setCheckState(Qt.CheckState.Checked if case.is_held_out else Qt.CheckState.Unchecked)
                    item.setText("" if case.mark is None else "your mark")
                    item.setToolTip("Held out: judges the new model, and is not learned from")
                self.table.setItem(row, column, item)
        self.table.blockSignals(False)
        self.table.setVisible(bool(listed))
        self.clear_marks.setVisible(any(case.mark is not None for case in listed))

    @contextmanager
    def _project(self) -> Iterator[Project]:
        """Give the project of the folder: the session's own, or one opened for the moment."""
        own, folder = self.session.cases.project, Path(self.folder.text()).absolute()
        if own is not None and own.folder == folder:
            yield own
            return
        with Project.open(folder) as project:
            yield project

    def _on_mark(self, item: QTableWidgetItem) -> None:
        if item.column() == HELD_OUT_COLUMN:
            patient = self._patients[item.row()][1]
            self._mark(
                [case_id for case_id, of in self._patients if of == patient],
                item.checkState() == Qt.CheckState.Checked,
            )

    def _on_clear(self) -> None:
        self._mark([case_id for case_id, _ in self._patients], None)

    def _mark(self, case_ids: list[str], mark: bool | None) -> None:
        try:
            with self._project() as project:
                project.hold_out(case_ids, mark)
        except TmcaError as error:
            report_error(error)
        self.refresh()

    def _on_project(self) -> None:
        project = self.session.cases.project
        if project is not None:
            self.folder.setText(str(project.folder))
        self.refresh()

    def _on_cases(self) -> None:
        if self.is_project:
            self.refresh()

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Project, or folder of corrected cases", self.folder.text())
        if folder:
            self.folder.setText(folder)
