"""What LinUCB would have earned on logged decisions, had it learned from the log before them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.learn.closing import total
from beam_pipelines.replay.outcomes import Outcomes, outcomes
from beam_pipelines.replay.state import LineageState, replay
from contracts import LineageSettings, LogEntry
from learner import Bootstrap, Estimate, LinUCB, Logged, ModelSettings, doubly_robust, ips, policy_probabilities, snips

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to choose that is evaluated: LinUCB with these settings; ``tags_of`` gives a category's tags by arm."""

    alpha: float = 0.1
    epsilon: float = 0.0
    model: ModelSettings = field(default_factory=ModelSettings)
    tags_of: Callable[[str], Mapping[str, Mapping[str, str]]] = lambda _: {}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Of one category (``""``: of all): how many decisions, what was earned on them, and the estimates."""

    category: str
    decisions: int
    logged: float
    estimates: tuple[Estimate, ...]


def evaluate(
    entries: Callable[[], Iterable[LogEntry]],
    settings: LineageSettings,
    candidate: Candidate,
    *,
    policy: str,
    learn_until_ms: int,
    until_ms: int,
    bootstrap: Bootstrap,
) -> list[Evaluation]:
    """Learn from the log before ``learn_until_ms``, evaluate on decisions of ``policy`` made after it.

    ``entries`` gives the log in order, as for ``replay``. The model has seen none of the decisions on which it is
    judged, nor learns from them: a learner that follows would do better. Decisions whose clicks are not complete at
    log time ``until_ms`` are left out. The whole comes first, then each category.

    Raises:
        InvalidInputError: if entries are out of order.
        GapError: if entries are missing.
    """
    state = replay(entries(), settings, lineage="evaluation", watermark_ms=learn_until_ms)
    found = outcomes(entries(), settings, policy=policy, from_ms=learn_until_ms, until_ms=until_ms)
    if len(found) == 0:
        return []
    target, predicted, expected = _judge(found, packs_of(state, settings.d, candidate), candidate)
    groups: list[tuple[str, NDArray[np.bool_]]] = [("", np.ones(len(found), dtype=np.bool_))]
    groups += [(name, found.category == code) for code, name in enumerate(found.categories)]
    return [
        _evaluation(name, found.of(rows), target[rows], predicted[rows], expected[rows], bootstrap)
        for name, rows in groups
    ]


def packs_of(state: LineageState, d: int, candidate: Candidate) -> dict[str, LinUCB]:
    """What each category of a replayed lineage would be served with."""
    packs = {}
    for name, category in state.categories.items():
        blobs = [*([category.base] if category.base is not None else []), *category.deltas.values()]
        packs[name] = candidate.model.fit(total(blobs, d), alpha=candidate.alpha, tags=candidate.tags_of(name))
    return packs


def _judge(
    found: Outcomes, packs: Mapping[str, LinUCB], candidate: Candidate
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Probability that the candidate chooses the arm logged, the model's value of that arm, and of the candidate."""
    n = len(found)
    target, predicted, expected = np.zeros(n), np.zeros(n), np.zeros(n)
    for code, name in enumerate(found.categories):
        pack = packs.get(name)
        rows = np.flatnonzero(found.category == code)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            scores, means = _scores(pack, found, part)
            shares = policy_probabilities(scores, found.eligible[part], epsilon=candidate.epsilon)
            here = np.arange(len(part))
            target[part] = shares[here, found.arm[part]]
            predicted[part] = means[here, found.arm[part]]
            expected[part] = (shares * means).sum(axis=1)
    return target, predicted, expected


def _scores(
    pack: LinUCB | None, found: Outcomes, part: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores and means (n, K); a category that nothing was learned of scores all arms alike, as serving does."""
    if pack is None:
        return np.zeros((len(part), len(found.arms))), np.zeros((len(part), len(found.arms)))
    model = pack.aligned(found.arms)
    contexts: NDArray[Any] = found.contexts[part]
    return model.scores_batch(contexts).astype(np.float64), np.clip(model.means(contexts), 0.0, 1.0).astype(np.float64)


def _evaluation(
    name: str,
    found: Outcomes,
    target: NDArray[np.float64],
    predicted: NDArray[np.float64],
    expected: NDArray[np.float64],
    bootstrap: Bootstrap,
) -> Evaluation:
    logged = Logged(found.clicked.astype(np.float64), found.propensity, found.user)
    estimates = (
        ips(logged, target, bootstrap=bootstrap),
        snips(logged, target, bootstrap=bootstrap),
        doubly_robust(logged, target, predicted=predicted, expected=expected, bootstrap=bootstrap),
    )
    return Evaluation(name, len(found), float(found.clicked.mean()), estimates)
