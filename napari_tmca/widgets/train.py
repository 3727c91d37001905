"""The Train panel: learn from corrected cases, watch it, compare before and after, and choose which model is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_tmca.notify import report_error
from napari_tmca.session import session_of
from napari_tmca.training import EXAMPLES, RUN, TrainingProcess
from napari_tmca.widgets.examples import ExamplesWidget
from napari_tmca.widgets.learning_cases import LearningCases
from tmca_core.errors import TmcaError
from tmca_core.terminal import format_duration

if TYPE_CHECKING:
    from napari import Viewer

POLL_MS, CANCEL_MS = 200, 1500
FIRST_STEPS = 3  # after which the time that all of it takes can be told
CASES, TRAINING, RESULT = range(3)  # pages
LOSS, HELD_OUT, REFERENCE = "#e8a33d", "#4fb3d9", "#9a9a9a"


class TrainWidget(QWidget):
    """The dock widget; closing it, or the whole window, leaves a training under way alone.

    Parameters
    ----------
    napari_viewer : Viewer
        Given by napari.

    """

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session_of(napari_viewer)
        self.training: TrainingProcess | None = None
        self.result: dict[str, Any] | None = None
        self.cases = LearningCases(self.session)
        self.folder, self.which = self.cases.folder, self.cases.which
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(0.1, 600.0)
        self.minutes.setValue(8.0)
        self.minutes.setSuffix(" min")
        self.minutes.setDecimals(1)
        self.minutes.setMinimumWidth(110)
        self.mode = QComboBox()
        self.mode.addItems(["adapter (small, quick)", "all weights (wants a GPU)"])
        self.start, self.pause = QPushButton("Start"), QPushButton("Pause")
        self.stop, self.cancel = QPushButton("Stop, keep best"), QPushButton("Cancel")
        self.pause.setCheckable(True)
        self.status, self.notes = _label(""), _label("")
        self.plots = _Plots()
        self.verdict = _label("")
        self.table = QTableWidget(0, 6)
        self.table.setHorizontalHeaderLabels(["held-out case", "before", "after", "gain", "side before", "side after"])
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.verticalHeader().setVisible(False)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.setMinimumHeight(90)
        self.examples = ExamplesWidget()
        self.pages = QTabWidget()
        self.use, self.keep = QPushButton("Use new model"), QPushButton("Keep old")
        self.roll_back = QPushButton("Roll back")
        self.roll_back.setToolTip("Return to the model that was in use before")
        self.in_use = _label("")
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        self._cancel_timer = QTimer(self)  # a child, so that it ends with the panel
        self._cancel_timer.setSingleShot(True)
        self._cancel_timer.setInterval(CANCEL_MS)
        self._cancel_timer.timeout.connect(self._make_sure)
        self._lay_out()
        self._connect()
        self._attach()
        self.refresh()

    def sizeHint(self) -> Any:
        """Return a width at which the curves can be read beside a picture."""
        return QSize(420, super().sizeHint().height())

    def refresh(self) -> None:
        """Show which cases there are, what may be pressed, and which model is in use."""
        from tmca_core.model.store import model_in_use

        is_running = self.training is not None
        self.start.setEnabled(not is_running and self.cases.num_cases > 0)
        for button in (self.pause, self.stop, self.cancel):
            button.setEnabled(is_running)
        for widget in (self.cases, self.minutes, self.mode):
            widget.setEnabled(not is_running)
        for button in (self.use, self.keep):
            button.setVisible(self.result is not None)
        self.in_use.setText(f"In use: {model_in_use()}. This window: {self.session.model}.")

    def begin(self) -> None:
        """Start learning from the cases shown; a result that nobody has chosen about is put away."""
        from tmca_core.model.checkpoint import find_model, models_folder, read_manifest
        from tmca_core.model.store import next_name

        try:
            info = read_manifest(find_model(self.session.model))
            out = models_folder() / next_name(info.name)
            arguments = [*self.cases.arguments(), "--model", str(info.folder), "--device", self.session.device]
            arguments += ["--minutes", f"{self.minutes.value():g}", "--set", "examples=true"]
            arguments += ["--full" if self.mode.currentIndex() else "--adapters"]
            self.training = TrainingProcess.start(out, arguments)
        except TmcaError as error:
            self.status.setText(report_error(error))
            return
        self._put_away()
        for label in (self.verdict, self.notes):
            label.setText("")
        self.table.setRowCount(0)
        self.plots.clear()
        self.pages.setCurrentIndex(TRAINING)
        self.status.setText("Starting: the cases are read\u2026")
        self._timer.start()
        self.refresh()

    def use_new(self) -> None:
        """Put the new model in use, in this window at once."""
        from tmca_core.model.store import use_model

        if self.result is None:
            return
        try:
            use_model(self.result["folder"])
        except TmcaError as error:
            self.status.setText(report_error(error))
            return
        self._chosen()

    def keep_old(self) -> None:
        """Leave everything as it was; the new version stays installed."""
        self._put_away()
        self.cases.refresh()

    def go_back(self) -> None:
        """Return to the model that was in use before."""
        from tmca_core.model.store import roll_back

        try:
            roll_back()
        except TmcaError as error:
            self.status.setText(str(error))
            return
        self._chosen()

    def _chosen(self) -> None:
        from tmca_core.model.store import model_in_use

        self.session.choose_model(model_in_use())
        self._put_away()
        self.cases.refresh()

    def _put_away(self) -> None:
        """Remove the pictures of held-out cases: a choice was made."""
        if self.result is not None:
            TrainingProcess(Path(self.result["folder"])).settle()
        self.result = None
        self.examples.clear()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        cost = QHBoxLayout()
        for widget in (QLabel("Time"), self.minutes, QLabel("Train"), self.mode):
            cost.addWidget(widget)
        cost.addStretch(1)
        layout.addLayout(cost)
        buttons = QHBoxLayout()
        for button in (self.start, self.pause, self.stop, self.cancel):
            buttons.addWidget(button)
        layout.addLayout(buttons)
        layout.addWidget(self.status)
        layout.addWidget(self.verdict)
        for title, parts in (
            ("Cases", (self.cases,)),
            ("Training", (self.notes, self.plots)),
            ("Before and after", (self.table, self.examples)),
        ):
            page = QWidget()
            column = QVBoxLayout(page)
            column.setContentsMargins(2, 4, 2, 2)
            for part in parts:
                column.addWidget(part, stretch=0 if part is self.notes else 1)
            self.pages.addTab(page, title)
        layout.addWidget(self.pages, stretch=1)
        choice = QHBoxLayout()
        for button in (self.use, self.keep, self.roll_back):
            choice.addWidget(button)
        layout.addLayout(choice)
        layout.addWidget(self.in_use)

    def _connect(self) -> None:
        self.cases.changed.connect(self.refresh)
        self.table.itemSelectionChanged.connect(self._on_row)
        self.start.clicked.connect(self.begin)
        self.pause.toggled.connect(self._on_pause)
        self.stop.clicked.connect(self._on_stop)
        self.cancel.clicked.connect(self._on_cancel)
        self.use.clicked.connect(self.use_new)
        self.keep.clicked.connect(self.keep_old)
        self.roll_back.clicked.connect(self.go_back)

    def _attach(self) -> None:
        from tmca_core.model.checkpoint import models_folder

        self.training = TrainingProcess.find(models_folder())
        if self.training is not None:
            self.status.setText("A training that was started before is under way.")
            self.pages.setCurrentIndex(TRAINING)
            if self.training.is_told_to_pause:
                self.pause.setChecked(True)
                self._on_pause(True)
            self._timer.start()
        elif (done := TrainingProcess.find_finished(models_folder())) is not None:
            for event in done.events():
                self._show(event)

    def _on_row(self) -> None:
        self.examples.show_number(self.table.currentRow())

    def _on_pause(self, is_paused: bool) -> None:
        self.pause.setText("Go on" if is_paused else "Pause")
        if self.training is not None:
            self.training.tell("pause" if is_paused else "go on")
            if is_paused:
                self.status.setText("Paused.")

    def _on_stop(self) -> None:
        if self.training is not None:
            self.training.tell("stop")
            self.status.setText("Stopping: the best so far is judged\u2026")
            self.stop.setEnabled(False)

    def _on_cancel(self) -> None:
        if self.training is not None:
            self.training.tell("cancel")
            self.status.setText("Cancelling\u2026")
            self.cancel.setEnabled(False)
            self._cancel_timer.start()

    def _make_sure(self) -> None:
        """Kill a training that did not obey in time, amid a long step."""
        if self.training is not None and not self.cancel.isEnabled():
            self.training.kill()
            self._end("Cancelled; nothing was changed.")

    def _poll(self) -> None:
        training = self.training
        if training is None:
            return
        is_running = training.is_running  # asked first: what a process says at its end is read below
        for event in training.events():
            self._show(event)
        if self.training is training and not is_running:
            is_cancelled = not self.cancel.isEnabled()
            self._end("Cancelled; nothing was changed." if is_cancelled else training.complaint())

    def _show(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "CasesTaken":
            self.plots.start(event["dice_before"], event["reference_before"], has_held_out=event["num_held_out"] > 0)
            resumed = f" Continued at step {event['resumed_at_step']}." if event["resumed_at_step"] else ""
            counts = f"{event['num_train']} cases to learn from, {event['num_held_out']} held out.{resumed}"
            self.notes.setText("\n".join([counts, *event["notes"]]))
        elif kind == "StepDone":
            self.plots.add_loss(event["step"], event["loss"])
            if not self.pause.isChecked() and self.stop.isEnabled():
                self.status.setText(_time_told(event["step"], event["num_steps"], event["eta_s"]))
        elif kind == "EpochChecked":
            self.plots.add_dice(event["dice"], event["reference_dice"])
        elif kind == "Paused":
            self.status.setText(f"Paused: {event['reason']}")
        elif kind == "FinetuneFinished":
            self.result = event
            self._show_comparison(event["comparison"])
            self._show_examples(Path(event["folder"]), event["comparison"]["cases"])
            self.pages.setCurrentIndex(RESULT)
            self._end(f"Done: {Path(event['folder']).name}, {event['num_bytes'] / 1e6:.1f} MB.")

    def _show_comparison(self, comparison: dict[str, Any]) -> None:
        self.verdict.setText(comparison["sentence"])
        side = {None: "", True: "right", False: "WRONG"}
        rows: list[tuple[str, ...]] = [
            (row["case"], *_dice_told(row), side[row["side_before"]], side[row["side_after"]])
            for row in comparison["cases"]
        ]
        sided = [row for row in comparison["cases"] if row["side_before"] is not None]
        accuracies = [f"{sum(row[key] for row in sided)}/{len(sided)}" for key in ("side_before", "side_after")]
        rows.append(("mean (95 %)", *_dice_told(comparison, has_intervals=bool(rows)), *accuracies))
        known = {f"dice_{when}": comparison[f"reference_{when}"] for when in ("before", "after")}
        rows.append(("reference set", *_dice_told(known), "", ""))
        self.table.setRowCount(len(rows))
        for i, cells in enumerate(rows):
            for j, cell in enumerate(cells):
                item = QTableWidgetItem(cell)
                if j:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(i, j, item)

    def _show_examples(self, folder: Path, cases: list[dict[str, Any]]) -> None:
        paths = sorted((folder / RUN / EXAMPLES).glob("*.png"))
        captions = [
            f"{row['case']} ({number} of {len(cases)}): {before} \u2192 {after}, {gain}"
            for number, row in enumerate(cases, 1)
            for before, after, gain in [_dice_told(row)]
        ]
        self.examples.set_pictures(paths, captions)

    def _end(self, said: str) -> None:
        self._timer.stop()
        self.training = None
        self.pause.setChecked(False)
        self.status.setText(said)
        self.refresh()


class _Plots(QWidget):
    """Loss by step, and Dice by epoch with the level of before as a dashed line."""

    def __init__(self) -> None:
        super().__init__()
        import pyqtgraph  # here, so that the plugin's other parts need not wait for it

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._pen = pyqtgraph.mkPen
        self._loss_plot, self._dice_plot = pyqtgraph.PlotWidget(), pyqtgraph.PlotWidget()
        for plot, label in ((self._loss_plot, "loss"), (self._dice_plot, "Dice (%)")):
            plot.setBackground(None)
            plot.setLabel("left", label)
            plot.setMinimumHeight(118)
            plot.setMenuEnabled(False)
            plot.hideButtons()
            layout.addWidget(plot)
        self._dice_plot.setLabel("bottom", "epoch")
        self._loss_plot.setLabel("bottom", "step")
        self._dice_plot.addLegend(offset=(-5, 5), labelTextSize="8pt")
        self._before: list[Any] = []
        self._curves = {
            "loss": self._loss_plot.plot(pen=self._pen(LOSS, width=2)),
            "dice": self._dice_plot.plot(pen=self._pen(HELD_OUT, width=2), name="held out"),
            "reference": self._dice_plot.plot(pen=self._pen(REFERENCE, width=2), name="reference"),
        }
        self.clear()

    def clear(self) -> None:
        """Forget what was shown."""
        for line in self._before:
            self._dice_plot.removeItem(line)
        self._before = []
        self.points: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in self._curves}
        for curve in self._curves.values():
            curve.setData([], [])

    def start(self, dice: float, reference: float, *, has_held_out: bool) -> None:
        """Show the level of before; points of an interrupted part are kept."""
        for value, colour in ((dice, HELD_OUT), (reference, REFERENCE)):
            if has_held_out or colour == REFERENCE:
                pen = self._pen(colour, style=Qt.PenStyle.DashLine)
                self._before.append(self._dice_plot.addLine(y=100 * value, pen=pen))

    def add_loss(self, step: int, loss: float) -> None:
        """Add a point to the loss."""
        self._add("loss", step, loss)

    def add_dice(self, dice: float, reference: float) -> None:
        """Add a point to both Dice curves."""
        epoch = len(self.points["dice"][0]) + 1
        self._add("dice", epoch, 100 * dice)
        self._add("reference", epoch, 100 * reference)

    def _add(self, name: str, x: float, y: float) -> None:
        xs, ys = self.points[name]
        xs.append(x)
        ys.append(y)
        self._curves[name].setData(xs, ys, symbol=None if name == "loss" else "o", symbolSize=5)


def _time_told(step: int, num_steps: int, eta_s: float) -> str:
    """Return how far it is, and what it takes: known from the first steps on."""
    if step < FIRST_STEPS:
        return f"Step {step}: the time is measured\u2026"
    return f"Step {step} of at most {num_steps}; about {format_duration(eta_s)} left."


def _dice_told(row: dict[str, Any], *, has_intervals: bool = False) -> tuple[str, str, str]:
    """Return Dice before and after, and the gain, in points, with their intervals where there are any."""
    before, after = 100 * row["dice_before"], 100 * row["dice_after"]
    told = [f"{before:.1f}", f"{after:.1f}", f"{after - before:+.1f}"]
    if has_intervals:
        for i, name in enumerate(("before", "after", "gain")):
            low, high = (100 * value for value in row[f"interval_{name}"])
            told[i] += f" ({low:+.0f} to {high:+.0f})" if name == "gain" else f" ({low:.0f}\u2013{high:.0f})"
    return told[0], told[1], told[2]


def _label(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label
