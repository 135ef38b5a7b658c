"""The generation job: catalogue × prompts × placements minus what exists -> pictures, manifest, creative index."""

from beam_pipelines.generate.bar import progress_bar
from beam_pipelines.generate.config import GenerateConfig, GenerateReport, PlanCounts, Progress
from beam_pipelines.generate.estimate import Estimate, Prices, Rate, estimate, read_prices
from beam_pipelines.generate.gallery import gallery_of
from beam_pipelines.generate.progress_log import progress_log
from beam_pipelines.generate.run import run
from beam_pipelines.generate.sheet import sheet_of

__all__ = [
    "Estimate",
    "GenerateConfig",
    "GenerateReport",
    "PlanCounts",
    "Prices",
    "Progress",
    "Rate",
    "estimate",
    "gallery_of",
    "progress_bar",
    "progress_log",
    "read_prices",
    "run",
    "sheet_of",
]
