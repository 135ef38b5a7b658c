"""The read plan: what the online reader asks Redis for, compiled from a Feast registry into a file.

Keys and fields are Feast's own: key = entity key of version 3 + project, field = murmur3 of "view:feature",
beside them ``_ts:<view>`` with the row's event time.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts.errors import FormatError, InvalidInputError

PLAN_FORMAT = 1
ENTITY_KEY_VERSION = 3
ROLES = ("user", "item", "placement")
# Feast's value types that the reader decodes, with the numbers of its ValueType.
VALUE_TYPES: Mapping[str, int] = {
    "STRING": 2,
    "INT32": 3,
    "INT64": 4,
    "DOUBLE": 5,
    "FLOAT": 6,
    "BOOL": 7,
    "UNIX_TIMESTAMP": 8,
}
KEY_TYPES = ("STRING", "INT32", "INT64")

_U32 = struct.Struct("<I")
_KEY_VALUES: Mapping[str, struct.Struct] = {"INT32": struct.Struct("<i"), "INT64": struct.Struct("<q")}


@dataclass(frozen=True, slots=True)
class PlannedFeature:
    """One feature: ``field`` is its hash field in Redis, ``value_type`` Feast's name of its type."""

    name: str
    field: bytes
    value_type: str


@dataclass(frozen=True, slots=True)
class PlannedView:
    """The features needed of one view; values older than ``ttl_ms`` are stale (0: never)."""

    name: str
    ttl_ms: int
    features: tuple[PlannedFeature, ...]

    @property
    def timestamp_field(self) -> bytes:
        """Hash field of the event time."""
        return f"_ts:{self.name}".encode()


@dataclass(frozen=True, slots=True)
class PlannedEntity:
    """What is read of one entity; ``role`` is user, item or placement, ``key_type`` Feast's type of its join key."""

    role: str
    join_key: str
    key_type: str
    views: tuple[PlannedView, ...]


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """All that is read for a decision. ``item_texts`` are the texts ("view:feature") that serving needs of an item.

    Raises:
        InvalidInputError: if a role, type or field is unknown, or something is there twice.
    """

    project: str
    entities: tuple[PlannedEntity, ...]
    item_texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what the reader could not read."""
        roles = [entity.role for entity in self.entities]
        if len(set(roles)) != len(roles) or not set(roles) <= set(ROLES):
            message = f"read plan has entities {roles}: use each of {list(ROLES)} at most once"
            raise InvalidInputError(message)
        names = [reference for entity in self.entities for reference in references_of(entity)]
        if len(set(names)) != len(names):
            message = f"read plan names a feature twice: {sorted(names)}"
            raise InvalidInputError(message)
        for entity in self.entities:
            _check_entity(entity)
        items = {name for entity in self.entities if entity.role == "item" for name in references_of(entity)}
        missing = sorted(set(self.item_texts) - items)
        if missing:
            message = f"read plan has no item features {missing}, which serving needs"
            raise InvalidInputError(message)

    @property
    def references(self) -> tuple[str, ...]:
        """Every feature read, "view:feature"."""
        return tuple(name for entity in self.entities for name in references_of(entity))

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the plan's canonical JSON."""
        canonical = json.dumps(self._document(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_json(self) -> bytes:
        """Write the plan, with its fingerprint, as JSON."""
        document = {**self._document(), "fingerprint": self.fingerprint}
        return json.dumps(document, indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> "ReadPlan":
        """Read what ``to_json`` wrote.

        Raises:
            FormatError: if it is not such a document or its fingerprint does not fit.
        """
        try:
            document = json.loads(data)
            plan = cls(
                project=document["project"],
                entities=tuple(_entity_from(plain) for plain in document["entities"]),
                item_texts=tuple(document["item_texts"]),
            )
            versions = (document["version"], document["entity_key_version"], document["fingerprint"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"read plan is damaged ({error}): compile it again"
            raise FormatError(message) from error
        if versions != (PLAN_FORMAT, ENTITY_KEY_VERSION, plan.fingerprint):
            message = (
                f"read plan has version, key version and fingerprint {versions}, "
                f"expected {(PLAN_FORMAT, ENTITY_KEY_VERSION, plan.fingerprint)}: compile it again"
            )
            raise FormatError(message)
        return plan

    def _document(self) -> dict[str, object]:
        return {
            "version": PLAN_FORMAT,
            "entity_key_version": ENTITY_KEY_VERSION,
            "project": self.project,
            "entities": [_entity_plain(entity) for entity in self.entities],
            "item_texts": list(self.item_texts),
        }


def references_of(entity: PlannedEntity) -> tuple[str, ...]:
    """The features read of an entity, "view:feature"."""
    return tuple(f"{view.name}:{feature.name}" for view in entity.views for feature in view.features)


def key_prefix(join_key: str, key_type: str) -> bytes:
    """Start of a Feast entity key of version 3 with one join key: all that comes before the value's length."""
    name = join_key.encode()
    return b"".join(
        (
            _U32.pack(1),
            _U32.pack(VALUE_TYPES["STRING"]),
            _U32.pack(len(name)),
            name,
            _U32.pack(VALUE_TYPES[key_type]),
        )
    )


def key_value(key_type: str, value: str) -> bytes:
    """Length and value of an entity key: text as UTF-8, integers little-endian.

    Raises:
        InvalidInputError: if the key is an integer and ``value`` is not one of its range.
    """
    form = _KEY_VALUES.get(key_type)
    try:
        data = value.encode() if form is None else form.pack(int(value))
    except (ValueError, struct.error) as error:
        message = f"entity key {value[:80]!r} is not a valid {key_type}"
        raise InvalidInputError(message) from error
    return _U32.pack(len(data)) + data


def entity_key(entity: PlannedEntity, project: str, value: str) -> bytes:
    """The Redis key under which Feast keeps an entity's row.

    Raises:
        InvalidInputError: if ``value`` cannot be a key of this type.
    """
    return key_prefix(entity.join_key, entity.key_type) + key_value(entity.key_type, value) + project.encode()


def _check_entity(entity: PlannedEntity) -> None:
    if entity.key_type not in KEY_TYPES:
        message = f"entity {entity.role} has a join key of type {entity.key_type}: the reader knows {list(KEY_TYPES)}"
        raise InvalidInputError(message)
    for view in entity.views:
        if view.ttl_ms < 0 or not view.features:
            message = f"view {view.name} has a TTL of {view.ttl_ms} ms and {len(view.features)} features"
            raise InvalidInputError(message)
        for feature in view.features:
            if feature.value_type not in VALUE_TYPES:
                message = f"{view.name}:{feature.name} has type {feature.value_type}: use one of {list(VALUE_TYPES)}"
                raise InvalidInputError(message)


def _entity_plain(entity: PlannedEntity) -> dict[str, object]:
    views = [
        {
            "name": view.name,
            "ttl_ms": view.ttl_ms,
            "features": [
                {"name": feature.name, "field": feature.field.hex(), "value_type": feature.value_type}
                for feature in view.features
            ],
        }
        for view in entity.views
    ]
    return {"role": entity.role, "join_key": entity.join_key, "key_type": entity.key_type, "views": views}


def _entity_from(plain: Mapping[str, Any]) -> PlannedEntity:
    views = tuple(
        PlannedView(
            name=str(view["name"]),
            ttl_ms=int(view["ttl_ms"]),
            features=tuple(
                PlannedFeature(str(each["name"]), bytes.fromhex(each["field"]), str(each["value_type"]))
                for each in view["features"]
            ),
        )
        for view in plain["views"]
    )
    return PlannedEntity(str(plain["role"]), str(plain["join_key"]), str(plain["key_type"]), views)
