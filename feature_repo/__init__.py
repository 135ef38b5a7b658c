"""Features: a plain Feast repository, and what is compiled from it for serving.

Feast itself is imported only by the functions that need it: it takes seconds.
"""

from feature_repo.activity import gather_activity
from feature_repo.compile import ITEM_TEXTS, compile_features, compile_plan
from feature_repo.materialize import apply_and_materialize
from feature_repo.profiles import PROFILE_SCHEMAS, write_profiles
from feature_repo.schema_file import load_context_schema
from feature_repo.store_config import connection_string, write_store_config
from feature_repo.stream_plan import compile_writes
from feature_repo.training import historical_contexts

__all__ = [
    "ITEM_TEXTS",
    "PROFILE_SCHEMAS",
    "apply_and_materialize",
    "compile_features",
    "compile_plan",
    "compile_writes",
    "connection_string",
    "gather_activity",
    "historical_contexts",
    "load_context_schema",
    "write_profiles",
    "write_store_config",
]
