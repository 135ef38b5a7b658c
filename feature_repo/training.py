"""Training frames: the contexts that serving would have seen, from the offline store."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts import ContextSchema, InvalidInputError, SetupError
from feature_repo.materialize import duckdb_closed

_ROW = "backdrop_row_number"
_TIME = "event_timestamp"


def historical_contexts(
    repo_path: Path, schema: ContextSchema, entities: Any, *, store_file: Path | None = None
) -> NDArray[np.int16]:
    """Contexts (n, d) of ``entities``, a pandas frame of n rows with the join keys and ``event_timestamp``.

    Each row gets the features as of its time (no older than the view's TTL), encoded as serving encodes them; rows
    keep their order, none is lost, and equal rows get equal contexts. Entities that no view knows have no features.
    Times are datetimes or ISO texts, in UTC where they name no zone; other columns are not looked at.

    Raises:
        InvalidInputError: if a column is missing, or a row has no time, no entity, or an entity that is no text.
        SetupError: if the offline store cannot be read.
    """
    with warnings.catch_warnings(), duckdb_closed():
        warnings.simplefilter("ignore")
        from feast.feature_store import FeatureStore

        store = FeatureStore(repo_path=str(repo_path), fs_yaml_file=store_file)
        asked = _checked(entities, _join_keys(store, schema))
        if not schema.features or len(asked) == 0:
            nothing = np.zeros((len(asked), len(schema.features)))
            return schema.encode(nothing, np.zeros_like(nothing, dtype=np.bool_))
        try:
            # The offline join may return rows in another order.
            job = store.get_historical_features(asked, list(schema.features), full_feature_names=True)
            frame = job.to_arrow().sort_by(_ROW)
        except Exception as error:
            # Feast, ibis and duckdb raise errors of many kinds.
            message = f"training frame of {len(asked)} rows from {repo_path}: {type(error).__name__}: {error}"
            raise SetupError(message) from error
    _require_whole(frame, len(asked))
    columns = {name: frame.column(name.replace(":", "__")).to_pylist() for name in schema.features}
    return schema.encode(*schema.raw(columns))


def _join_keys(store: Any, schema: ContextSchema) -> list[str]:
    """Join keys of the views that the schema needs."""
    views = {name.partition(":")[0] for name in schema.features}
    return sorted({key for view in views for key in store.get_feature_view(view).join_keys})


def _checked(entities: Any, keys: Sequence[str]) -> Any:
    """The columns that are needed, times in UTC, rows numbered.

    Raises:
        InvalidInputError: naming the column, how many rows are wrong, and the first of them.
    """
    import pandas as pd

    missing = [name for name in (*keys, _TIME) if name not in entities.columns]
    if missing:
        message = f"training frame has no columns {missing}: it needs {[*keys, _TIME]}, got {list(entities.columns)}"
        raise InvalidInputError(message)
    asked = entities[[*keys, _TIME]].reset_index(drop=True)
    times = pd.to_datetime(asked[_TIME], utc=True, errors="coerce", format="ISO8601")
    _refuse(
        _TIME,
        times.isna().to_numpy(),
        asked[_TIME],
        "is no time (write datetimes or ISO texts), or leave these rows out",
    )
    for key in keys:
        strange = np.array([not isinstance(value, str) for value in asked[key]], dtype=np.bool_)
        _refuse(key, strange, asked[key], "is no entity: write its id as text, or leave them out")
    return asked.assign(**{_TIME: times.dt.as_unit("us"), _ROW: np.arange(len(asked))})


def _refuse(column: str, wrong: NDArray[np.bool_], values: Any, why: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        message = f"training frame: {len(rows)} rows, the first of them row {rows[0]}: "
        message += f"{column} {values.iloc[int(rows[0])]!r} {why}"
        raise InvalidInputError(message)


def _require_whole(frame: pa.Table, rows: int) -> None:
    if not np.array_equal(frame.column(_ROW).to_numpy(), np.arange(rows)):
        message = f"the offline store answered {frame.num_rows} rows to {rows}: it lost or repeated some (use duckdb)"
        raise SetupError(message)
