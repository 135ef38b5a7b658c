"""``feast apply`` and ``feast materialize`` as one call, for programs that have their own Redis and folders."""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from contracts import SetupError
from feature_repo.aggregates import load_aggregates
from feature_repo.stats import ensure_stats
from feature_repo.store_config import write_store_config

AGGREGATES_FILE = "aggregates.yaml"
FEATURES_VARIABLE = "BACKDROP_FEATURES_DIR"

_BEGINNING = datetime(1970, 1, 2, tzinfo=UTC)


def apply_and_materialize(
    repo_path: Path, *, redis_url: str, features_dir: Path, registry_path: Path, now: datetime
) -> Path:
    """Register the repository's definitions and load every row up to ``now`` into Redis; returns the store file.

    ``features_dir`` holds the Parquet files; those of aggregated views that no job has written yet are written empty
    (where the repository has an aggregates.yaml). The store file (a feature_store.yaml beside the registry) lets the
    ``feast`` command work on the same stores: set ``FEAST_FS_YAML_FILE_PATH`` to it. While this runs, the process's
    working directory, environment and standard output are Feast's: run it in a process of its own or at start.

    Raises:
        SetupError: if Feast refuses the definitions, a file is missing, or Redis does not answer.
        InvalidInputError: if ``redis_url`` is not one that Feast can be told.
    """
    repo_path, features_dir = repo_path.resolve(), features_dir.resolve()
    store_file = write_store_config(repo_path, redis_url=redis_url, registry_path=registry_path)
    if (repo_path / AGGREGATES_FILE).exists():
        ensure_stats(features_dir, load_aggregates(repo_path / AGGREGATES_FILE))
    with _quiet(), _inside(repo_path, features_dir), duckdb_closed():
        from feast.feature_store import FeatureStore
        from feast.repo_config import load_repo_config
        from feast.repo_operations import apply_total

        # Importing Feast sets a filter of its own.
        warnings.simplefilter("ignore")
        try:
            apply_total(load_repo_config(repo_path, store_file), repo_path, skip_source_validation=False)
            store = FeatureStore(repo_path=str(repo_path), fs_yaml_file=store_file)
            store.materialize(start_date=_BEGINNING, end_date=now)
        except (Exception, SystemExit) as error:
            # Feast, duckdb and the Redis client raise errors of many kinds, and Feast even exits.
            # The URL may hold a password: only the host is named.
            host = urlsplit(redis_url).hostname
            message = (
                f"features of {repo_path} could not be loaded into Redis at {host}: {type(error).__name__}: {error}"
            )
            raise SetupError(message) from error
    return store_file


@contextlib.contextmanager
def duckdb_closed() -> Iterator[None]:
    """Let go of the connection that Feast's offline store leaves in ibis: at exit it would print pages of leaks."""
    import ibis

    backend = ibis.options.default_backend
    try:
        yield
    finally:
        ibis.options.default_backend = backend


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Feast's progress bars, prints and deprecation warnings away from the caller's output."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _inside(repo_path: Path, features_dir: Path) -> Iterator[None]:
    """Be where ``feast`` would be, and leave no trace: directory, environment, path, modules of the repository."""
    directory, environment = Path.cwd(), os.environ.get(FEATURES_VARIABLE)
    path, modules, bytecode = list(sys.path), set(sys.modules), sys.dont_write_bytecode
    os.environ[FEATURES_VARIABLE] = str(features_dir)
    os.chdir(repo_path)
    sys.path.insert(0, str(repo_path))
    try:
        yield
    finally:
        os.chdir(directory)
        sys.path[:] = path
        sys.dont_write_bytecode = bytecode
        if environment is None:
            del os.environ[FEATURES_VARIABLE]
        else:
            os.environ[FEATURES_VARIABLE] = environment
        for name in set(sys.modules) - modules:
            # A second call with another folder must read the definitions anew.
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(f"{repo_path}{os.sep}"):
                del sys.modules[name]
