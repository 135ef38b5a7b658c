"""What the fixtures hand to tests: a repository that was applied, materialised and compiled."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from contracts import ContextSchema, ReadPlan
from feature_repo import apply_and_materialize, compile_features, compile_plan, write_profiles
from stores import connect
from stores.connect import command
from tests.feature_repo import profiles, wide

REPO = Path(__file__).resolve().parents[2] / "feature_repo"
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


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


def load_shop(folder: Path, redis_url: str) -> Shop:
    """Backdrop's own repository, loaded with profiles fresh, old and odd, as of ``NOW``."""
    tables = profiles.tables(NOW)
    write_profiles(folder, users=tables["user"], items=tables["item"], placements=tables["placement"])
    store_file = apply_and_materialize(
        REPO,
        redis_url=redis_url,
        features_dir=folder,
        registry_path=folder / "registry.db",
        now=NOW,
    )
    plan, schema = compile_features(
        REPO,
        store_file=store_file,
        context_path=REPO / "context.yaml",
        plan_path=folder / "plan.json",
        schema_path=folder / "context.json",
    )
    return Shop(REPO, folder, store_file, redis_url, plan, schema, NOW)


def load_wide(repo: Path, folder: Path, redis_url: str) -> Shop:
    """A repository with every type the reader reads, random rows, and parts of them deleted from Redis."""
    wide.write_repo(repo)
    wide.write_rows(folder, NOW)
    store_file = apply_and_materialize(
        repo,
        redis_url=redis_url,
        features_dir=folder,
        registry_path=folder / "registry.db",
        now=NOW + timedelta(seconds=1),
    )
    plan = compile_plan(repo, wide.SCHEMA, store_file=store_file, item_texts=("item_wide:s",))
    with connect(redis_url) as client:
        wide.damage(plan, lambda *words: command(client, *words))
    return Shop(repo, folder, store_file, redis_url, plan, wide.SCHEMA, NOW)
