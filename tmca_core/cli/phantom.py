"""`tmca phantom`: a digital chest radiograph with its mask and report."""

from pathlib import Path
from typing import Annotated

import typer


def phantom(
    out: Annotated[Path, typer.Option("--out", help="Folder for phantom.png, mask.png and report.txt.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same phantom.")] = 0,
) -> None:
    """Write a digital chest radiograph.

    A computed picture with its exact mask and its report: phantom.png, mask.png, report.txt.
    """
