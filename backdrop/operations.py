"""What an operator does to a running system, by command or over the admin port: one function each."""

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from backdrop.models import arms_with_statistics, lineage_named, overview
from contracts import InvalidInputError, LineageError, TrafficPolicy
from stores import ArmStatus, PolicyStore, RedisEventLog, StatisticsStore, connect, progress_of
from stores.policy_store import Status

if TYPE_CHECKING:
    import redis

_LARGEST = 50


def change_arm(client: "redis.Redis", category: str, arm: str, status: Status, *, new: bool) -> str:
    """Give an arm a status and return the one it had; ``new`` allows one that nobody has heard of.

    Raises:
        InvalidInputError: if a name is not valid, or the arm is not known.
        UnavailableError: if Redis did not answer.
    """
    store = PolicyStore(client)
    states = store.arms(category)
    known = {*states, *arms_with_statistics(client, category)}
    if arm not in known and not new:
        message = (
            f"arm {arm!r} of category {category!r} is not known (known: {', '.join(sorted(known)) or 'none'}): "
            "check the name, or say that it is new (--new)"
        )
        raise InvalidInputError(message)
    before = states.get(arm, ArmStatus())
    store.set_arm(category, arm, replace(before, status=status))
    return before.status


@dataclass(frozen=True, slots=True)
class Operations:
    """What the admin port does, with a connection for each call; every method may raise ``UnavailableError``."""

    redis_url: str
    partitions: int

    def models(self) -> dict[str, Any]:
        """What ``backdrop models --json`` prints; without categories while no lineage is served."""
        with connect(self.redis_url) as client:
            try:
                name = lineage_named(client, None)
            except LineageError as error:
                return {"head": None, "rows": [], "more": 0, "detail": str(error)}
            progress = progress_of(StatisticsStore(client, name), RedisEventLog(client, self.partitions))
            return asdict(overview(client, name, progress, _LARGEST))

    def policy(self) -> TrafficPolicy:
        """The traffic policy in force."""
        with connect(self.redis_url) as client:
            return PolicyStore(client).get()

    def put_split(self, version: int, split: dict[str, float]) -> TrafficPolicy:
        """Give the policy of ``version`` another split; returns what is in force then.

        Raises:
            InvalidInputError: if the split is none.
            StoreError: if another version is in force.
        """
        with connect(self.redis_url) as client:
            store = PolicyStore(client)
            changed = replace(store.get(), split=split, version=version + 1)
            store.put(changed, replacing=version)
            return changed

    def set_arm(self, category: str, arm: str, status: Status, *, new: bool) -> str:
        """``change_arm``."""
        with connect(self.redis_url) as client:
            return change_arm(client, category, arm, status, new=new)
