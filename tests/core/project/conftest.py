from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tmca_core.phantom import make_phantom
from tmca_core.project import Project


@pytest.fixture
def images(tmp_path):
    """A folder with three phantoms as PNG, the first two with their reports beside them."""
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(3):
        made = make_phantom(seed, shape=(48, 40))
        Image.fromarray(np.asarray(made.scan.pixels)).save(folder / f"chest{seed}.png")
        if seed < 2:
            (folder / f"chest{seed}.txt").write_text(made.report_text, encoding="utf-8")
    return folder


@pytest.fixture
def project(images, tmp_path):
    """A project with the three phantoms."""
    project = Project.create(tmp_path / "study")
    list(project.add([images]))
    yield project
    project.close()
