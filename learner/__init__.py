"""LinUCB: statistics, packs, choosing, the attribution rule. No I/O, no clock, no global random."""

from learner.attribution import COUNTS, EARLY, LATE, REASONS, UNATTRIBUTED, counting, verdicts
from learner.hybrid import MAX_SHARED_FEATURES, fit_hybrid, tag_vectors
from learner.intervals import wilson
from learner.linucb import FreshArm, LinUCB
from learner.model import DISJOINT, HYBRID, MODELS, ModelSettings
from learner.numerics import ArmNumerics, numerics_of, require_positive
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
from learner.policies import OnlineHybrid, Policy, ThompsonSampling, epsilon_greedy, highest_probability
from learner.policy import Choice, choose, choose_among, uniform, uniform_among
from learner.statistics import EXACT_LIMIT, ArmStats, Statistics, exact_headroom, require_exact

__all__ = [
    "COUNTS",
    "DEFAULT_BOOTSTRAP",
    "DISJOINT",
    "EARLY",
    "EXACT_LIMIT",
    "HYBRID",
    "LATE",
    "MAX_SHARED_FEATURES",
    "MODELS",
    "REASONS",
    "UNATTRIBUTED",
    "ArmNumerics",
    "ArmStats",
    "Bootstrap",
    "Choice",
    "Estimate",
    "FreshArm",
    "LinUCB",
    "Logged",
    "ModelSettings",
    "OnlineHybrid",
    "OnlineLinUCB",
    "Policy",
    "Statistics",
    "ThompsonSampling",
    "choose",
    "choose_among",
    "counting",
    "diagonal",
    "doubly_robust",
    "epsilon_greedy",
    "exact_headroom",
    "fit_hybrid",
    "highest_probability",
    "ips",
    "numerics_of",
    "pack",
    "policy_probabilities",
    "quadratic",
    "replay",
    "require_exact",
    "require_positive",
    "snips",
    "tag_vectors",
    "triangle",
    "uniform",
    "uniform_among",
    "unpack",
    "verdicts",
    "wilson",
]
