"""What `backdrop demo` is told, and what it found."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from contracts import POLICIES, InvalidInputError
from demo.measure import Phase
from demo.report import Report
from demo.shop import CATALOGUE
from demo.shoppers import Pace
from demo.visits import Habits

LINEAGE = "demo"
WINDOW_S, ATTRIBUTION_S, GRACE_S = 10, 20, 5
PREFERRED_PORT = 8088

# On a machine that cannot keep the pace, a run without --decisions ends its traffic here rather than after minutes.
DECISIONS = 100_000
ENOUGH_DECISIONS = 60_000
TRAFFIC_S = 165.0

# LinUCB shows itself with little traffic, since everybody's clicks teach it; a random picture's +15 % needs more.
SHARES: Mapping[str, float] = MappingProxyType({"original": 0.4, "random": 0.4, "linucb": 0.2})


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """One run of the demo.

    ``home`` holds all its state (pictures stay for the next run). ``port`` None takes 8088 or, if that is taken,
    a free one. ``split`` maps policies to shares of shoppers (sum 1). ``decisions`` None is the world's default.
    """

    home: Path = Path(".backdrop/demo")
    seed: int = 1
    decisions: int | None = None
    split: Mapping[str, float] = field(default_factory=lambda: SHARES)
    world: str = "demo"
    keep: bool = False
    port: int | None = None
    catalogue: Path = CATALOGUE
    shoppers: int = 8_000
    ads_on_a_page: int = 4
    alpha: float = 0.1
    pace: Pace = field(default_factory=Pace)
    habits: Habits = field(default_factory=Habits)
    workers: int = 2

    def __post_init__(self) -> None:
        """Refuse what cannot be run.

        Raises:
            InvalidInputError: naming the value and the limit.
        """
        if self.decisions is not None and self.decisions < 1:
            message = f"{self.decisions} decisions: must be at least 1"
            raise InvalidInputError(message)
        if self.seed < 0:
            message = f"seed {self.seed}: must be at least 0"
            raise InvalidInputError(message)

    @property
    def traffic_pace(self) -> Pace:
        """The pace, with its end where no number of decisions was asked for."""
        if self.decisions is not None:
            return self.pace
        return replace(self.pace, limit_s=TRAFFIC_S, enough=ENOUGH_DECISIONS)

    @property
    def policies(self) -> tuple[str, ...]:
        """Policies that serve, in the order of tables."""
        return tuple(name for name in POLICIES if self.split.get(name, 0) > 0)


@dataclass(frozen=True, slots=True)
class TrafficFigures:
    """What the traffic phase came to; lags in seconds are from an acknowledged event to the model served.

    ``problems`` counts requests that failed, ``flags`` decisions by what the server said of them.
    """

    decisions: int
    wall_s: float
    decisions_per_s: float
    facts: int
    peak_folded_per_s: float
    lag_mean_s: float | None
    lag_p95_s: float | None
    problems: Mapping[str, int]
    flags: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What a run found. ``traffic`` is None and ``phases`` is short for the world that runs in process."""

    seed: int
    world: str
    report: Report
    traffic: TrafficFigures | None = None
    phases: tuple[Phase, ...] = ()
    generated: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the streaming state was the replayed one (true where there was no stream)."""
        return self.report.identity is None or self.report.identity.identical

    def to_plain(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "seed": self.seed,
            "world": self.world,
            "report": self.report.to_plain(),
            "traffic": None if self.traffic is None else {**asdict(self.traffic)},
            "phases": [asdict(phase) for phase in self.phases],
            "generated": dict(self.generated),
        }


def shares_of(policies: Sequence[str]) -> dict[str, float]:
    """Default shares of some policies, scaled to sum 1.

    Raises:
        InvalidInputError: if there is none, or one is not known.
    """
    unknown = sorted(set(policies) - set(POLICIES))
    if unknown or not policies:
        message = f"policies {unknown or '(none)'} are not known: name one or more of {', '.join(POLICIES)}"
        raise InvalidInputError(message)
    total = sum(SHARES[name] for name in set(policies))
    return {name: SHARES[name] / total for name in POLICIES if name in policies}
