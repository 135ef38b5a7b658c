"""What an aggregation is told and what it tells back."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts import InvalidInputError, LineageSettings

MS_PER_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class AggregateConfig:
    """One run; paths as text, for they travel to Beam's workers.

    ``rules`` say which facts count and which windows are complete as of ``as_of_ms`` (the log's time); decisions of
    the last ``days`` count. ``folder`` holds the views' Parquet files, ``aggregates`` is the path of aggregates.yaml.
    ``archive_uri`` "": there is no archive. Rows of runs longer ago than ``keep_days`` are dropped. ``runner_options``
    are Beam's own flags, used in place of the in-process runner; workers must reach ``folder``.
    """

    redis_url: str
    rules: LineageSettings
    as_of_ms: int
    folder: str
    aggregates: str
    partitions: int = 4
    archive_uri: str = ""
    days: float = 30.0
    keep_days: float = 90.0
    runner_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse numbers that cannot work.

        Raises:
            InvalidInputError: naming the field, its value and the limit.
        """
        for name in ("partitions", "as_of_ms", "days", "keep_days"):
            if not getattr(self, name) > 0:
                message = f"{name} = {getattr(self, name)}: must be above 0"
                raise InvalidInputError(message)
        if self.days * MS_PER_DAY < self.rules.window_ms:
            message = f"days = {self.days} is shorter than one window of {self.rules.window_ms} ms: use more days"
            raise InvalidInputError(message)


@dataclass(frozen=True, slots=True)
class AggregateReport:
    """What a run did: decisions shown and clicked from ``first_ms`` to below ``end_ms``, rows written by view.

    ``facts`` counts those read of these decisions by verdict or drop reason.
    """

    first_ms: int
    end_ms: int
    shown: int
    clicked: int
    rows: Mapping[str, int]
    facts: Mapping[str, int]
