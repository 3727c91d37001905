"""The panel and its parts: a widget shows and edits one part of the session."""

from napari_tmca.widgets.panel import TmcaWidget

__all__ = ["TmcaWidget"]
