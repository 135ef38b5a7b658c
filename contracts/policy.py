"""Policies and the traffic split: the document under ``bd:policy``."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from contracts.errors import InvalidInputError

ORIGINAL = "original"
RANDOM = "random"
LINUCB = "linucb"
POLICIES = (ORIGINAL, RANDOM, LINUCB)

# Scores must stay finite in float32.
MAX_ALPHA = 1e9
_HASH_RANGE = float(1 << 64)
# Where policies lie between 0 and 1. Moving a share between neighbours moves that share of the users and nobody else;
# no order can do so for all three pairs, and linucb is the one whose share is moved.
_ALONG = (ORIGINAL, LINUCB, RANDOM)


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """Who decides for whom: ``split`` maps policy to share (sum 1), sticky by user through ``salt``.

    ``alpha`` and ``epsilon`` hold per-category overrides of the defaults. ``include_original`` lets
    ``random`` and ``linucb`` choose the untouched photo, too.
    """

    version: int = 1
    salt: str = "backdrop"
    split: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({ORIGINAL: 1 / 3, RANDOM: 1 / 3, LINUCB: 1 / 3})
    )
    default_alpha: float = 0.1
    default_epsilon: float = 0.0
    alpha: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    epsilon: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    include_original: bool = False

    def __post_init__(self) -> None:
        """Refuse unknown policies, negative shares, shares that do not sum to 1, and bad alpha or epsilon.

        Raises:
            InvalidInputError: naming the value and the rule.
        """
        unknown = sorted(set(self.split) - set(POLICIES))
        if unknown:
            message = f"unknown policies {unknown} in the traffic split: use {list(POLICIES)}"
            raise InvalidInputError(message)
        shares = list(self.split.values())
        if any(not math.isfinite(share) or share < 0 for share in shares) or not math.isclose(
            sum(shares), 1.0, abs_tol=1e-6
        ):
            message = f"traffic split {dict(self.split)} must have shares of at least 0 that sum to 1"
            raise InvalidInputError(message)
        for name, values, limit in (
            ("alpha", (self.default_alpha, *self.alpha.values()), MAX_ALPHA),
            ("epsilon", (self.default_epsilon, *self.epsilon.values()), 1.0),
        ):
            bad = [value for value in values if not (math.isfinite(value) and 0 <= value <= limit)]
            if bad:
                message = f"{name} = {bad[0]}: must be between 0 and {limit}"
                raise InvalidInputError(message)

    def policy_of(self, user: str) -> str:
        """The policy that decides for ``user``: the same at every call while salt and split stay."""
        digest = hashlib.blake2b(f"{self.salt}\0{user}".encode(), digest_size=8).digest()
        point = int.from_bytes(digest, "big") / _HASH_RANGE
        total = 0.0
        chosen = ORIGINAL
        for policy in _ALONG:
            share = self.split.get(policy, 0.0)
            if share > 0:
                chosen = policy
                total += share
                if point < total:
                    break
        return chosen

    def alpha_of(self, category: str) -> float:
        """Exploration weight of a category."""
        return self.alpha.get(category, self.default_alpha)

    def epsilon_of(self, category: str) -> float:
        """Share of uniformly random choices of a category."""
        return self.epsilon.get(category, self.default_epsilon)

    def to_json(self) -> bytes:
        """Write as canonical JSON."""
        plain = {
            name: dict(value) if isinstance(value, Mapping) else value
            for name, value in ((name, getattr(self, name)) for name in self.__dataclass_fields__)
        }
        return json.dumps(plain, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "TrafficPolicy":
        """Read what ``to_json`` wrote.

        Raises:
            InvalidInputError: if it is not such a document.
        """
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            message = f"traffic policy document is not valid: {error}"
            raise InvalidInputError(message) from error
