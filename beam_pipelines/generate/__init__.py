"""The generation job: catalogue × prompts × placements minus what exists -> pictures, manifest, creative index."""

from beam_pipelines.generate.bar import progress_bar
from beam_pipelines.generate.config import GenerateConfig, GenerateReport, Progress
from beam_pipelines.generate.gallery import gallery_of
from beam_pipelines.generate.run import run
from beam_pipelines.generate.sheet import sheet_of

__all__ = ["GenerateConfig", "GenerateReport", "Progress", "gallery_of", "progress_bar", "run", "sheet_of"]
