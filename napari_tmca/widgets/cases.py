"""The cases panel: the project's table, next and previous, finishing a case, second reading, recovery."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.settings import get_settings
from napari.utils.action_manager import action_manager
from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_tmca.notify import report_error
from napari_tmca.session import session_of
from napari_tmca.settings import read_settings
from napari_tmca.shortcuts import key_of, register_shortcuts
from napari_tmca.widgets.case_table import COLUMNS, IMAGE, THUMBNAIL, CaseTableModel
from napari_tmca.widgets.style import AMBER_STYLE
from tmca_core.errors import TmcaError
from tmca_core.project import Status
from tmca_core.project.project import THUMBNAIL_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer

    from tmca_core.project import Layout

LAYOUTS: dict[Layout, str] = {"nnunet": "Dataset of nnU-Net\u2026", "coco": "COCO, pictures only\u2026"}
_NAME_WIDTH = 300  # pixels, of a project's name on a button
HINT = "Drop images, folders or a CSV table (image, report, mask) here."


class CasesWidget(QWidget):
    """The dock widget of the cases; it shows `Session.cases` and holds no state of its own.

    Parameters
    ----------
    napari_viewer : Viewer
        Given by napari.

    """

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session_of(napari_viewer)
        self.work = self.session.cases
        self.setAcceptDrops(True)
        register_shortcuts()
        self.project = _label("")
        self.open = _button("Open project\u2026", "Open a project, or make one in an empty folder")
        self.go_on = _button("Continue", "Open the project of the last time")
        self.add = _button("Add\u2026", "Add images or CSV tables; folders can be dropped on this panel")
        self.add_folder = _button("Add folder\u2026", "Add all images of a folder and of those below it")
        self.recovery = _Offer()
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter: number, name, kind, annotator, comment")
        self.filter.setClearButtonEnabled(True)
        self.filter.setAccessibleName("Filter")
        self.status = QComboBox()
        self.status.setAccessibleName("Status")
        self.status.addItem("all", "")
        for status in Status:
            self.status.addItem(status.value, status.value)
        self.export = _button("Export\u2026", "Write the selected cases, or all of the list, for training programs")
        self.layouts = QMenu(self.export)
        for layout, title in LAYOUTS.items():
            self.layouts.addAction(title).triggered.connect(partial(self._on_export, layout))
        self.export.setMenu(self.layouts)
        self.segment_all = _button("Segment all new", "Segment all new cases of the list by their reports, one by one")
        self.model = CaseTableModel(self)
        self.table = _table(self.model)
        self.progress = QProgressBar()
        self.progress.setMaximumHeight(16)
        self.progress.hide()
        self.cancel_files = _button("Cancel", "Stop adding, what was added stays; or stop exporting, nothing is left")
        self.cancel_files.hide()
        self.batch = QProgressBar()
        self.batch.setMaximumHeight(16)
        self.batch.setAccessibleName("Cases segmented")
        self.cancel = _button("Cancel", "Stop after the case under way; what was segmented stays")
        self.who = QLineEdit(self.work.who)
        self.who.setToolTip("Your name or code, as it will stand in the records")
        self.who.setAccessibleName("Annotator")
        self.current = _label("")
        self.saved = _label("")
        self.previous = _button("\u25c2 Previous", "Save changes and open the case before (Alt+Up in this panel)")
        self.next = _button("Next \u25b8", "Save changes and open the next case (Alt+Down in this panel)")
        self.empty = _button("Empty mask", "Start with an empty mask, where there is none")
        self.save = _button("Save", "Save mask and report; the case stays open")
        self.finish = _button("Done \u25b8 next", "Save, mark as corrected, and open the next case")
        self.quality = QSpinBox()
        self.quality.setRange(0, 5)
        self.quality.setSpecialValueText("\u2013")
        self.quality.setToolTip("Quality of the mask, 1 (bad) to 5; may stay open")
        self.quality.setAccessibleName("Quality")
        self.comment = QLineEdit()
        self.comment.setPlaceholderText("Comment (needed to flag or return)")
        self.comment.setAccessibleName("Comment")
        self.flag = _button("Flag", "Save and set the case aside with the comment")
        self.outlines = _button("Outlines", "Compare: the network's mask in blue, the mask as it is in orange")
        self.outlines.setCheckable(True)
        self.approve = _button("Approve", "Second reader: the mask is right")
        self.give_back = _button("Return", "Second reader: back to the annotator, with the comment")
        self.dice = _label("")
        self.messages = _label("")
        self._lay_out()
        self._connect()
        self.refresh()

    def sizeHint(self) -> Any:
        """Return a width at which the table can be read."""
        return QSize(460, super().sizeHint().height())

    def refresh(self) -> None:
        """Show everything as it is."""
        self._show_batch()
        self._on_cases()
        self._on_case()
        self._on_messages()
        self._on_shortcut()

    # --- drag and drop -----------------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: Any) -> None:
        """Take files and folders, where a project is open."""
        if event.mimeData().hasUrls() and self.work.project is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Add what was dropped."""
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self._do(self.work.jobs.add, paths)

    def keyPressEvent(self, event: Any) -> None:
        """Alt+Up and Alt+Down go to the case before and the next."""
        steps = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}
        if event.modifiers() == Qt.KeyboardModifier.AltModifier and event.key() in steps:
            self._do(self.work.next_case, steps[event.key()])
        else:
            super().keyPressEvent(event)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Open the case of the row on Enter, and leave Alt with arrows to the panel."""
        if event.type() == QEvent.Type.KeyPress and watched is self.table:
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers():
                self._open_row(self.table.currentIndex())
                return True
            if event.modifiers() == Qt.KeyboardModifier.AltModifier:
                self.keyPressEvent(event)
                return True
        return bool(super().eventFilter(watched, event))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(_row((self.project, 1), self.open, self.add, self.add_folder))
        layout.addWidget(self.go_on)
        layout.addWidget(self.recovery)
        layout.addLayout(_row((self.filter, 1), self.status))
        layout.addWidget(self.table, stretch=1)
        layout.addLayout(_row((self.progress, 1), self.cancel_files))
        many = _row(self.segment_all, (self.batch, 1), self.cancel, self.export)
        many.insertStretch(2)  # in the place of the bar while it is hidden
        layout.addLayout(many)
        layout.addLayout(_row((self.current, 1), QLabel("Annotator"), self.who))
        layout.addLayout(_row(self.previous, self.next, self.empty, self.save, (self.finish, 1)))
        layout.addLayout(_row(QLabel("Quality"), self.quality, (self.comment, 1), self.flag))
        layout.addLayout(_row(QLabel("Second reader"), self.outlines, (self.dice, 1), self.approve, self.give_back))
        layout.addWidget(self.messages)
        layout.addWidget(self.saved)

    def _connect(self) -> None:
        work = self.work
        self.open.clicked.connect(self._on_open)
        self.go_on.clicked.connect(self._on_continue)
        self.add.clicked.connect(self._on_add)
        self.add_folder.clicked.connect(self._on_add_folder)
        self.filter.textChanged.connect(self._on_cases)
        self.status.activated.connect(self._on_cases)
        self.table.horizontalHeader().sortIndicatorChanged.connect(self._on_cases)
        self.segment_all.clicked.connect(self._on_segment_all)
        self.cancel.clicked.connect(self.work.jobs.cancel_segmenting)
        self.cancel_files.clicked.connect(self._on_cancel_files)
        self.table.activated.connect(self._open_row)
        self.table.installEventFilter(self)
        self.who.editingFinished.connect(self._on_who)
        self.previous.clicked.connect(self._on_previous)
        self.next.clicked.connect(self._on_next)
        self.empty.clicked.connect(self._on_empty)
        self.save.clicked.connect(self._on_save)
        self.finish.clicked.connect(self._on_finish)
        self.flag.clicked.connect(self._on_flag)
        self.outlines.toggled.connect(self._on_outlines)
        self.approve.clicked.connect(self._on_approve)
        self.give_back.clicked.connect(self._on_give_back)
        self.recovery.take.clicked.connect(self._on_recover)
        self.recovery.leave.clicked.connect(self._on_put_aside)
        links = (
            (work.project_changed, self._on_cases),
            (work.cases_changed, self._on_cases),
            (work.case_changed, self._on_case),
            (work.autosaved, self._on_autosaved),
            (work.jobs.adding, self._on_adding),
            (work.jobs.exporting, self._on_exporting),
            (work.jobs.segmenting, self._on_segmenting),
            (work.jobs.case_segmented, self.model.set_case),
            (self.session.messages_changed, self._on_messages),
            (self.session.result_changed, self._enable),
            (self.session.layers_changed, self._enable),
        )
        for signal, slot in links:
            signal.connect(slot)
        get_settings().shortcuts.events.shortcuts.connect(self._on_shortcut)
        action_manager.events.shortcut_changed.connect(self._on_shortcut)
        self.destroyed.connect(_disconnector(links, self._on_shortcut))

    def _do(self, act: Callable[..., object], *arguments: Any, **named: Any) -> bool:
        """Do what a button says; where it fails, the reason stands in the panel, and nothing has changed."""
        try:
            act(*arguments, **named)
        except (TmcaError, ValueError) as error:
            self.session._say(report_error(error))
            return False
        return True

    def _on_open(self) -> None:
        start = str(read_settings().project_folder or "")
        folder = QFileDialog.getExistingDirectory(self, "Open a project, or make one in an empty folder", start)
        if folder:
            self._do(self.work.open_project, folder)

    def _on_continue(self) -> None:
        self._do(self.work.continue_project)

    def _show_continue(self) -> None:
        """Offer the project of the last time where none is open."""
        last = self.work.last_project
        self.go_on.setVisible(self.work.project is None and last is not None)
        if last is not None:
            name = self.go_on.fontMetrics().elidedText(last.name, Qt.TextElideMode.ElideMiddle, _NAME_WIDTH)
            self.go_on.setText(f"Continue: {name.replace('&', '&&')}")
            self.go_on.setToolTip(f"Open the project of the last time, {last}".replace("<", "\u2039"))

    def _on_add(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Add images or tables")
        if paths:
            self._do(self.work.jobs.add, paths)

    def _on_add_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Add a folder")
        if folder:
            self._do(self.work.jobs.add, [Path(folder)])

    def _on_cases(self, *_: object) -> None:
        """Ask the index for what is to be shown, and keep the row of the open case chosen."""
        project, header = self.work.project, self.table.horizontalHeader()
        sort = COLUMNS[header.sortIndicatorSection()][1] or "id"
        descending = header.sortIndicatorOrder() == Qt.SortOrder.DescendingOrder
        records = (
            project.cases(
                status=self.status.currentData(), text=self.filter.text().strip(), sort=sort, descending=descending
            )
            if project is not None
            else []
        )
        self.model.set_cases(project, records)
        self.work.order = [record.id for record in records]
        if project is None:
            self.project.setText("No project is open.")
        else:
            counts = ", ".join(f"{count:,} {status.value}" for status, count in project.counts().items())
            self.project.setText(f"{project.name}: {counts or HINT}")
        self._choose_row()
        self._show_continue()
        self._show_offer()
        self._show_case()

    def _choose_row(self) -> None:
        case = self.work.case
        row = self.model.row_of(case.record.id) if case is not None else None
        if row is not None:
            self.table.selectRow(row)
            self.table.scrollTo(self.model.index(row, 0))

    def _open_row(self, index: Any) -> None:
        if index.isValid():
            self._do(self.work.open_case, self.model.records[index.row()].id)

    def _on_case(self) -> None:
        self.outlines.blockSignals(True)
        self.outlines.setChecked(False)
        self.outlines.blockSignals(False)
        record = self.work.case.record if self.work.case is not None else None
        self.quality.setValue(record.quality or 0 if record is not None else 0)
        self.comment.setText(record.comment if record is not None else "")
        self._choose_row()
        self._show_case()

    def _show_case(self) -> None:
        case = self.work.case
        if case is None:
            self.current.setText("No case is open.")
            self.dice.setText("")
        else:
            record = case.record
            only = ", read-only" if case.is_read_only else ""
            self.current.setText(f"Case {record.id}, {record.status.value}{only}")
            self.current.setStyleSheet(AMBER_STYLE if case.is_read_only else "")
            self.dice.setText("" if record.dice_ai is None else f"Dice to the network's: {record.dice_ai:.3f}")
        self._on_autosaved()
        self._enable()

    def _enable(self) -> None:
        work = self.work
        has_project, case = work.project is not None, work.case
        for button in (self.add, self.add_folder, self.export, self.previous, self.next):
            button.setEnabled(has_project)
        has_new = any(record.status == Status.NEW for record in self.model.records)
        self.segment_all.setEnabled(has_project and has_new and not work.jobs.is_segmenting_all)
        can_save = case is not None and not case.is_read_only
        for part in (self.save, self.flag, self.approve, self.give_back, self.quality, self.comment):
            part.setEnabled(can_save)
        self.finish.setEnabled(case is not None)
        self.empty.setEnabled(can_save and self.session.mask_layer is None)
        self.outlines.setEnabled(case is not None and case.record.ai is not None)

    def _on_who(self) -> None:
        self.work.who = self.who.text().strip()

    def _on_previous(self) -> None:
        self._do(self.work.next_case, -1)

    def _on_next(self) -> None:
        self._do(self.work.next_case)

    def _on_empty(self) -> None:
        self._do(self.work.add_empty_mask)

    def _told(self) -> dict[str, Any]:
        return {"quality": self.quality.value() or None, "comment": self.comment.text()}

    def _on_save(self) -> None:
        self._do(self.work.save, **self._told())

    def _on_finish(self) -> None:
        self._do(self.work.finish, **self._told())

    def _on_flag(self) -> None:
        self._do(self.work.flag, self.comment.text())

    def _on_outlines(self, on: bool) -> None:
        self._do(self.work.review.show_outlines, on)

    def _on_approve(self) -> None:
        self._do(self.work.review.approve, self.comment.text())

    def _on_give_back(self) -> None:
        self._do(self.work.review.give_back, self.comment.text())

    def _on_recover(self) -> None:
        if self.work.recovery.unsaved:
            self._do(self.work.recovery.recover, self.work.recovery.unsaved[0])

    def _on_put_aside(self) -> None:
        if self.work.recovery.unsaved:
            self._do(self.work.recovery.put_aside, self.work.recovery.unsaved[0])

    def _show_offer(self) -> None:
        unsaved = self.work.recovery.unsaved
        self.recovery.setVisible(bool(unsaved))
        if not unsaved:
            return
        first = unsaved[0]
        when = datetime.fromtimestamp(first.time).strftime("%d %b %Y, %H:%M:%S")
        what = [f"{first.num_voxels:,} pixels of its mask"] if first.num_voxels else []
        what += ["the report"] if first.has_other_report else []
        more = f" {len(unsaved) - 1} more follow." if len(unsaved) > 1 else ""
        self.recovery.text.setText(
            f"Unsaved work was found: case {first.case_id}, {when}. {' and '.join(what)} would change. "
            f"{first.note}{more}"
        )

    def _on_autosaved(self) -> None:
        at = self.work.autosaved_at
        if self.work.case is None:
            self.saved.setText("")
        elif at is None:
            self.saved.setText("All changes are saved." if not self.work.case.is_read_only else "")
        else:
            self.saved.setText(f"Changes are in the autosave since {datetime.fromtimestamp(at):%H:%M:%S}.")

    def _on_adding(self, done: int, total: int, name: str) -> None:
        self._show_progress("Adding", done, total, is_over=done >= total and not name)

    def _on_exporting(self, done: int, total: int) -> None:
        self._show_progress("Exporting", done, total, is_over=done >= total)

    def _on_cancel_files(self) -> None:
        self.work.jobs.cancel_adding()
        self.work.jobs.cancel_export()

    def _show_progress(self, what: str, done: int, total: int, *, is_over: bool) -> None:
        for part in (self.progress, self.cancel_files):
            part.setVisible(not is_over)
        self.progress.setRange(0, max(total, 1))  # a range of 0..0 is an animation
        self.progress.setValue(done)
        self.progress.setFormat(f"{what} {done:,} of {total:,}")

    def _on_export(self, layout: Layout, *_: object) -> None:
        rows = [index.row() for index in self.table.selectionModel().selectedRows()]
        chosen = [self.model.records[row].id for row in sorted(rows)] if len(rows) > 1 else None
        out = QFileDialog.getExistingDirectory(self, "Export into an empty folder")
        if out:
            self._do(self.work.jobs.export_as, layout, out, chosen)

    def _on_segment_all(self) -> None:
        self._do(self.work.jobs.segment_all)

    def _on_segmenting(self, done: int, total: int) -> None:
        self.batch.setRange(0, max(total, 1))
        self.batch.setValue(done)
        self.batch.setFormat(f"Segmenting {min(done + 1, total):,} of {total:,}")
        self._show_batch()
        self._enable()

    def _show_batch(self) -> None:
        for part in (self.batch, self.cancel):
            part.setVisible(self.work.jobs.is_segmenting_all)

    def _on_messages(self) -> None:
        self.messages.setText("\n".join(self.session.messages))
        self.messages.setVisible(bool(self.session.messages))

    def _on_shortcut(self, *_: object) -> None:
        """Put the key that napari's preferences hold on the button, where it works with the focus in any panel."""
        key = key_of("finish_case")
        self.finish.setShortcut(QKeySequence(key.replace("Enter", "Return")))
        self.finish.setToolTip(f"Save, mark as corrected, and open the next case ({key})")


class _Offer(QFrame):
    """What can be recovered, and the two answers to it; no window stands in the way."""

    def __init__(self) -> None:
        super().__init__()
        self.text = _label("")
        self.take = _button("Open it", "Open the case with the unsaved work; Ctrl+Z takes it back")
        self.leave = _button("Put aside", "Do not offer it again; the file stays in the case's folder")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.text)
        layout.addLayout(_row(self.take, self.leave))
        self.text.setStyleSheet(AMBER_STYLE)


def _table(model: CaseTableModel) -> QTableView:
    table = QTableView()
    table.setModel(model)
    table.setAccessibleName("Cases")
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    table.setIconSize(QSize(THUMBNAIL_PIXELS // 2, THUMBNAIL_PIXELS // 2))
    table.setShowGrid(False)
    table.setTabKeyNavigation(False)
    table.setWordWrap(False)
    table.setMinimumHeight(120)
    # Rows of one height: ten thousand need no measuring.
    rows = table.verticalHeader()
    rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    rows.setDefaultSectionSize(THUMBNAIL_PIXELS // 2 + 4)
    rows.hide()
    columns = table.horizontalHeader()
    columns.setSortIndicatorShown(True)
    columns.setSectionsClickable(True)
    columns.setSortIndicator(1, Qt.SortOrder.AscendingOrder)
    columns.setHighlightSections(False)
    for column, width in enumerate((THUMBNAIL_PIXELS // 2 + 8, 50, 76, 110, 40, 130, 60, 44, 44)):
        table.setColumnWidth(column, width)
    columns.setSectionResizeMode(THUMBNAIL, QHeaderView.ResizeMode.Fixed)
    columns.setSectionResizeMode(IMAGE, QHeaderView.ResizeMode.Interactive)
    return table


def _label(text: str) -> QLabel:
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    return label


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _row(*parts: QWidget | tuple[QWidget, int]) -> QHBoxLayout:
    row = QHBoxLayout()
    for part in parts:
        widget, stretch = part if isinstance(part, tuple) else (part, 0)
        row.addWidget(widget, stretch=stretch)
    return row


def _disconnector(links: Any, on_shortcut: Any) -> Callable[[], None]:
    """Return what lets go of a panel that was closed: closing a dock destroys it without a closeEvent."""

    def disconnect() -> None:
        for signal, slot in links:
            signal.disconnect(slot, missing_ok=True)
        for emitter in (get_settings().shortcuts.events.shortcuts, action_manager.events.shortcut_changed):
            emitter.disconnect(on_shortcut)

    return disconnect
