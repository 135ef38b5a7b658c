"""The runners by their names in the settings."""

from beam_pipelines.learn.config import FLINK, PRISM, LearnConfig
from beam_pipelines.learn.flink import Flink
from beam_pipelines.learn.job_server import Runner
from beam_pipelines.learn.prism import Prism


def runner_of(config: LearnConfig) -> Runner:
    """What the learner's jobs run on."""
    runners: dict[str, type[Prism] | type[Flink]] = {PRISM: Prism, FLINK: Flink}
    return runners[config.runner](config.runner_path)
