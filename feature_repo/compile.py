"""Compile the Feast registry and the context schema into the files that serving reads."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from contracts import (
    ContextSchema,
    InvalidInputError,
    PlannedEntity,
    PlannedFeature,
    PlannedView,
    ReadPlan,
    SetupError,
)
from contracts.plan import ENTITY_KEY_VERSION, KEY_TYPES, ROLES, VALUE_TYPES
from feature_repo.files import write_whole
from feature_repo.schema_file import load_context_schema

if TYPE_CHECKING:
    from feast.feature_view import FeatureView


class Wanted(Protocol):
    """What asks for features, "view:feature": a context schema, for one."""

    @property
    def features(self) -> tuple[str, ...]:
        """The features."""
        ...


ITEM_TEXTS = ("item_profile:category", "item_profile:url", "item_profile:image_url")
SERVICE = "decide"

_PLAIN = "FeatureView"


def compile_features(
    repo_path: Path, *, store_file: Path | None, context_path: Path, plan_path: Path, schema_path: Path
) -> tuple[ReadPlan, ContextSchema]:
    """Write the read plan and the context schema as JSON files for serving; returns both.

    ``store_file`` is the feature_store.yaml to use (None: Feast's own choice).

    Raises:
        InvalidInputError: if the context schema is not valid or needs what the reader cannot read.
        SetupError: if the registry cannot be read or a file not written.
    """
    schema = load_context_schema(context_path)
    plan = compile_plan(repo_path, schema, store_file=store_file)
    write_whole(schema_path, schema.to_json())
    write_whole(plan_path, plan.to_json())
    return plan, schema


def compile_plan(
    repo_path: Path,
    schema: Wanted,
    *,
    store_file: Path | None = None,
    service: str = SERVICE,
    item_texts: Sequence[str] = ITEM_TEXTS,
) -> ReadPlan:
    """Compile what serving reads for ``schema`` and ``item_texts`` from the registry's feature service.

    Raises:
        InvalidInputError: naming the view, feature or type that the reader cannot read, and why.
        SetupError: if there is no registry or no such service.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from feast.errors import FeastObjectNotFoundException
        from feast.feature_store import FeatureStore

        try:
            store = FeatureStore(repo_path=str(repo_path), fs_yaml_file=store_file)
            _check_store(store.config)
            projections = store.get_feature_service(service).feature_view_projections
            views = {view.name: view for view in store.list_feature_views() if type(view).__name__ == _PLAIN}
            kinds = {view.name: type(view).__name__ for view in store.list_all_feature_views()}
            key_types = {entity.name: entity.value_type.name for entity in store.list_entities()}
        except (FeastObjectNotFoundException, OSError) as error:
            message = f"feature service {service!r} of {repo_path} is not registered ({error}): run `feast apply`"
            raise SetupError(message) from error
    needed = _needed((*schema.features, *item_texts))
    by_role: dict[str, list[PlannedView]] = {}
    join_keys: dict[str, tuple[str, str]] = {}
    for projection in sorted(projections, key=lambda each: str(each.name)):
        names = needed.pop(projection.name, None)
        if names is None:
            continue
        _check_projection(projection)
        view = views.get(projection.name)
        if view is None:
            kind = kinds.get(projection.name, "missing view")
            message = (
                f"view {projection.name}, needed for {names}, is a {kind}: the reader reads plain feature views only"
            )
            raise InvalidInputError(message)
        role, key = _entity_of(view)
        join_keys[role] = (key, _key_type(view, key_types[role]))
        offered = {field.name: field.dtype.to_value_type().name for field in projection.features}
        by_role.setdefault(role, []).append(_planned(view, names, offered))
    if needed:
        message = f"views {sorted(needed)} are not in the feature service {service!r}: add them there"
        raise InvalidInputError(message)
    entities = tuple(PlannedEntity(role, *join_keys[role], tuple(by_role[role])) for role in ROLES if role in by_role)
    return ReadPlan(str(store.config.project), entities, tuple(item_texts))


def _needed(references: Sequence[str]) -> dict[str, list[str]]:
    needed: dict[str, list[str]] = {}
    for reference in dict.fromkeys(references):
        view, _, name = reference.partition(":")
        needed.setdefault(view, []).append(name)
    return needed


def _check_store(config: Any) -> None:
    version = config.entity_key_serialization_version
    if version != ENTITY_KEY_VERSION:
        message = f"entity_key_serialization_version is {version}: the reader knows {ENTITY_KEY_VERSION}"
        raise InvalidInputError(message)
    if config.online_store.type != "redis":
        message = f"the online store is {config.online_store.type!r}: the reader reads redis"
        raise InvalidInputError(message)
    if config.registry.enable_online_feature_view_versioning:
        message = "enable_online_feature_view_versioning is on: the reader cannot read versioned views"
        raise InvalidInputError(message)


def _check_projection(projection: Any) -> None:
    if projection.name_alias or projection.join_key_map:
        asked = projection.name_alias or f"join keys {dict(projection.join_key_map)}"
        message = (
            f"view {projection.name} is aliased or has mapped join keys ({asked}): the reader reads views as they are"
        )
        raise InvalidInputError(message)
    if projection.version_tag is not None:
        message = f"view {projection.name} is pinned to version {projection.version_tag}: use its latest version"
        raise InvalidInputError(message)


def _entity_of(view: "FeatureView") -> tuple[str, str]:
    """Role and join key of a view."""
    if len(view.entities) != 1 or view.entities[0] not in ROLES or len(view.join_keys) != 1:
        entities = [name for name in view.entities if not name.startswith("__")]
        message = f"view {view.name} has entities {entities}: the reader needs exactly one of {list(ROLES)}"
        raise InvalidInputError(message)
    if not view.online:
        message = f"view {view.name} is not online: set online=True"
        raise InvalidInputError(message)
    return view.entities[0], view.join_keys[0]


def _key_type(view: "FeatureView", key_type: str) -> str:
    if key_type not in KEY_TYPES:
        message = f"view {view.name} has the join key {view.join_keys[0]} of type {key_type}: use {list(KEY_TYPES)}"
        raise InvalidInputError(message)
    return key_type


def _planned(view: "FeatureView", names: Sequence[str], offered: Mapping[str, str]) -> PlannedView:
    from feast.infra.online_stores.helpers import _mmh3

    unknown = [name for name in names if name not in offered]
    if unknown:
        message = f"view {view.name} has no features {unknown}: it offers {sorted(offered)}"
        raise InvalidInputError(message)
    unread = [f"{view.name}:{name} of type {offered[name]}" for name in names if offered[name] not in VALUE_TYPES]
    if unread:
        message = f"the reader cannot read {', '.join(unread)}: use one of {list(VALUE_TYPES)}"
        raise InvalidInputError(message)
    ttl_ms = 0 if view.ttl is None else round(view.ttl.total_seconds() * 1000)
    features = tuple(PlannedFeature(name, _mmh3(f"{view.name}:{name}"), offered[name]) for name in names)
    return PlannedView(view.name, ttl_ms, features)
