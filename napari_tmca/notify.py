"""The one place where an exception becomes something the user reads."""

from __future__ import annotations

import logging

from napari.utils.notifications import show_error

from tmca_core.errors import TmcaError

logger = logging.getLogger(__name__)


def sentences_of(error: BaseException) -> str:
    """Return what the user is told: the error's own two sentences, or one for what nobody foresaw."""
    if isinstance(error, TmcaError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory for this image. Close other programs, or open a smaller part of it."
    return f"Something unexpected went wrong ({type(error).__name__}). Details are in napari's log."


def report_error(error: BaseException) -> str:
    """Show an error as a napari notification, log its traceback, and return the sentences shown."""
    text = sentences_of(error)
    logger.error("%s", type(error).__name__, exc_info=error)
    show_error(text)
    return text
