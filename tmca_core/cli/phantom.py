"""`tmca phantom`: a digital chest radiograph with its mask and report."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from tmca_core.errors import StudyWriteError


def phantom(
    out: Annotated[Path, typer.Option("--out", help="Folder for phantom.png, mask.png and report.txt.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same phantom.")] = 0,
) -> None:
    """Write a digital chest radiograph.

    A computed picture with its exact mask and its report: phantom.png, mask.png, report.txt.
    """
    from tmca_core.atomic import atomic_write
    from tmca_core.io import write_mask
    from tmca_core.phantom import make_phantom

    made = make_phantom(seed)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyWriteError(
            f"{out}: expected a folder that can be written to, got '{error.strerror}'.", hint="Choose another folder."
        ) from error
    with atomic_write(out / "phantom.png") as file:
        Image.fromarray(np.asarray(made.scan.pixels)).save(file, format="PNG")
    write_mask(out / "mask.png", made.mask, made.scan)
    with atomic_write(out / "report.txt") as file:
        file.write(f"{made.report_text}\n".encode())
    typer.echo(made.report_text)
    typer.echo(f"written: phantom.png, mask.png and report.txt in {out}")
