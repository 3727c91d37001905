"""Options that several commands share."""

from enum import StrEnum
from typing import Annotated

import typer


class Device(StrEnum):
    """Devices that can be asked for."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Affine(StrEnum):
    """Affines of a NIfTI file that can be asked for."""

    SFORM = "sform"
    QFORM = "qform"


ModelOption = Annotated[
    str, typer.Option("--model", help="Name of an installed model, or a folder; default is the one in use.")
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute; auto takes a GPU if there is one.")]
AffineOption = Annotated[
    Affine | None, typer.Option("--affine", help="Which affine of a NIfTI file, where its two disagree.")
]
SpacingOption = Annotated[
    str | None,
    typer.Option("--spacing", help="Lengths in mm, Z,Y,X or Y,X, of a scan that states none; given by hand."),
]
ShrinkOption = Annotated[
    int, typer.Option("--shrink", min=1, help="Read means of N x N pixels, of an image too large for the memory.")
]
LayoutOption = Annotated[
    str,
    typer.Option("--layout", help="Layout of the folder: auto, qata, cases.csv, lvit, medclipseg or languidemedseg."),
]
