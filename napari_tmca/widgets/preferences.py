"""How masks and scans are shown: colours, outline or filled, opacity, own windows; kept in napari's preferences."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QCheckBox,
    QColorDialog,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_tmca.appearance import class_colors, dress
from napari_tmca.class_names import MAX_CHARACTERS, clean_name
from napari_tmca.notify import report_error
from napari_tmca.settings import change_settings, read_settings
from napari_tmca.widgets.style import plain_label, say, swatch
from tmca_core.errors import ConfigError, TmcaError
from tmca_core.window import parse_windows

if TYPE_CHECKING:
    from napari_tmca.session import Session

_WINDOWS_HEIGHT = 58
_LOOK = {"mask_filled", "mask_opacity", "class_colors"}  # of masks
_HELP = "One window a line: name, level, width. They stand under View, behind the automatic one, with a key each."


class PreferencesWidget(QWidget):
    """Edits what the preferences say of how things look; the mask on the screen follows at once.

    Parameters
    ----------
    session : Session
        Of the viewer.

    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.filled = QComboBox()
        self.filled.addItem("Outline", False)
        self.filled.addItem("Filled", True)
        self.filled.setToolTip("Napari's own control of the layer, contour, changes a single mask")
        self.opacity = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0.1, 1.0)
        self.opacity.setSingleStep(0.05)
        self.opacity.setDecimals(2)
        self.colors = {name: QPushButton() for name in class_colors()}
        for name, button in self.colors.items():
            button.setToolTip(f"Colour of {name}")
            button.setAccessibleName(f"Colour of {name}")
        self.names = {number: QLineEdit() for number in range(1, len(self.colors) + 1)}
        for (number, field), own in zip(self.names.items(), self.colors, strict=True):
            field.setPlaceholderText(own)
            field.setMaxLength(MAX_CHARACTERS)
            field.setAccessibleName(f"Name of class {number}")
            field.setToolTip(f"Name of class {number}, also in the files that are saved; blank: {own}")
        self.reset = QPushButton("Reset colours")
        self.reset.setToolTip("The colours of before, told apart with any colour vision")
        self.windows = QPlainTextEdit()
        self.windows.setPlaceholderText("Liver: 60, 160\nStroke: 40, 40")
        self.windows.setFixedHeight(_WINDOWS_HEIGHT)
        self.windows.setTabChangesFocus(True)
        self.windows.setAccessibleName("Own windows")
        self.windows.setToolTip(_HELP)
        self.unread = plain_label()
        self.first_steps = QCheckBox("First steps where no scan is open")
        self._lay_out()
        self.refresh()
        self._connect()

    def refresh(self) -> None:
        """Show the preferences as they are; changes nothing."""
        settings = read_settings()
        values: tuple[tuple[QWidget, Any], ...] = (
            (self.filled, partial(self.filled.setCurrentIndex, int(settings.mask_filled))),
            (self.opacity, partial(self.opacity.setValue, settings.mask_opacity)),
            (self.first_steps, partial(self.first_steps.setChecked, settings.first_steps)),
        )
        for widget, show in values:
            widget.blockSignals(True)
            show()
            widget.blockSignals(False)
        for name, color in class_colors().items():
            self.colors[name].setIcon(swatch(color))
        given = self._session.classes.given
        for number, field in self.names.items():
            if not field.hasFocus():
                field.setText(given.get(number, ""))
        if not self.windows.hasFocus():  # never under the hands of somebody who types
            self.windows.blockSignals(True)
            self.windows.setPlainText("\n".join(part.strip() for part in settings.own_windows.split(";")))
            self.windows.blockSignals(False)
        self._say_unread(settings.own_windows)

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(4, 6, 4, 4)
        form.setVerticalSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        classes = QGridLayout()
        classes.setSpacing(2)
        for i, (button, name) in enumerate(zip(self.colors.values(), self.names.values(), strict=True)):
            classes.addWidget(button, i // 2, 2 * (i % 2))
            classes.addWidget(name, i // 2, 2 * (i % 2) + 1)
        classes.addWidget(self.reset, len(self.colors) // 2, 2, 1, 2)
        form.addRow("Masks", self.filled)
        form.addRow("Opacity", self.opacity)
        form.addRow("Classes", classes)
        form.addRow("Windows", self.windows)
        form.addRow("", self.unread)
        form.addRow(self.first_steps)
        form.addRow(
            plain_label(
                "Kept in napari's preferences, where device, model, folders and annotator are, too; the names of the "
                "classes with the project, where one is open."
            )
        )

    def _connect(self) -> None:
        self.filled.activated.connect(self._on_filled)
        self.opacity.valueChanged.connect(self._on_opacity)
        for name, button in self.colors.items():
            button.clicked.connect(partial(self._on_color, name))
        for number, field in self.names.items():
            field.editingFinished.connect(partial(self._on_name, number))
        self.reset.clicked.connect(self._on_reset)
        self.windows.textChanged.connect(self._on_windows)
        self.first_steps.toggled.connect(self._on_first_steps)

    def set_color(self, name: str, color: str) -> None:
        """Choose the colour of a class, as ``"#rrggbb"``."""
        self._change(class_colors=", ".join((class_colors() | {name: color}).values()))

    def _on_filled(self) -> None:
        self._change(mask_filled=bool(self.filled.currentData()))

    def _on_opacity(self, opacity: float) -> None:
        self._change(mask_opacity=round(opacity, 2))

    def _on_color(self, name: str) -> None:
        """Let the user choose a colour, in a window that does not stand in the way."""
        dialog = QColorDialog(QColor(class_colors()[name]), self)
        dialog.setWindowTitle(f"Colour of {name}")
        dialog.setModal(False)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.colorSelected.connect(partial(self._on_color_chosen, name))
        dialog.show()

    def _on_color_chosen(self, name: str, color: QColor) -> None:
        self.set_color(name, color.name())

    def _on_name(self, number: int) -> None:
        field, given = self.names[number], self._session.classes.given
        if clean_name(field.text()) == given.get(number, ""):
            return
        try:
            self._session.classes.rename(number, field.text())
        except TmcaError as error:
            field.setText(given.get(number, ""))
            self._session._say(report_error(error))

    def _on_reset(self) -> None:
        self._change(class_colors="")

    def _on_windows(self) -> None:
        lines = (line.strip() for line in self.windows.toPlainText().splitlines())
        self._change(own_windows="; ".join(line for line in lines if line))

    def _on_first_steps(self, on: bool) -> None:
        self._change(first_steps=on)
        self._session.first_steps.changed.emit()

    def _change(self, **changes: Any) -> None:
        try:
            change_settings(**changes)
        except ConfigError as error:
            report_error(error)
        if (layer := self._session.mask_layer) is not None and _LOOK & changes.keys():
            dress(layer)
        self.refresh()
        self._session.settings_changed.emit()

    def _say_unread(self, text: str) -> None:
        _, unread = parse_windows(text)
        lines = "; ".join(f"\u201c{part}\u201d" for part in unread)
        say(self.unread, f"Not read: {lines}. Expected a line like \u201cLiver: 60, 160\u201d.", is_amber=True)
        self.unread.setVisible(bool(unread))
