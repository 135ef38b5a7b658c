"""The streaming learner: event log in, exact statistics and packs out."""

from beam_pipelines.learn.config import FLINK, PRISM, LearnConfig
from beam_pipelines.learn.publisher import Publisher
from beam_pipelines.learn.run import run
from beam_pipelines.learn.steering import Steering
from beam_pipelines.learn.warm_start import warm_start
from stores.progress import Progress, progress_of

__all__ = ["FLINK", "PRISM", "LearnConfig", "Progress", "Publisher", "Steering", "progress_of", "run", "warm_start"]
