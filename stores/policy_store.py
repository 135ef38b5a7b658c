"""The traffic policy and the state of arms: what an operator changes while all runs."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, get_args

import redis
import redis.asyncio

from contracts import FormatError, InvalidInputError, StoreError, TrafficPolicy, check_name, keys
from stores.connect import command, command_async, translated
from stores.creative_index import index_fields
from stores.round_trip import Wire, pack_command

Status = Literal["active", "paused", "retired"]
STATUSES: tuple[Status, ...] = get_args(Status)

# Compares the version inside the stored document, so that two operators cannot overwrite each other unseen.
_PUT_IF_VERSION = """
local stored = redis.call('GET', KEYS[1])
local version = 0
if stored then version = cjson.decode(stored)['version'] end
if version ~= tonumber(ARGV[1]) then return version end
redis.call('SET', KEYS[1], ARGV[2])
return -1
"""
_WRITTEN = -1
# Categories read in one round trip.
_AT_ONCE = 200

# Whether an arm rests is the operator's to say, whatever the tags: the stored status stays.
_REGISTER = """
local damaged = {}
for i = 1, #ARGV, 2 do
  local stored = redis.call('HGET', KEYS[1], ARGV[i])
  local status = 'active'
  if stored then
    local good, plain = pcall(cjson.decode, stored)
    status = good and type(plain) == 'table' and plain['status']
  end
  if type(status) == 'string' then
    redis.call('HSET', KEYS[1], ARGV[i], '{"status":' .. cjson.encode(status) .. ',"tags":' .. ARGV[i + 1] .. '}')
  else
    damaged[#damaged + 1] = ARGV[i]
  end
end
return damaged
"""


@dataclass(frozen=True, slots=True)
class ArmStatus:
    """Whether an arm is chosen (``active``), rests (``paused``) or is over (``retired``), and its fixed tags."""

    status: Status = "active"
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Refuse an unknown status.

        Raises:
            InvalidInputError: naming the status and those there are.
        """
        if self.status not in STATUSES:
            message = f"arm status {self.status!r} is not known: use {', '.join(STATUSES)}"
            raise InvalidInputError(message)


class PolicyStore:
    """Traffic policy (one document) and arms (hash arm → status and tags of a category), in Redis."""

    def __init__(self, client: redis.Redis) -> None:
        """Use ``client`` (replies as bytes)."""
        self._client = client

    def get(self) -> TrafficPolicy:
        """The traffic policy in force; the default one, as version 0, if none was ever put.

        Raises:
            InvalidInputError: if the stored document is damaged.
            UnavailableError: if Redis did not answer.
        """
        with translated("read the traffic policy"):
            return _policy(command(self._client, "GET", keys.POLICY))

    def put(self, policy: TrafficPolicy, *, replacing: int | None = None) -> None:
        """Put a policy in force; ``replacing`` is the version that must be there (0: none), None does not ask.

        Raises:
            StoreError: if another version is in force than the one to replace.
            UnavailableError: if Redis did not answer.
        """
        with translated("write the traffic policy"):
            if replacing is None:
                command(self._client, "SET", keys.POLICY, policy.to_json())
                return
            found = int(command(self._client, "EVAL", _PUT_IF_VERSION, 1, keys.POLICY, replacing, policy.to_json()))
        if found != _WRITTEN:
            message = f"traffic policy version {found} is in force, not {replacing}: read it and change that one"
            raise StoreError(message)

    def change(self, edit: Callable[[TrafficPolicy], TrafficPolicy]) -> TrafficPolicy:
        """Put ``edit`` of the policy in force in its place, as the next version; returns what is in force then.

        Raises:
            InvalidInputError: if the stored document is damaged, or the edit is not valid.
            StoreError: if someone else changed it meanwhile.
            UnavailableError: if Redis did not answer.
        """
        current = self.get()
        changed = replace(edit(current), version=current.version + 1)
        self.put(changed, replacing=current.version)
        return changed

    def arms(self, category: str) -> dict[str, ArmStatus]:
        """Arms of a category, empty if none is known.

        Raises:
            FormatError: if a stored status is damaged.
            UnavailableError: if Redis did not answer.
        """
        with translated("read arms"):
            return _arms(command(self._client, "HGETALL", keys.arms(check_name("category", category))))

    def tags(self, category: str) -> dict[str, Mapping[str, str]]:
        """Tags by arm of a category; may raise what ``arms`` raises."""
        return {arm: state.tags for arm, state in self.arms(category).items()}

    def set_arm(self, category: str, arm: str, status: ArmStatus) -> None:
        """Write the status and tags of one arm."""
        self.set_arms(category, {arm: status})

    def set_arms(self, category: str, arms: Mapping[str, ArmStatus]) -> None:
        """Write the status and tags of arms; others stay.

        Raises:
            InvalidInputError: if a name is not valid.
            UnavailableError: if Redis did not answer.
        """
        fields = [word for arm, status in arms.items() for word in (check_name("arm", arm), _encode(status))]
        if fields:
            with translated("write arms"):
                command(self._client, "HSET", keys.arms(check_name("category", category)), *fields)

    def register_arms(self, category: str, tags: Mapping[str, Mapping[str, str]]) -> None:
        """Write the tags of arms; the status of one that is known stays, a new one is active. All at one instant.

        Raises:
            InvalidInputError: if a name is not valid.
            FormatError: if a stored status is damaged: that arm stays as it is, the others are written.
            UnavailableError: if Redis did not answer.
        """
        words = [word for arm, each in tags.items() for word in (check_name("arm", arm), _json(dict(each)))]
        if not words:
            return
        with translated("register arms"):
            name = keys.arms(check_name("category", category))
            damaged = command(self._client, "EVAL", _REGISTER, 1, name, *words)
        if damaged:
            message = (
                f"status of arms {[arm.decode() for arm in damaged]} of {category!r} is damaged: write it anew "
                "(active, paused or retired), then their tags can be registered"
            )
            raise FormatError(message)


class AsyncPolicyStore:
    """The reading side of ``PolicyStore`` for asyncio."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        """Use ``client`` (replies as bytes)."""
        self._client = client
        self._wire = Wire(client)

    async def get(self) -> TrafficPolicy:
        """The traffic policy in force; the default one, as version 0, if none was ever put.

        Raises:
            InvalidInputError: if the stored document is damaged.
            UnavailableError: if Redis did not answer.
        """
        with translated("read the traffic policy"):
            return _policy(await command_async(self._client, "GET", keys.POLICY))

    async def arms(self, category: str) -> dict[str, ArmStatus]:
        """Arms of a category, empty if none is known.

        Raises:
            FormatError: if a stored status is damaged.
            UnavailableError: if Redis did not answer.
        """
        with translated("read arms"):
            return _arms(await command_async(self._client, "HGETALL", keys.arms(check_name("category", category))))

    async def arms_of(self, categories: Sequence[str]) -> list[dict[str, ArmStatus] | FormatError | StoreError]:
        """As ``arms`` for many categories in few round trips; the error in place of what is damaged.

        Raises:
            UnavailableError: if Redis did not answer.
        """
        found: list[dict[str, ArmStatus] | FormatError | StoreError] = []
        for start in range(0, len(categories), _AT_ONCE):
            names = [keys.arms(each).encode() for each in categories[start : start + _AT_ONCE]]
            replies = await self._wire.ask_each([pack_command(b"HGETALL", name) for name in names], "read arms")
            found += [each if isinstance(each, StoreError) else _arms_or_error(index_fields(each)) for each in replies]
        return found


def _policy(stored: bytes | None) -> TrafficPolicy:
    return TrafficPolicy(version=0) if stored is None else TrafficPolicy.from_json(stored)


def _arms(found: Mapping[bytes, bytes]) -> dict[str, ArmStatus]:
    return {_name(arm): _decode(data) for arm, data in sorted(found.items())}


def _name(arm: bytes) -> str:
    try:
        return arm.decode()
    except UnicodeDecodeError as error:
        message = f"arm name {arm[:120]!r} is damaged"
        raise FormatError(message) from error


def _arms_or_error(fields: Iterable[bytes]) -> dict[str, ArmStatus] | FormatError:
    alternating = iter(fields)
    try:
        return _arms(dict(zip(alternating, alternating, strict=True)))
    except FormatError as error:
        return error


def _encode(status: ArmStatus) -> bytes:
    return _json({"status": status.status, "tags": dict(status.tags)})


def _json(plain: Mapping[str, object]) -> bytes:
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def _decode(data: bytes) -> ArmStatus:
    try:
        plain = json.loads(data)
        tags = {str(name): str(value) for name, value in plain["tags"].items()}
        return ArmStatus(plain["status"], MappingProxyType(tags))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = f"arm status {data[:120]!r} is damaged: {error!r}"
        raise FormatError(message) from error
