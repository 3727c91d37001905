"""Held-out cases one by one: before | after | corrected, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class ExamplesWidget(QWidget):
    """Steps through the pictures that a training left of its held-out cases, the one that lost most first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pictures: list[tuple[QPixmap, str]] = []
        self.index = 0
        self.titles = QWidget()
        titles = QHBoxLayout(self.titles)
        titles.setContentsMargins(0, 0, 0, 0)
        for text in ("before", "after", "corrected"):
            title = QLabel(text)
            title.setAlignment(Qt.AlignmentFlag.AlignCenter)
            titles.addWidget(title)
        self.picture = QLabel()
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setMinimumHeight(80)
        self.picture.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.caption = QLabel()
        self.caption.setTextFormat(Qt.TextFormat.PlainText)
        self.caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.previous, self.next = QPushButton("\u25c2"), QPushButton("\u25b8")
        self.previous.setToolTip("The held-out case before")
        self.next.setToolTip("The next held-out case")
        self.previous.clicked.connect(self._on_previous)
        self.next.clicked.connect(self._on_next)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.titles)
        layout.addWidget(self.picture, stretch=1)
        row = QHBoxLayout()
        row.addWidget(self.previous)
        row.addWidget(self.caption, stretch=1)
        row.addWidget(self.next)
        layout.addLayout(row)
        self.clear()

    def clear(self) -> None:
        """Show nothing."""
        self.set_pictures([], [])

    def set_pictures(self, paths: Sequence[Path], captions: Sequence[str]) -> None:
        """Show pictures from files, each with its caption; one that cannot be read is left out."""
        loaded = [(QPixmap(str(path)), caption) for path, caption in zip(paths, captions, strict=False)]
        self.pictures = [(pixmap, caption) for pixmap, caption in loaded if not pixmap.isNull()]
        self.setVisible(bool(self.pictures))
        self.show_number(0)

    def show_number(self, index: int) -> None:
        """Show one of the pictures; an index beyond the ends changes nothing."""
        if not self.pictures:
            self.picture.clear()
        elif 0 <= index < len(self.pictures):
            self.index = index
            self.caption.setText(self.pictures[index][1])
            self.previous.setEnabled(index > 0)
            self.next.setEnabled(index + 1 < len(self.pictures))
            self._fit()

    def resizeEvent(self, event: Any) -> None:
        """Fit the picture anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self.pictures:
            keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
            self.picture.setPixmap(self.pictures[self.index][0].scaled(self.picture.size(), keep, smooth))

    def _on_previous(self) -> None:
        self.show_number(self.index - 1)

    def _on_next(self) -> None:
        self.show_number(self.index + 1)
