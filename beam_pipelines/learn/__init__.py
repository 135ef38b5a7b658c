"""The streaming learner: event log in, exact statistics, packs and user activity out."""

from beam_pipelines.learn.config import FLINK, PRISM, ActivityConfig, LearnConfig
from beam_pipelines.learn.publisher import Publisher
from beam_pipelines.learn.run import run
from beam_pipelines.learn.steering import Steering
from beam_pipelines.learn.warm_start import warm_start
from stores.progress import Progress, progress_of

__all__ = [
    "FLINK",
    "PRISM",
    "ActivityConfig",
    "LearnConfig",
    "Progress",
    "Publisher",
    "Steering",
    "progress_of",
    "run",
    "warm_start",
]
