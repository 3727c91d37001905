"""The panel: image, report, Segment, result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, create_widget
from napari.layers import Image
from qtpy.QtCore import Qt, QTimer, QVariantAnimation
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_tmca.session import session_of
from napari_tmca.shortcuts import key_of, register_shortcuts
from napari_tmca.widgets.correct import CorrectWidget
from napari_tmca.widgets.guide import GuideWidget
from napari_tmca.widgets.preferences import PreferencesWidget
from napari_tmca.widgets.report import ReportWidget
from napari_tmca.widgets.result import ResultWidget
from napari_tmca.widgets.slices import SlicesWidget
from napari_tmca.widgets.style import plain_label
from napari_tmca.widgets.view import ViewWidget

if TYPE_CHECKING:
    from napari import Viewer

MASK_INTERVAL_MS, FADE_MS = 150, 160
# After a scan was chosen: long enough for its picture to be on the screen first, shorter than a report is pasted.
PREPARE_MS = 700
# What takes no longer is not announced: in live mode, buttons and bar would flicker with every pause in typing.
BUSY_MS = 150
_NAME_LENGTH = 6  # characters shown at least
NOTICE = "Research use only. Not a medical device."


class TmcaWidget(QWidget):
    """The dock widget; it shows the session of its viewer and holds no state of its own.

    Parameters
    ----------
    napari_viewer : Viewer
        Given by napari.

    """

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session_of(napari_viewer)
        register_shortcuts()
        self.guide = GuideWidget(self.session.first_steps, napari_viewer)
        self.image: Any = create_widget(annotation=Image, label="Image", options={"tooltip": "The scan to segment"})
        self.model = ComboBox(label="Model", choices=_model_choices(self.session.model), value=self.session.model)
        self.device = ComboBox(label="Device", choices=("auto", "cpu", "cuda", "mps"), value=self.session.device)
        self.report = ReportWidget()
        self.slices = SlicesWidget(self.session)
        self.segment = QPushButton("Segment")
        self.segment.setToolTip(f"Segment the image by the report ({key_of('segment')})")
        self.segment.setShortcut(QKeySequence(key_of("segment")))
        self.segment.setMinimumHeight(36)
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Give up; nothing is changed")
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(8)
        keeps_its_place = self.progress.sizePolicy()
        keeps_its_place.setRetainSizeWhenHidden(True)
        self.progress.setSizePolicy(keeps_its_place)
        self.messages = plain_label()
        self.messages.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.result = ResultWidget(self.session)
        self.correct = CorrectWidget(self.session)
        self.view = ViewWidget(self.session)
        self.preferences = PreferencesWidget(self.session)
        self.tabs = QTabWidget()
        # A stroke of the brush changes the mask a hundred times a second; its size may follow a little later.
        self._mask_timer = QTimer(self)
        self._mask_timer.setSingleShot(True)
        self._mask_timer.setInterval(MASK_INTERVAL_MS)
        self._busy = QTimer(self)
        self._busy.setSingleShot(True)
        self._busy.setInterval(BUSY_MS)
        self._prepare = QTimer(self)
        self._prepare.setSingleShot(True)
        self._prepare.setInterval(PREPARE_MS)
        self._fade = QVariantAnimation(self)
        self._fade.setDuration(FADE_MS)
        self._opacity: float | None = None
        self.status = plain_label()
        self._lay_out()
        self._connect(napari_viewer)
        self.refresh()

    def refresh(self) -> None:
        """Show the whole session as it is."""
        self._on_layers()
        self._on_first_steps()
        self._on_report()
        self._on_state()
        self._on_result()
        self._on_messages()

    def sizeHint(self) -> Any:
        """Return a width at which the report can be read."""
        hint = super().sizeHint()
        hint.setWidth(380)
        return hint

    def _lay_out(self) -> None:
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(6, 2, 6, 2)
        layout.setSpacing(3)
        for chooser in (self.image, self.model):  # the folder of a model, or a file's name, may be wider than the panel
            chooser.native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            chooser.native.setMinimumContentsLength(_NAME_LENGTH)
        network = Container(widgets=[self.model, self.device], layout="horizontal", labels=True, label="Model")
        network.margins = (0, 0, 0, 0)
        self._choosers = Container(widgets=[self.image], labels=True)
        self._choosers.margins = (0, 0, 0, 0)
        layout.addWidget(self.guide)
        layout.addWidget(self._choosers.native)
        layout.addWidget(self.report)
        layout.addWidget(self.slices)
        buttons = QHBoxLayout()
        buttons.addWidget(self.segment, stretch=3)
        buttons.addWidget(self.cancel, stretch=1)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.messages)
        pages = (
            ("Result", self.result),
            ("Correct", self.correct),
            ("View", self.view),
            ("Settings", self.preferences),
        )
        for name, page in pages:
            self.tabs.addTab(page, name)
        layout.addWidget(self.tabs)
        self.view.network.addWidget(network.native)
        layout.addStretch()
        scroll = QScrollArea()
        scroll.setWidget(inner)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(scroll)
        outer.addWidget(self.status)

    def _connect(self, viewer: Viewer) -> None:
        session = self.session
        self.image.changed.connect(self._on_image_chosen)
        self.model.changed.connect(self._on_model)
        self.device.changed.connect(self._on_device)
        self.report.textChanged.connect(session.set_report)
        self.report.sentenceToggled.connect(session.use_sentence)
        self.report.paused.connect(self._on_paused)
        self.report.live.setChecked(session.live)
        self.report.live.toggled.connect(self._on_live)
        self.report.pointed.connect(self._on_report_pointed)
        # Napari's own dialog may have changed them since.
        self.tabs.currentChanged.connect(self._on_page)
        self._mask_timer.timeout.connect(self._on_mask)
        self._busy.timeout.connect(self._show_state)
        self._prepare.timeout.connect(session.prepare)
        self._fade.valueChanged.connect(self._on_fade)
        self.segment.clicked.connect(self._on_segment)
        self.guide.tried.connect(self.segment.setFocus)
        self.cancel.clicked.connect(session.cancel)
        links = (
            (session.layers_changed, self._on_layers),
            (session.report_changed, self._on_report),
            (session.state_changed, self._on_state),
            (session.result_changed, self._on_result),
            (session.mask_changed, self._on_mask_changed),
            (session.pointed, self._on_mask_pointed),
            (session.messages_changed, self._on_messages),
            (session.progressed, self._on_progress),
            (session.settings_changed, self._on_settings),
            (session.first_steps.changed, self._on_first_steps),
        )
        for signal, slot in links:
            signal.connect(slot)
        # Closing a dock destroys the widget without a closeEvent; whatever still pointed at it would be a zombie.
        self.destroyed.connect(_disconnector(links, session))

    def _on_image_chosen(self, layer: Image | None) -> None:
        if layer is not None:
            self.session.choose_layer(layer)

    def _on_model(self, name: str) -> None:
        self.session.model = name
        self._prepare_soon()
        self._on_state()

    def _on_device(self, name: str) -> None:
        self.session.device = name
        self._prepare_soon()
        self._on_state()

    def _on_segment(self) -> None:
        self.session.segment()

    def _on_layers(self) -> None:
        self.image.reset_choices()
        layer, ours = self.session.scan_layer, self.session.heatmap_layer
        scans = [choice for choice in self.image.choices if choice is not ours]
        if layer is None and scans:
            self.session.choose_layer(scans[-1])
            layer = scans[-1]
        if layer is not None and layer in self.image.choices:
            with self.image.changed.blocked():
                self.image.value = layer
        self.segment.setEnabled(layer is not None and self.session.state == "idle")
        self._prepare_soon()
        for page in (self.result, self.correct, self.view):
            page.refresh()

    def _prepare_soon(self) -> None:
        """Load the network while the reader looks at the scan; without a scan nothing heavy is imported."""
        if self.session.scan_layer is not None:
            self._prepare.start()

    def _on_first_steps(self) -> None:
        shown = self.session.first_steps.is_shown
        self.guide.setVisible(shown)
        # Without a scan there is nothing on the pages, and the steps need their room on a small screen.
        self.tabs.setVisible(not shown)
        self.preferences.refresh()

    def _on_page(self) -> None:
        self.preferences.refresh()

    def _on_settings(self) -> None:
        self.view.show_windows()
        self.correct.show_classes()
        self.preferences.refresh()

    def _on_report(self) -> None:
        self.report.setValue(self.session.report)
        self._on_messages()

    def _on_state(self) -> None:
        if self.model.value != self.session.model:  # chosen elsewhere: a model that was learned
            with self.model.changed.blocked():
                self.model.choices = _model_choices(self.session.model)
                self.model.value = self.session.model
        if self.session.state == "running" and self.session.is_updating:
            self._busy.start()
        else:
            self._busy.stop()
            self._show_state()

    def _show_state(self) -> None:
        running = self.session.state == "running"
        self.segment.setEnabled(not running and self.session.scan_layer is not None)
        self.segment.setText("Segmenting\u2026" if running else "Segment")
        self.cancel.setEnabled(running)
        if running != self.progress.isVisibleTo(self):
            # Never the bar that runs to and fro: each of its frames composes the whole window anew, which costs the
            # network a third of the processor where the screen is drawn in software.
            self.progress.setRange(0, 1)
            self.progress.setValue(0)
            self.progress.setVisible(running)
        self._show_network()

    def _show_network(self) -> None:
        provenance = self.session.segmentation.provenance if self.session.segmentation else None
        model = f"{provenance.model_name} {provenance.model_version} on {provenance.device}" if provenance else ""
        self.status.setText(f"{model or f'{self.session.model}, device {self.session.device}'}\n{NOTICE}")

    def _on_progress(self, done: int, total: int) -> None:
        if not self._busy.isActive():
            self.progress.setRange(0, total)
            self.progress.setValue(done)

    def _on_result(self) -> None:
        for page in (self.result, self.correct, self.view):
            page.refresh()
        self._show_network()
        self._on_messages()

    def _on_mask_changed(self) -> None:
        self._mask_timer.start()

    def _on_mask(self) -> None:
        self.result.show_mask()
        self.report.light_up({}, self._rejected())

    def _on_mask_pointed(self, strengths: dict[int, float]) -> None:
        # The report may have been edited since the network was told it; its sentences then have other numbers.
        self.report.light_up({} if self.session.is_outdated else strengths, self._rejected())

    def _rejected(self) -> tuple[int, ...]:
        return () if self.session.is_outdated else tuple(self.session.mask.rejected())

    def _on_live(self, on: bool) -> None:
        self.session.live = on
        self._on_messages()

    def _on_paused(self) -> None:
        if self.session.segmentation is not None and self.session.is_outdated:
            self.session.update()

    def _on_report_pointed(self, sentence: int, word: int) -> None:
        """Let the map of what is pointed at fade in, and the chosen one come back when the mouse has left."""
        session, layer = self.session, self.session.heatmap_layer
        if layer is None or session.is_outdated or session.state == "running":
            return
        if self._opacity is None or self._fade.state() != QVariantAnimation.State.Running:
            self._opacity = float(layer.opacity)
        if sentence < 0:
            session.maps.end_preview()
        else:
            session.maps.preview(sentence, word if word >= 0 else None)
        self._fade.stop()
        self._fade.setStartValue(0.0)
        self._fade.setEndValue(self._opacity)
        self._fade.start()

    def _on_fade(self, opacity: float) -> None:
        layer = self.session.heatmap_layer
        if layer is not None:
            layer.opacity = float(opacity)

    def _on_messages(self) -> None:
        messages = list(self.session.messages)
        if self.session.is_outdated and not self.session.live:  # in live mode it is on its way
            messages.append("The mask is from an older text. Press Segment to bring it up to date.")
        self.messages.setText("\n".join(messages))
        self.messages.setVisible(bool(messages))


def _disconnector(links: Any, session: Any) -> Any:
    def disconnect() -> None:
        for signal, slot in links:
            signal.disconnect(slot, missing_ok=True)
        session.cancel()

    return disconnect


def _model_choices(current: str) -> tuple[str, ...]:
    """Return the installed models, and the one of the preferences, which may be a folder."""
    from tmca_core.model.checkpoint import list_models

    return tuple(dict.fromkeys([*(info.name for info in list_models()), current]))
