"""LinUCB: statistics, packs, choosing, the attribution rule. No I/O, no clock, no global random."""

from learner.attribution import COUNTS, EARLY, LATE, REASONS, UNATTRIBUTED, counting, verdicts
from learner.linucb import FreshArm, LinUCB
from learner.online import OnlineLinUCB
from learner.ope import (
    DEFAULT_BOOTSTRAP,
    Bootstrap,
    Estimate,
    Logged,
    doubly_robust,
    ips,
    policy_probabilities,
    replay,
    snips,
)
from learner.packed import diagonal, pack, quadratic, triangle, unpack
from learner.policy import Choice, choose, uniform
from learner.statistics import EXACT_LIMIT, ArmStats, Statistics, exact_headroom, require_exact

__all__ = [
    "COUNTS",
    "DEFAULT_BOOTSTRAP",
    "EARLY",
    "EXACT_LIMIT",
    "LATE",
    "REASONS",
    "UNATTRIBUTED",
    "ArmStats",
    "Bootstrap",
    "Choice",
    "Estimate",
    "FreshArm",
    "LinUCB",
    "Logged",
    "OnlineLinUCB",
    "Statistics",
    "choose",
    "counting",
    "diagonal",
    "doubly_robust",
    "exact_headroom",
    "ips",
    "pack",
    "policy_probabilities",
    "quadratic",
    "replay",
    "require_exact",
    "snips",
    "triangle",
    "uniform",
    "unpack",
    "verdicts",
]
