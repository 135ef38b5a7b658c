"""The learner's graph: read, decode, route, fold, publish, low watermark; beside it user activity and the archive."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from beam_pipelines.learn.activity_stage import PublishActivity, RouteActivity
from beam_pipelines.learn.archive_stage import ArchiveLog, by_partition
from beam_pipelines.learn.as_of import AsOfOpener
from beam_pipelines.learn.config import LearnConfig
from beam_pipelines.learn.decode_stage import DecodeFacts, RouteFacts
from beam_pipelines.learn.fold_stage import FoldFacts
from beam_pipelines.learn.positions import Start
from beam_pipelines.learn.publish_stage import PublishModel, StoreLowWatermark, Tick
from beam_pipelines.learn.source import ReadEventLog, RedisLogOpener
from stores.dataset import Dataset


@dataclass(eq=False)
class LearnFromFrames(beam.PTransform[Any, Any]):
    """Frames of the event log to statistics and packs in Redis.

    ``dataset`` is the one that the job may write to. Not frozen: Beam sets attributes on a transform.
    """

    config: LearnConfig
    dataset: Dataset

    def expand(self, frames: Any) -> Any:
        """Build the stages."""
        config = self.config
        url, lineage, settings = config.redis_url, config.lineage, config.settings
        activity = None if config.ends else config.activity
        facts = frames | "DecodeFacts" >> _stage(
            DecodeFacts(settings, lineage, url, with_users=activity is not None), bytes
        )
        chunks = facts | "RouteFacts" >> _stage(RouteFacts(settings), tuple[bytes, bytes])
        publications = chunks | "FoldFacts" >> _stage(
            FoldFacts(settings, lineage, config.flush_ms, until_ms=config.until_ms), tuple[str, bytes]
        )
        closed = publications | "PublishModel" >> _stage(
            PublishModel(settings, lineage, url, dataset=self.dataset, model=config.model), tuple[bytes, int]
        )
        ticks = frames | "Tick" >> _stage(Tick(config.flush_ms, until_ms=config.until_ms), tuple[bytes, int])
        times = [closed, ticks]
        if activity is not None:
            times.append(
                facts
                | "RouteActivity" >> _stage(RouteActivity(settings.shards), tuple[bytes, bytes])
                | "PublishActivity" >> _stage(PublishActivity(settings, lineage, url, activity), tuple[bytes, int])
            )
        return (
            tuple(times)
            | "Times" >> _flatten()
            | "StoreLowWatermark"
            >> _stage(
                StoreLowWatermark(lineage, url, config.flush_ms, dataset=self.dataset, until_ms=config.until_ms), bytes
            )
        )


def build(pipeline: beam.Pipeline, config: LearnConfig, start: Start, dataset: Dataset) -> None:
    """Assemble the streaming job, or the same graph over a log that ends at ``config.until_ms``."""
    log = RedisLogOpener(config.redis_url, config.partitions, config.archive_uri)
    frames = pipeline | "ReadEventLog" >> ReadEventLog(
        AsOfOpener(log, config.until_ms) if config.ends else log,
        start.reading,
        config.entries_per_read,
        config.poll_interval_s,
    )
    _ = frames | "Learn" >> LearnFromFrames(config, dataset)
    if config.archive_uri and not config.ends:
        _ = (
            frames
            | "ByPartition" >> _map(by_partition, tuple[int, bytes])
            | "ArchiveLog"
            >> _stage(
                ArchiveLog(
                    config.archive_uri, start.archived, config.archive_ms, config.lineage, config.redis_url, dataset
                ),
                bytes,
            )
        )


def _stage(stage: beam.DoFn, emits: Any) -> Any:
    """A stage that emits elements of type ``emits``: Beam picks their coder by it."""
    par_do: Any = beam.ParDo
    return par_do(stage).with_output_types(emits)


def _map(function: Callable[[bytes], object], emits: Any) -> Any:
    mapped: Any = beam.Map
    return mapped(function).with_output_types(emits)


def _flatten() -> Any:
    flatten: Any = beam.Flatten
    return flatten()
