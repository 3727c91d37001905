"""Copy the napari manifest into the package, for wheel, sdist and editable installs alike."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManifestHook(BuildHookInterface[Any]):
    """npe2 reads the manifest inside the package; the one at the top level is the original."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Copy it before the files are collected."""
        root = Path(self.root)
        shutil.copyfile(root / "napari.yaml", root / "napari_tmca" / "napari.yaml")
