"""`tmca deidentify`: a copy of a DICOM series without what names its patient in the headers."""

from pathlib import Path
from typing import Annotated

import typer


def deidentify(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="DICOM file, or folder of one series.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the copy; new or empty.")],
) -> None:
    """Copy a DICOM series without what names its patient in the headers.

    No promise of anonymity: pixels are not touched, and burned-in text is only warned about.
    """
    from tmca_core.io.deidentify import deidentify_series

    done = deidentify_series(source, out)
    for note in done.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"written to {done.folder}: {len(done.files)} files")
