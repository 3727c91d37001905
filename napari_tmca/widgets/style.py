"""What the parts of the panel have in common."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QLabel

AMBER = "#e69f00"
# Black on amber: amber letters would be too pale on the light theme.
AMBER_STYLE = f"color: black; background-color: {AMBER}; border-radius: 3px; padding: 1px 4px;"


def plain_label(text: str = "") -> QLabel:
    """Return a label that wraps, and shows markup literally."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    return label


def say(label: QLabel, text: str, *, is_amber: bool) -> None:
    """Write into a label; black on amber where the reader should look twice."""
    label.setText(text)
    label.setStyleSheet(AMBER_STYLE if is_amber else "")


def swatch(color: str) -> QIcon:
    """Return a small square of a colour, ``"#rrggbb"``."""
    picture = QPixmap(12, 12)
    picture.fill(QColor(color))
    return QIcon(picture)
