import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import BackdropError, InvalidInputError, UnavailableError
from serving.bodies import CreativeOut, DecisionOut, EventIn, ItemIn
from serving.client_steps import (
    Answer,
    AnswerError,
    BusyError,
    Call,
    ClientError,
    Pause,
    RefusedError,
    UnreachableError,
    ad_html,
    click,
    decide_steps,
    impression,
    send_steps,
    token_of,
)

EVENTS = [EventIn("abc", "click", 5)]
TAKEN = Answer(202, "", b'{"accepted": 1, "events": [{"status": "accepted"}]}')
BUSY = Answer(503, "3", b'{"error": "log_unavailable", "detail": "send again"}')
DECISION = DecisionOut(
    item="sofa-1",
    decision_id="01a208b2-0000-7000-8000-000000000000",
    arm="oak",
    creative=CreativeOut("c", 'https://a.example/"><script>.jpg', 540, 960),
    propensity=0.5,
    policy="random",
    impression_url="http://h/v1/i/tok-en_1",
    click_url="http://h/v1/c/tok-en_1",
    flags=(),
)


def test_a_batch_is_sent_again_unchanged_when_the_log_is_away() -> None:
    steps = send_steps(EVENTS, patience_s=10, draw=lambda: 0.0)
    first = next(steps)
    assert isinstance(first, Call)
    assert json.loads(first.body) == {"events": [{"token": "abc", "kind": "click", "event_ms": 5}]}
    assert steps.send(BUSY) == Pause(3.0)
    assert steps.send(None) == first
    with pytest.raises(StopIteration) as done:
        steps.send(TAKEN)
    assert done.value.value.accepted == 1


def test_patience_is_the_sum_of_the_pauses() -> None:
    steps = send_steps(EVENTS, patience_s=7, draw=lambda: 0.0)
    next(steps)
    assert (steps.send(BUSY), steps.send(None) is not None) == (Pause(3.0), True)
    assert (steps.send(BUSY), steps.send(None) is not None) == (Pause(3.0), True)
    with pytest.raises(BusyError, match=r"1 events, after pauses of 6\.0 s"):
        steps.send(BUSY)


@pytest.mark.parametrize("retry_after", ["", "0", "-1", "1.5", "Wed, 21 Oct 2015 07:28:00 GMT", "²", "inf"])
def test_pauses_without_a_usable_retry_after_grow(retry_after: str) -> None:
    steps = send_steps(EVENTS, patience_s=60, draw=lambda: 1.0)
    next(steps)
    pauses = []
    for _ in range(7):
        pauses.append(steps.send(Answer(503, retry_after, b"")))
        steps.send(None)
    assert pauses == [Pause(seconds) for seconds in (0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0)]


def test_pauses_are_any_part_of_ones_that_double_and_never_shorter_than_the_server_asks() -> None:
    drawn = iter([0.5, 0.25, 0.0, 0.75])
    steps = send_steps(EVENTS, patience_s=60, draw=lambda: next(drawn))
    next(steps)
    pauses = []
    for answer in (Answer(503, "", b""), Answer(503, "2", b""), Answer(504, "2", b""), Answer(502, "", b"")):
        pauses.append(steps.send(answer))
        steps.send(None)
    assert pauses == [Pause(seconds) for seconds in (0.5 * 0.1, 2 + 0.25 * 0.2, 2.0, 0.75 * 0.8)]


def test_clients_that_fail_together_come_back_apart() -> None:
    pauses = set()
    for _ in range(20):
        steps = send_steps(EVENTS, patience_s=60)
        next(steps)
        pauses.add(steps.send(BUSY))
    assert len(pauses) > 10
    assert all(isinstance(each, Pause) and 3.0 <= each.seconds <= 3.1 for each in pauses)


def test_a_retry_after_of_ages_is_cut_and_ends_patience() -> None:
    steps = send_steps(EVENTS, patience_s=59)
    next(steps)
    with pytest.raises(BusyError):
        steps.send(Answer(503, "9" * 30, b""))


def test_no_answer_is_tried_again_until_patience_ends() -> None:
    steps = send_steps(EVENTS, patience_s=0.25, draw=lambda: 1.0)
    call = next(steps)
    lost = UnreachableError("no answer")
    assert steps.throw(lost) == Pause(0.1)
    assert steps.send(None) == call
    with pytest.raises(UnreachableError) as raised:
        steps.throw(lost)
    assert raised.value is lost


def test_a_refused_batch_is_not_sent_again_and_says_what_is_wrong() -> None:
    steps = send_steps(EVENTS, patience_s=10)
    next(steps)
    body = b'{"error": "bad_token", "detail": "none", "events": [{"status": "bad_token", "detail": "forged"}]}'
    with pytest.raises(RefusedError, match="bad_token") as raised:
        steps.send(Answer(400, "", body))
    assert (raised.value.status, raised.value.reason, raised.value.events[0].detail) == (400, "bad_token", "forged")


def test_a_decision_is_asked_for_once() -> None:
    steps = decide_steps("ann", "story", ["sofa-1", ItemIn("lamp-1", url="https://a.example/")])
    call = next(steps)
    assert isinstance(call, Call)
    assert [item["id"] for item in json.loads(call.body)["items"]] == ["sofa-1", "lamp-1"]
    with pytest.raises(BusyError):
        steps.send(BUSY)


@given(st.integers(100, 599), st.binary(max_size=60) | st.just(BUSY.body) | st.just(TAKEN.body) | st.just(b"{}"))
def test_whatever_comes_back_is_an_answer_or_an_error_of_ours(status: int, body: bytes) -> None:
    for steps in (decide_steps("ann", "story", ["sofa-1"]), send_steps(EVENTS, patience_s=0)):
        next(steps)
        try:
            steps.send(Answer(status, "", body))
        except StopIteration:
            assert status in {200, 202}
        except ClientError as error:
            assert isinstance(error, RefusedError | BusyError | AnswerError)


def test_errors_stand_in_backdrops_tree() -> None:
    assert issubclass(ClientError, BackdropError)
    assert issubclass(RefusedError, InvalidInputError)
    assert issubclass(BusyError, UnavailableError)
    assert issubclass(UnreachableError, UnavailableError)


def test_events_carry_the_token_of_the_decision() -> None:
    assert token_of(DECISION) == "tok-en_1"
    assert impression(DECISION) == EventIn("tok-en_1", "impression", None)
    assert click(DECISION, 7) == EventIn("tok-en_1", "click", 7)


def test_html_shows_leads_and_counts_and_cannot_be_broken_out_of() -> None:
    assert ad_html(DECISION, 'a "b"') == (
        '<a href="http://h/v1/c/tok-en_1"><img src="https://a.example/&quot;&gt;&lt;script&gt;.jpg" width="540"'
        ' height="960" alt="a &quot;b&quot;"></a><img src="http://h/v1/i/tok-en_1" width="1" height="1" alt="">'
    )


def test_where_nothing_is_shown_nothing_can_happen() -> None:
    nothing = DecisionOut("sofa-1", "id", "original", None, 1.0, "random", "", "", ("no_creative",))
    assert ad_html(nothing) == ""
    with pytest.raises(InvalidInputError, match="no picture"):
        click(nothing)
