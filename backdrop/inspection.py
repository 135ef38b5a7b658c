"""What ``backdrop inspect`` tells: one category arm by arm, what it was chosen for and how sure the model is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backdrop.models import LineageHead, Rate, head_of, read_category
from contracts import LINUCB, CountKey, FormatError, InvalidInputError
from learner import LinUCB, Statistics, numerics_of, unpack
from stores import ArmStatus, PolicyStore, RecordView, StatisticsStore

if TYPE_CHECKING:
    import redis

    from stores import Progress

TOP = 3
BIAS = "bias"

Weight = tuple[str, float]


@dataclass(frozen=True, slots=True)
class ArmReport:
    """One arm. ``share`` of what linucb chose; ``mean`` and ``width`` (θᵀx and √(xᵀA⁻¹x)) at the average context x.

    ``weight`` is n as forgetting has left it; ``raising`` and ``lowering`` are θ's largest entries of either sign.
    ``condition`` is that of A, ``headroom`` the share of the exact-sum range still free. None: not known.
    """

    arm: str
    status: str
    tags: Mapping[str, str]
    rate: Rate
    share: float | None
    weight: float
    mean: float | None
    width: float | None
    raising: tuple[Weight, ...]
    lowering: tuple[Weight, ...]
    condition: float
    headroom: float


@dataclass(frozen=True, slots=True)
class CountRow:
    """What one policy showed in one placement."""

    policy: str
    placement: str
    rate: Rate


@dataclass(frozen=True, slots=True)
class Inspection:
    """A category; ``generation`` of the pack that was asked (0: none, the model was fitted from the statistics)."""

    head: LineageHead
    category: str
    d: int
    alpha: float
    epsilon: float
    ridge: float
    generation: int
    average_context: tuple[Weight, ...] | None
    arms: tuple[ArmReport, ...]
    counts: tuple[CountRow, ...]
    damage: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Model:
    """Statistics of all arms, the model that is asked, the average context (d,) and its arms' means and widths."""

    statistics: Statistics
    scorer: LinUCB
    context: NDArray[np.float64] | None
    means: NDArray[np.float64]
    widths: NDArray[np.float64]


def inspect_category(
    client: "redis.Redis", lineage: str, category: str, progress: "Progress", *, names: Sequence[str], ridge: float
) -> Inspection:
    """Look at one category; ``names`` label the d context entries (none: numbers), ``ridge`` is for want of a pack.

    Raises:
        LineageError: if there is no such lineage.
        InvalidInputError: if it knows no such category.
        UnavailableError: if Redis did not answer.
    """
    store, policies = StatisticsStore(client, lineage), PolicyStore(client)
    settings, known = store.settings(), store.categories()
    states, traffic = policies.arms(category), policies.get()
    if category not in known and not states:
        message = f"category {category!r} has neither statistics nor arms: lineage {lineage!r} knows {_some(known)}"
        raise InvalidInputError(message)
    found = read_category(store, category, settings)
    labels = tuple(names) if len(names) == settings.d else tuple(f"x[{i}]" for i in range(settings.d))
    sums = Statistics.zero(settings.d)
    for blob in found.blobs:
        sums = sums.merge(Statistics(blob.arms, blob.n, blob.reward, blob.gram, blob.moment))
    arms = tuple(sorted({*sums.arms, *states}))
    scorer, damage = _scorer(RecordView(client, lineage).pack(category), sums, traffic.alpha_of(category), ridge)
    model = _asked(sums.aligned(arms), scorer, labels)
    counts = found.counts()
    return Inspection(
        head=head_of(client, store, progress, len(known)),
        category=category,
        d=settings.d,
        alpha=traffic.alpha_of(category),
        epsilon=traffic.epsilon_of(category),
        ridge=scorer.ridge,
        generation=scorer.generation,
        average_context=None if model.context is None else tuple(zip(labels, model.context.tolist(), strict=True)),
        arms=_arms(model, states, counts, labels),
        counts=_counts(counts),
        damage=(*found.damage, *damage),
    )


def _scorer(pack: bytes | None, sums: Statistics, alpha: float, ridge: float) -> tuple[LinUCB, tuple[str, ...]]:
    """The model that is served, or one fitted now where there is none that can be read."""
    damage: tuple[str, ...] = ()
    if pack is not None:
        try:
            served = LinUCB.from_arrow(pack)
        except FormatError as error:
            damage = (f"pack: {error}",)
        else:
            if served.d == sums.d:
                return served, ()
            damage = (f"pack: d = {served.d}, the lineage has {sums.d}",)
    return LinUCB.fit_statistics(sums, alpha=alpha, ridge=ridge, dtype=np.float64), damage


def _asked(sums: Statistics, served: LinUCB, labels: Sequence[str]) -> _Model:
    scorer = served.aligned(sums.arms)
    context = average_context(sums, labels)
    if context is None:
        nothing = np.full(len(sums.arms), np.nan)
        return _Model(sums, scorer, None, nothing, nothing)
    means = scorer.means(context[None])[0].astype(np.float64)
    return _Model(sums, scorer, context, means, scorer.scores(context, alpha=1.0).astype(np.float64) - means)


def average_context(sums: Statistics, labels: Sequence[str]) -> NDArray[np.float64] | None:
    """Mean context (d,) of all decisions shown: the bias entry's row of G is Σ x, because there x is always 1.

    None where nothing was shown or no entry is a bias (without names: none with Σ x² = n in every arm).
    """
    total = float(sums.n.sum())
    grams = unpack(sums.gram, sums.d)
    always_one = np.flatnonzero((grams[:, range(sums.d), range(sums.d)] == sums.n[:, None]).all(axis=0))
    named = [place for place in always_one.tolist() if labels[place] == BIAS]
    places = named or always_one.tolist()
    if total <= 0 or not places:
        return None
    mean: NDArray[np.float64] = grams[:, places[0], :].sum(axis=0) / total
    return mean


def _arms(
    model: _Model,
    states: Mapping[str, ArmStatus],
    counts: Mapping[CountKey, tuple[float, float]],
    labels: Sequence[str],
) -> tuple[ArmReport, ...]:
    sums = model.statistics
    chosen = {
        arm: sum(n for (policy, of, _), (n, _) in counts.items() if (policy, of) == (LINUCB, arm)) for arm in sums.arms
    }
    all_chosen = sum(chosen.values())
    numerics = numerics_of(sums, ridge=model.scorer.ridge)
    reports = []
    for i, arm in enumerate(sums.arms):
        state = states.get(arm, ArmStatus())
        own = [pair for (_, of, _), pair in counts.items() if of == arm]
        raising, lowering = _top(model.scorer.theta[i].astype(np.float64), labels)
        reports.append(
            ArmReport(
                arm=arm,
                status=state.status,
                tags=dict(state.tags),
                rate=Rate.of(sum(shown for shown, _ in own), sum(clicks for _, clicks in own)),
                share=chosen[arm] / all_chosen if all_chosen else None,
                weight=float(sums.n[i]),
                mean=None if model.context is None else float(model.means[i]),
                width=None if model.context is None else float(model.widths[i]),
                raising=raising,
                lowering=lowering,
                condition=numerics[i].condition,
                headroom=1.0 - numerics[i].exact_used,
            )
        )
    return tuple(reports)


def _top(theta: NDArray[np.float64], labels: Sequence[str]) -> tuple[tuple[Weight, ...], tuple[Weight, ...]]:
    order = np.argsort(theta, kind="stable").tolist()
    raising = tuple((labels[i], float(theta[i])) for i in reversed(order[-TOP:]) if theta[i] > 0)
    lowering = tuple((labels[i], float(theta[i])) for i in order[:TOP] if theta[i] < 0)
    return raising, lowering


def _counts(counts: Mapping[CountKey, tuple[float, float]]) -> tuple[CountRow, ...]:
    pairs = sorted({(policy, placement) for policy, _, placement in counts})
    return tuple(
        CountRow(
            policy,
            placement,
            Rate.of(
                *(
                    sum(pair[at] for (of, _, where), pair in counts.items() if (of, where) == (policy, placement))
                    for at in (0, 1)
                )
            ),
        )
        for policy, placement in pairs
    )


def _some(names: Sequence[str], most: int = 10) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
