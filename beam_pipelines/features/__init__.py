"""Aggregates of the event log as features: Beam batch job from facts to the Parquet files of Feast views."""

from beam_pipelines.features.config import AggregateConfig, AggregateReport
from beam_pipelines.features.job import run

__all__ = ["AggregateConfig", "AggregateReport", "run"]
