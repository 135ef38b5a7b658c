"""What the fixtures hand to tests: a repository that was applied, materialised and compiled."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from contracts import ContextSchema, ReadPlan


@dataclass(frozen=True, slots=True)
class Shop:
    repo: Path
    folder: Path
    store_file: Path
    redis_url: str
    plan: ReadPlan
    schema: ContextSchema
    now: datetime

    @property
    def now_ms(self) -> int:
        return round(self.now.timestamp() * 1000)

    def store(self) -> Any:
        """The Feast SDK on the same stores."""
        from feast.feature_store import FeatureStore

        return FeatureStore(repo_path=str(self.repo), fs_yaml_file=self.store_file)
