"""The learner's graph: read, decode, route, fold, publish, low watermark; beside it the archive."""

from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from beam_pipelines.learn.archive_stage import ArchiveLog, ByPartition
from beam_pipelines.learn.config import LearnConfig
from beam_pipelines.learn.decode_stage import DecodeFacts, RouteFacts
from beam_pipelines.learn.fold_stage import FoldFacts
from beam_pipelines.learn.positions import Start
from beam_pipelines.learn.publish_stage import PublishModel, StoreLowWatermark, Tick
from beam_pipelines.learn.source import ReadEventLog, RedisLogOpener


@dataclass(frozen=True)
class LearnFromFrames(beam.PTransform):  # type: ignore[type-arg]
    """Frames of the event log to statistics and packs in Redis.

    ``run_id`` is the Redis process that the job may write to.
    """

    config: LearnConfig
    run_id: str

    def expand(self, frames: Any) -> Any:
        """Build the stages."""
        config = self.config
        url, lineage, settings = config.redis_url, config.lineage, config.settings
        chunks = (
            frames
            | "DecodeFacts" >> beam.ParDo(DecodeFacts(settings, lineage, url)).with_output_types(bytes)
            | "RouteFacts" >> beam.ParDo(RouteFacts(settings)).with_output_types(tuple[bytes, bytes])
        )
        publications = chunks | "FoldFacts" >> beam.ParDo(
            FoldFacts(settings, lineage, config.flush_ms)
        ).with_output_types(tuple[str, bytes])
        closed = publications | "PublishModel" >> beam.ParDo(
            PublishModel(settings, lineage, url, run_id=self.run_id, ridge=config.ridge)
        ).with_output_types(tuple[bytes, int])
        ticks = frames | "Tick" >> beam.ParDo(Tick(config.flush_ms)).with_output_types(tuple[bytes, int])
        return (
            (closed, ticks)
            | "Times" >> beam.Flatten()
            | "StoreLowWatermark" >> beam.ParDo(StoreLowWatermark(lineage, url))
        )


def build(pipeline: beam.Pipeline, config: LearnConfig, start: Start, run_id: str) -> None:
    """Assemble the streaming job."""
    frames = pipeline | "ReadEventLog" >> ReadEventLog(
        RedisLogOpener(config.redis_url, config.partitions),
        start.reading,
        config.entries_per_read,
        config.poll_interval_s,
    )
    _ = frames | "Learn" >> LearnFromFrames(config, run_id)
    if config.archive_uri:
        _ = (
            frames
            | "ByPartition" >> beam.ParDo(ByPartition()).with_output_types(tuple[int, bytes])
            | "ArchiveLog" >> beam.ParDo(ArchiveLog(config.archive_uri, start.archived, config.archive_ms))
        )
