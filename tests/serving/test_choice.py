from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts import CreativeRef
from learner import ArmStats, LinUCB
from serving.choice import MAX_ALIGNMENTS, Chosen, ServedPack, choose_arm, eligible_arms, score

HASH = "0011223344556677"
CONTEXT = np.array([1024, 512, -256], dtype=np.int16)
ARMS = ("beach", "loft", "marble")


def a_pack(schema_hash: str = HASH) -> ServedPack:
    rng = np.random.default_rng(5)
    contexts = rng.integers(-1024, 1025, size=(400, 3)) / 1024.0
    contexts[:, 0] = 1.0
    stats = {
        arm: ArmStats.zero(3).observe(contexts, (rng.random(400) < rate).astype(np.float64))
        for arm, rate in (("beach", 0.05), ("loft", 0.6))
    }
    model = LinUCB.fit(stats, alpha=0.5, ridge=2.0)
    return ServedPack(LinUCB.from_arrow(model.to_arrow(lineage="main", schema_hash=schema_hash, generation=4)), 0)


PACK_A, PACK_B, OTHER = a_pack(), a_pack(), a_pack("ffffffffffffffff")


def choose(
    policy: str,
    eligible: tuple[str, ...] = ARMS,
    *,
    pack: ServedPack | None = None,
    alpha: float = 0.5,
    epsilon: float = 0.0,
    key: bytes = b"key",
) -> Chosen:
    return choose_arm(policy, eligible, CONTEXT, pack, schema_hash=HASH, alpha=alpha, epsilon=epsilon, key=key)


def oracle(pack: ServedPack, arm: str, alpha: float) -> float:
    """Score by the book, in float64, from the pack's own numbers."""
    x = CONTEXT.astype(np.float64) / 1024
    d = len(x)
    inverse: NDArray[np.float64] = np.eye(d) / pack.model.ridge
    theta: NDArray[np.float64] = np.zeros(d)
    if arm in pack.model.arms:
        row = pack.model.arms.index(arm)
        theta = pack.model.theta[row].astype(np.float64)
        inverse = np.zeros((d, d))
        inverse[np.triu_indices(d)] = pack.model.inverse[row]
        inverse = inverse + np.triu(inverse, 1).T
    return float(theta @ x + alpha * np.sqrt(x @ inverse @ x))


def test_original_shows_the_original_whatever_is_there() -> None:
    for eligible in ((), ARMS):
        chosen = choose("original", eligible, pack=a_pack())
        assert (chosen.arm, chosen.eligible, chosen.propensity, chosen.flag) == ("original", ("original",), 1.0, None)


def test_random_is_uniform_and_says_so() -> None:
    drawn = Counter(choose("random", key=number.to_bytes(4, "big")).arm for number in range(3000))
    assert set(drawn) == set(ARMS)
    assert min(drawn.values()) > 850
    assert choose("random", pack=a_pack()).propensity == pytest.approx(1 / 3)
    assert choose("random", pack=a_pack()).scores is None


def test_linucb_scores_are_the_books_also_for_new_arms() -> None:
    pack = a_pack()
    chosen = choose("linucb", pack=pack, alpha=0.3)
    assert chosen.scores is not None
    assert chosen.scores == pytest.approx([oracle(pack, arm, 0.3) for arm in ARMS], rel=1e-5)
    assert chosen.arm == ARMS[int(np.argmax(chosen.scores))]
    assert (chosen.propensity, chosen.generation, chosen.flag) == (1.0, 4, None)


def test_a_new_arm_is_tried_when_exploring_counts() -> None:
    assert choose("linucb", pack=a_pack(), alpha=50.0).arm == "marble"
    assert choose("linucb", pack=a_pack(), alpha=0.0).arm == "loft"


def test_a_new_arm_is_scored_by_the_packs_row_for_new_arms_which_is_never_offered() -> None:
    rng = np.random.default_rng(5)
    contexts = np.ones((50, 3))
    stats = {"loft": ArmStats.zero(3).observe(contexts, (rng.random(50) < 0.6).astype(np.float64))}
    model = LinUCB.fit(stats, alpha=0.5, ridge=2.0, prior=50.0)
    pack = ServedPack(LinUCB.from_arrow(model.to_arrow(lineage="main", schema_hash=HASH, generation=4)), 0)
    chosen = choose("linucb", pack=pack, alpha=0.0)
    assert chosen.eligible == ARMS
    assert chosen.scores is not None
    beach, _, marble = chosen.scores
    assert beach == marble > 0.1
    for number in range(200):
        assert choose("linucb", pack=pack, epsilon=1.0, key=bytes([number])).arm in ARMS


def test_arms_of_the_pack_that_are_not_eligible_are_never_chosen() -> None:
    pack = a_pack()
    for number in range(50):
        assert choose("linucb", ("beach",), pack=pack, epsilon=0.5, key=bytes([number])).arm == "beach"


@given(epsilon=st.floats(0, 1), key=st.binary(max_size=16))
def test_propensities_are_closed_form(epsilon: float, key: bytes) -> None:
    pack = a_pack()
    chosen = choose("linucb", pack=pack, epsilon=epsilon, key=key)
    best = choose("linucb", pack=pack, key=key).arm
    assert chosen.propensity == pytest.approx(epsilon / 3 + (1 - epsilon if chosen.arm == best else 0))


@pytest.mark.parametrize(("pack", "flag"), [(None, "no_pack"), (a_pack("ffffffffffffffff"), "other_schema")])
def test_without_a_usable_pack_linucb_draws_evenly(pack: ServedPack | None, flag: str) -> None:
    drawn = Counter(choose("linucb", pack=pack, key=number.to_bytes(4, "big")).arm for number in range(600))
    assert set(drawn) == set(ARMS)
    chosen = choose("linucb", pack=pack)
    assert (chosen.flag, chosen.generation) == (flag, 0)
    assert chosen.propensity == pytest.approx(1 / 3)


def test_nothing_eligible_shows_the_original_flagged() -> None:
    for policy in ("random", "linucb"):
        chosen = choose(policy, (), pack=a_pack())
        assert (chosen.arm, chosen.propensity, chosen.flag) == ("original", 1.0, "no_creative")


def test_eligible_arms() -> None:
    creatives = {arm: CreativeRef("c", "/u", 1, 1) for arm in ("sand", "original", "oak", "tile")}
    assert eligible_arms(creatives, frozenset(), include_original=False) == ("oak", "sand", "tile")
    assert eligible_arms(creatives, frozenset({"oak"}), include_original=True) == ("original", "sand", "tile")
    assert eligible_arms({}, frozenset(), include_original=True) == ()


def test_alignments_stay_bounded() -> None:
    pack = a_pack()
    for number in range(3 * MAX_ALIGNMENTS):
        choose("linucb", (f"arm-{number}",), pack=pack)
    assert len(pack._aligned) <= MAX_ALIGNMENTS


@given(rows=st.lists(st.sampled_from(["a", "b", "other", "none"]), min_size=1, max_size=30), seed=st.integers(0, 99))
def test_a_request_scored_together_is_scored_as_one_by_one(rows: list[str], seed: int) -> None:
    packs = {"a": PACK_A, "b": PACK_B, "other": OTHER, "none": None}
    alphas = {"a": 0.3, "b": 0.7, "other": 0.1, "none": 0.1}
    contexts = np.random.default_rng(seed).integers(-2048, 2049, size=(len(rows), 3)).astype(np.int16)
    together = score(contexts, [packs[row] for row in rows], [alphas[row] for row in rows], HASH)
    for row, context, scored in zip(rows, contexts, together, strict=True):
        (alone,) = score(context[None], [packs[row]], [alphas[row]], HASH)
        assert (scored.pack, scored.flag) == (alone.pack, alone.flag)
        assert (scored.bounds is None) == (alone.bounds is None)
        if scored.bounds is not None and alone.bounds is not None:
            assert scored.bounds == pytest.approx(alone.bounds, rel=1e-5, abs=1e-7)


def test_arms_of_equal_numbers_tie_to_the_last_bit_also_in_a_batch() -> None:
    contexts = np.random.default_rng(3).integers(-2048, 2049, size=(64, 3)).astype(np.int16)
    pack = a_pack()
    for bounds in pack.bounds(contexts, 0.5):
        one, _, other = pack.of_arms(("new-1", "loft", "new-2"), bounds)
        assert one == other
