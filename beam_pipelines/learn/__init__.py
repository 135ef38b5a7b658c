"""The streaming learner: event log in, exact statistics and packs out."""

from beam_pipelines.learn.config import LearnConfig
from beam_pipelines.learn.positions import Progress, progress_of
from beam_pipelines.learn.run import run

__all__ = ["LearnConfig", "Progress", "progress_of", "run"]
