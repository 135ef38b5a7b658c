"""The learner beside other libraries: scoring, learning, bytes; CPU time, one thread, ratios of interleaved runs."""

import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import torch
from contextualbandits.online import LinUCB as ContextualBandits
from gobrec.mabs.lin_mabs import LinUCB as Gobrec
from mabwiser.mab import MAB, LearningPolicy
from numpy.typing import NDArray
from river.bandit import LinUCBDisjoint
from threadpoolctl import threadpool_limits

from benchmarks.report import Row, at_least, at_most
from learner import LinUCB, OnlineLinUCB

PACKAGES = ("numpy", "mabwiser", "contextualbandits", "gobrec", "river", "scikit-learn")
ALPHA = 0.1
SIZES = ((10, 16), (20, 32), (50, 64), (100, 128))
_SCORING = (15.0, 15.0, 10.0, 7.0)
_BATCHES = (4.0, 5.0, 5.0, 2.5)
_SINGLE = {16: 1.1, 32: 1.3, 64: 1.3}
_BATCH = 1000
_ROUNDS = 31
# Decisions that the calls go round.
_TURNING = 4 * _BATCH

Call = Callable[[int], object]
Learn = Callable[[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]], object]
Score = Callable[[NDArray[np.float64]], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Data:
    """Decisions to learn from: ``arms`` (n,), ``contexts`` (n, d), ``rewards`` (n,)."""

    names: tuple[str, ...]
    arms: NDArray[np.intp]
    contexts: NDArray[np.float64]
    rewards: NDArray[np.float64]

    @classmethod
    def drawn(cls, k: int, d: int, *, n: int = _TURNING, seed: int = 0) -> "Data":
        """Normal contexts with an intercept, every arm as likely, a tenth of them rewarded."""
        rng = np.random.default_rng(seed)
        contexts = np.column_stack([rng.normal(size=(n, d - 1)), np.ones(n)])
        arms, rewards = rng.integers(0, k, n), (rng.random(n) < 0.1).astype(np.float64)
        return cls(tuple(f"arm-{i}" for i in range(k)), arms, contexts, rewards)

    def batch(self, number: int) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
        """One of the mini-batches, going round."""
        start = number % (len(self.arms) // _BATCH) * _BATCH
        part = slice(start, start + _BATCH)
        return self.arms[part], self.contexts[part], self.rewards[part]


def rows() -> Iterator[Row]:
    """Measure everything, a figure at a time."""
    torch.set_num_threads(1)
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1))
        # What the other libraries are warned of by theirs.
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for size, target in zip(SIZES, _SCORING, strict=True):
            yield _scoring(*size, target)
        for size, target in zip(SIZES, _BATCHES, strict=True):
            yield from _batches(*size, target)
        for k, d in SIZES:
            if d in _SINGLE:
                yield from _single(k, d, _SINGLE[d])
        for size in SIZES:
            yield _bytes(*size)


def _scoring(k: int, d: int, target: float) -> Row:
    data = Data.drawn(k, d)
    ours, theirs = _fitted(data), _mabwiser(data)
    x = data.contexts
    _same(ours.scores(x[0]), _expectations(theirs, x[:1]), rtol=1e-3)
    found = _interleaved(
        lambda i: ours.scores(x[i]), {"MABWiser": lambda i: theirs.predict_expectations(x[i : i + 1])}, 200, 20
    )
    return _ratio(f"one decision's scoring ({k}, {d})", found, target)


def _batches(k: int, d: int, target: float) -> Iterator[Row]:
    data = Data.drawn(k, d)
    x = data.contexts[:1]
    ours = OnlineLinUCB(data.names, d, alpha=ALPHA)
    peers = _batch_learners(k)
    for number in range(len(data.arms) // _BATCH):
        ours.learn_batch(*data.batch(number))
        for learn, _ in peers.values():
            learn(*data.batch(number))
    for _, score in peers.values():
        _same(ours.model.scores(x[0]), score(x), rtol=2e-2)

    def ready(number: int) -> None:
        ours.learn_batch(*data.batch(number))
        ours.model.scores(x[0])

    def learned(learn: Learn) -> Call:
        return lambda number: learn(*data.batch(number))

    def scored(learn: Learn, score: Score) -> Call:
        return lambda number: (learn(*data.batch(number)), score(x))

    found = _interleaved(
        lambda i: ours.learn_batch(*data.batch(i)), {name: learned(learn) for name, (learn, _) in peers.items()}, 4, 2
    )
    yield _ratio(f"statistics of {_BATCH:,} decisions ({k}, {d})", found, target)
    found = _interleaved(ready, {name: scored(*each) for name, each in peers.items()}, 2, 2)
    yield _ratio(f"the same, solved, and one context scored ({k}, {d})", found)


def _single(k: int, d: int, target: float) -> Iterator[Row]:
    data = Data.drawn(k, d)
    arms, rewards = data.arms.tolist(), data.rewards.tolist()
    # The form that river takes; made beforehand.
    named = [dict(enumerate(x)) for x in data.contexts.tolist()]
    ours, theirs = OnlineLinUCB(data.names, d, alpha=ALPHA), LinUCBDisjoint(seed=0)
    for i in range(len(arms)):
        ours.learn(arms[i], data.contexts[i], rewards[i])
        theirs.update(arms[i], named[i], rewards[i])
    mean = [theirs._bayes_lin_regs[arm].predict_one(named[0]) for arm in range(k)]
    _same(ours.model.means(data.contexts[:1])[0], np.array(mean), rtol=1e-6)
    everyone = list(range(k))

    def mine(i: int) -> None:
        ours.learn(arms[i], data.contexts[i], rewards[i])

    def rivers(i: int) -> None:
        theirs.update(arms[i], named[i], rewards[i])

    def mine_decided(i: int) -> None:
        mine(i)
        ours.decide(data.contexts[i])

    def rivers_decided(i: int) -> None:
        rivers(i)
        theirs.pull(everyone, named[i])

    found = _interleaved(mine, {"river": rivers}, 300, 300)
    yield _ratio(f"learning one decision ({k}, {d})", found, target)
    found = _interleaved(mine_decided, {"river": rivers_decided}, 100, 20)
    yield _ratio(f"learning one decision, then deciding ({k}, {d})", found)


def _bytes(k: int, d: int) -> Row:
    data = Data.drawn(k, d)
    ours = len(_fitted(data).to_arrow(lineage="lineage", schema_hash="0" * 16, generation=1))
    theirs = len(pickle.dumps(_mabwiser(data)))
    note = f"{ours:,} against MABWiser's pickle of {theirs:,} bytes"
    return at_most(f"pack bytes ({k}, {d})", ours / theirs, "of theirs", 1 / 7, note=note)


def _fitted(data: Data) -> LinUCB:
    learner = OnlineLinUCB(data.names, data.contexts.shape[1], alpha=ALPHA)
    learner.learn_batch(data.arms, data.contexts, data.rewards)
    return LinUCB.fit(learner.stats(), alpha=ALPHA)


def _mabwiser(data: Data) -> MAB:
    found = MAB(list(range(len(data.names))), LearningPolicy.LinUCB(alpha=ALPHA, l2_lambda=1.0))
    found.fit(data.arms, data.rewards, data.contexts)
    return found


def _expectations(model: MAB, x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array(list(model.predict_expectations(x).values()))


def _batch_learners(k: int) -> dict[str, tuple[Learn, Score]]:
    """How each library learns a batch, and scores one context (1, d) for every arm in order."""
    mabwiser = MAB(list(range(k)), LearningPolicy.LinUCB(alpha=ALPHA, l2_lambda=1.0))
    gobrec = Gobrec(alpha=ALPHA)
    double, single = (
        ContextualBandits(k, alpha=ALPHA, fit_intercept=False, use_float=use_float, random_state=1)
        for use_float in (False, True)
    )

    def gobrec_scores(x: NDArray[np.float64]) -> NDArray[np.float64]:
        # It numbers arms as they come.
        scores: NDArray[np.float64] = gobrec.predict(x).numpy()[0][np.argsort(gobrec.label_encoder.classes_)]
        return scores

    return {
        "MABWiser": (lambda a, x, r: mabwiser.partial_fit(a, r, x), lambda x: _expectations(mabwiser, x)),
        "gobrec": (lambda a, x, r: gobrec.fit(x, a, r), gobrec_scores),
        "contextualbandits": (lambda a, x, r: double.partial_fit(x, a, r), lambda x: double.decision_function(x)[0]),
        "contextualbandits float32": (
            lambda a, x, r: single.partial_fit(x, a, r),
            lambda x: single.decision_function(x)[0],
        ),
    }


def _same(ours: NDArray[Any], theirs: NDArray[Any], *, rtol: float) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-3)


def _interleaved(ours: Call, theirs: Mapping[str, Call], own_calls: int, calls: int) -> dict[str, tuple[float, float]]:
    """For each rival, medians over the rounds: how many times our CPU time it takes, and our own in microseconds."""
    ratios: dict[str, list[float]] = {name: [] for name in theirs}
    own: list[float] = []
    for turn in range(_ROUNDS):
        for name, call in theirs.items():
            own.append(_cpu_s(ours, own_calls, turn))
            ratios[name].append(_cpu_s(call, calls, turn) / own[-1])
    return {name: (median(found), median(own) * 1e6) for name, found in ratios.items()}


def _cpu_s(call: Call, calls: int, turn: int) -> float:
    start = process_time()
    for number in range(turn * calls, (turn + 1) * calls):
        call(number % _TURNING)
    return (process_time() - start) / calls


def _ratio(name: str, found: Mapping[str, tuple[float, float]], target: float | None = None) -> Row:
    """The row of the rival that needs least time; the others are in the note."""
    fastest = min(found, key=lambda each: found[each][0])
    value, own_us = found[fastest]
    others = ", ".join(f"{each} {ratio:.1f}" for each, (ratio, _) in found.items() if each != fastest)
    note = f"{fastest} / ours, {own_us:,.1f} µs" + (f"; {others}" if others else "")
    return Row(name, value, "times", note=note) if target is None else at_least(name, value, "times", target, note=note)
