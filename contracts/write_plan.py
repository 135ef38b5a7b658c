"""The write plan: what streams write to the online store, compiled from a Feast registry into a file."""

import json
from dataclasses import dataclass

from contracts.errors import FormatError, InvalidInputError
from contracts.plan import PlannedEntity, PlannedView, ReadPlan

WRITE_PLAN_FORMAT = 1


@dataclass(frozen=True, slots=True)
class WritePlan:
    """The views that streams write, whole, in the form of a read plan.

    ``key_ttl_s`` is Feast's ``key_ttl_seconds``: how long Redis keeps an entity behind its last write (0: for ever).

    Raises:
        InvalidInputError: if ``key_ttl_s`` is negative.
    """

    plan: ReadPlan
    key_ttl_s: int = 0

    def __post_init__(self) -> None:
        """Refuse what Redis would."""
        if self.key_ttl_s < 0:
            message = f"key_ttl_s = {self.key_ttl_s}: must be at least 0 (0 keeps entities for ever)"
            raise InvalidInputError(message)

    def find(self, view: str) -> tuple[PlannedEntity, PlannedView] | None:
        """A view and its entity, or None if streams do not write it."""
        return next(
            ((entity, found) for entity in self.plan.entities for found in entity.views if found.name == view), None
        )

    def to_json(self) -> bytes:
        """Write as JSON."""
        document = {
            "version": WRITE_PLAN_FORMAT,
            "key_ttl_s": self.key_ttl_s,
            "plan": json.loads(self.plan.to_json()),
        }
        return json.dumps(document, indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> "WritePlan":
        """Read what ``to_json`` wrote.

        Raises:
            FormatError: if it is not such a document, or of another version.
        """
        try:
            document = json.loads(data)
            version, plan = document["version"], ReadPlan.from_json(json.dumps(document["plan"]).encode())
            found = cls(plan, int(document["key_ttl_s"]))
        except (ValueError, KeyError, TypeError, InvalidInputError) as error:
            message = f"write plan is damaged ({error}): run `backdrop features` again"
            raise FormatError(message) from error
        if version != WRITE_PLAN_FORMAT:
            message = f"write plan is of version {version}, expected {WRITE_PLAN_FORMAT}: run `backdrop features` again"
            raise FormatError(message)
        return found
