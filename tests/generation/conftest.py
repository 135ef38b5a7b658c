"""Models that several test modules paint with."""

from pathlib import Path

import pytest

from tests.generation.diffusion_rig import MODELS
from tests.generation.tiny_model import save_tiny_pipeline


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each tiny model of ``MODELS``."""
    folders = {name: tmp_path_factory.mktemp(f"tiny-{name}") for name in MODELS}
    for name, (kind, channels) in MODELS.items():
        save_tiny_pipeline(folders[name], channels, kind)
    return folders
