from __future__ import annotations

import pytest

from tmca_core.phantom import make_phantom
from tmca_core.project import Project


@pytest.fixture
def images(write_images):
    """A folder with three phantoms as PNG, the first two with their reports beside them."""
    return write_images((make_phantom(seed, shape=(48, 40)) for seed in range(3)), num_reports=2)


@pytest.fixture
def project(images, tmp_path):
    """A project with the three phantoms."""
    project = Project.create(tmp_path / "study")
    list(project.add([images]))
    yield project
    project.close()
