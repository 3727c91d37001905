"""Exceptions of tmca_core: one tree, two sentences each.

Every message says what was expected, what came, and names the file. The ``hint`` says what to do next. Neither ever
holds a patient identifier or the text of a report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmca_core.names import displayable

if TYPE_CHECKING:
    from collections.abc import Sequence


class TmcaError(Exception):
    """Something the user can act on; shown as ``error:`` and ``hint:``, never as a traceback.

    Parameters
    ----------
    message : str
        What was expected and what came, in one sentence.
    hint : str, optional
        What to do next, in one sentence.

    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = displayable(message)
        self.hint = displayable(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class StudyReadError(TmcaError):
    """A scan or mask file cannot be read as what it claims to be."""


class ChoiceError(StudyReadError):
    """A file or folder holds several scans, and none is taken for the others.

    Parameters
    ----------
    message : str
        What holds how many of what.
    argument : {"series", "frame", "affine"}
        The argument of ``read_scan`` that chooses.
    options : sequence of str
        One line for each, in order; the first is chosen by 1.

    """

    LISTED = 12

    def __init__(self, message: str, *, argument: str, options: Sequence[str]) -> None:
        self.argument, self.options = argument, tuple(options)
        if argument == "series":
            lines = [f"{number}: {line}" for number, line in enumerate(self.options[: self.LISTED], start=1)]
            lines += ["..."] * (len(self.options) > self.LISTED)
            message += f" They are {'; '.join(lines)}."
        which = " or ".join(self.options) if argument == "affine" else f"1 to {len(self.options)}"
        super().__init__(message, hint=f"Choose one with {argument}={which}.")


class SpacingError(StudyReadError):
    """A series or volume states no pixel spacing; the argument ``spacing`` of ``read_scan`` gives it by hand."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message, hint="Give it by hand in mm: spacing=(z, y, x), or --spacing Z,Y,X. It is noted as given by hand."
        )


class StudyWriteError(TmcaError):
    """A result cannot be written; whatever stood at the target before is still there."""


class GeometryError(TmcaError):
    """Shapes, spacings or affines do not fit each other, or describe no real grid."""


class ReportError(TmcaError):
    """A report file cannot be read as text."""


class DatasetError(TmcaError):
    """A data folder does not have the layout, files or values that its reader needs."""


class ConfigError(TmcaError):
    """A configuration holds an unknown key or a value outside its range."""


class CheckpointError(TmcaError):
    """Model weights are missing, damaged, of another architecture, or in an unsafe format."""


class DeviceError(TmcaError):
    """The device that was asked for is not available on this machine."""


class SampleDataError(TmcaError):
    """Sample data cannot be fetched or fails its checksum."""


class ProjectError(TmcaError):
    """An annotation project, or a case of one, is not what it should be, or may not be changed now."""
