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
LayoutOption = Annotated[
    str,
    typer.Option("--layout", help="Layout of the folder: auto, qata, cases.csv, lvit, medclipseg or languidemedseg."),
]
