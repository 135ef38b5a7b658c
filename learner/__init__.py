"""LinUCB: statistics, packs, choosing, the attribution rule. No I/O, no clock, no global random."""

from learner.attribution import COUNTS, EARLY, LATE, REASONS, UNATTRIBUTED, counting, verdicts
from learner.linucb import LinUCB
from learner.online import OnlineLinUCB
from learner.packed import diagonal, pack, quadratic, triangle, unpack
from learner.policy import Choice, choose, uniform
from learner.statistics import EXACT_LIMIT, ArmStats, Statistics, exact_headroom, require_exact

__all__ = [
    "COUNTS",
    "EARLY",
    "EXACT_LIMIT",
    "LATE",
    "REASONS",
    "UNATTRIBUTED",
    "ArmStats",
    "Choice",
    "LinUCB",
    "OnlineLinUCB",
    "Statistics",
    "choose",
    "counting",
    "diagonal",
    "exact_headroom",
    "pack",
    "quadratic",
    "require_exact",
    "triangle",
    "uniform",
    "unpack",
    "verdicts",
]
