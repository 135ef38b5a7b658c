"""Features: a plain Feast repository, and what is compiled from it for serving.

Feast itself is imported only by the functions that need it: it takes seconds.
"""

from feature_repo.activity import gather_activity
from feature_repo.aggregates import Aggregates, column_of, load_aggregates, stats_schemas
from feature_repo.compile import ITEM_TEXTS, compile_features, compile_plan
from feature_repo.materialize import AGGREGATES_FILE, apply_and_materialize
from feature_repo.profiles import PROFILE_SCHEMAS, write_profiles
from feature_repo.schema_file import load_context_schema
from feature_repo.stats import add_stats, ensure_stats
from feature_repo.store_config import connection_string, write_store_config
from feature_repo.stream_plan import compile_writes
from feature_repo.training import historical_contexts

__all__ = [
    "AGGREGATES_FILE",
    "ITEM_TEXTS",
    "PROFILE_SCHEMAS",
    "Aggregates",
    "add_stats",
    "apply_and_materialize",
    "column_of",
    "compile_features",
    "compile_plan",
    "compile_writes",
    "connection_string",
    "ensure_stats",
    "gather_activity",
    "historical_contexts",
    "load_aggregates",
    "load_context_schema",
    "stats_schemas",
    "write_profiles",
    "write_store_config",
]
