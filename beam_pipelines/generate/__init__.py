"""The generation job: catalogue × prompts × placements minus what exists -> pictures, manifest, creative index."""

from beam_pipelines.generate.config import GenerateConfig, GenerateReport, Progress
from beam_pipelines.generate.run import run

__all__ = ["GenerateConfig", "GenerateReport", "Progress", "run"]
