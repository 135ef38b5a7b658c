"""Training frames: the contexts that serving would have seen, from the offline store."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import ContextSchema
from feature_repo.materialize import duckdb_closed


def historical_contexts(
    repo_path: Path, schema: ContextSchema, entities: Any, *, store_file: Path | None = None
) -> NDArray[np.int16]:
    """Contexts (n, d) of ``entities``, a pandas frame of n rows with the join keys and ``event_timestamp``.

    Each row gets the features as of its time (no older than the view's TTL), encoded as serving encodes them.
    """
    with warnings.catch_warnings(), duckdb_closed():
        warnings.simplefilter("ignore")
        from feast.feature_store import FeatureStore

        store = FeatureStore(repo_path=str(repo_path), fs_yaml_file=store_file)
        # The offline join may return rows in another order.
        numbered = entities.assign(row_number=np.arange(len(entities)))
        job = store.get_historical_features(numbered, list(schema.features), full_feature_names=True)
        frame = job.to_arrow().sort_by("row_number")
    columns = {name: frame.column(name.replace(":", "__")).to_pylist() for name in schema.features}
    return schema.encode(*schema.raw(columns))
