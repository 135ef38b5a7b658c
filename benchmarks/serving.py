"""The server beside ``feast serve`` and beside an empty endpoint: processor time, latency under load, memory."""

import json
from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks import serving_memory
from benchmarks.http_load import Call, Load, drive, get
from benchmarks.report import Row, at_least, at_most
from benchmarks.serving_world import (
    Server,
    World,
    backdrop_server,
    empty_server,
    feast_server,
    refreshing,
    world,
)
from contracts import SetupError

PACKAGES = ("feast", "uvicorn", "uvloop", "httptools", "msgspec", "redis", "hiredis", "cryptography", "numpy")

ROUNDS = 5
LATENCY_CONNECTIONS = 32
_LOAD = 0.6
_WARM_S, _CPU_S, _SATURATION_S, _LATENCY_S = 0.3, 1.5, 2.0, 4.0
_CPU_CONNECTIONS = 4
# One request in so many is an impression: the event log is written.
_PIXEL_EVERY = 5
_FEAST = {1: 15.0, 20: 12.0}
_EMPTY, _TAIL = 4.0, 2.0


def rows() -> Iterator[Row]:
    """The figures; the servers of a comparison run at the same time, their turns alternate."""
    with world() as place:
        with backdrop_server(place) as ours, empty_server() as empty:
            with feast_server(place) as feast:
                yield from _processor(place, ours, empty, feast)
            yield from _latency(place, ours, empty)
        yield from serving_memory.rows(place)


def _processor(place: World, ours: Server, empty: Server, feast: Server) -> Iterator[Row]:
    for items, target in _FEAST.items():
        decide, features = place.decide_calls(items), place.feature_calls(items)
        _require_whole(drive(ours.port, decide, connections=_CPU_CONNECTIONS, seconds=_WARM_S))
        turns = [(_cpu_us(ours, decide), _cpu_us(feast, features), _cpu_us(empty, decide)) for _ in range(ROUNDS)]
        mine, theirs, nothing = (median(turn[i] for turn in turns) for i in range(3))
        what = f"{items} item{'s' if items > 1 else ''}"
        ratio = median(b / a for a, b, _ in turns)
        note = f"{mine:,.0f} µs a decide request, feast serve {theirs:,.0f} µs for the features alone"
        yield at_least(f"CPU of feast serve / of a whole decision, {what}", ratio, "x", target, note=note)
        if items == 1:
            note = f"empty endpoint {nothing:,.0f} µs, the same POST"
            ratio = median(a / c for a, _, c in turns)
            yield at_most(f"CPU of a whole decision / of an empty endpoint, {what}", ratio, "x", _EMPTY, note=note)


def _latency(place: World, ours: Server, empty: Server) -> Iterator[Row]:
    decide = place.decide_calls(1)
    # The empty endpoint is sent the same mixture.
    mixed = _with_pixels(decide, ours)
    with refreshing(place):
        rates = [_saturation(server, mixed) * _LOAD for server in (ours, empty)]
        # The last of a round: the empty endpoint, far from busy, at the other's rate.
        loads = (*zip((ours, empty), rates, strict=True), (empty, rates[0]))
        turns = [
            [
                drive(server.port, mixed, connections=LATENCY_CONNECTIONS, seconds=_LATENCY_S, rate=rate, seed=number)
                for server, rate in loads
            ]
            for number in range(ROUNDS)
        ]
    for turn in turns:
        _require_whole(turn[0])
    what = (
        "a decision at 60 % of saturation",
        "an empty endpoint at 60 % of its own",
        "an empty endpoint at that rate",
    )
    for at, (name, (_, rate)) in enumerate(zip(what, loads, strict=True)):
        p50, p99 = (median(turn[at].quantile(share) for turn in turns) * 1e3 for share in (0.5, 0.99))
        note = f"p50 {p50:.2f} ms, p99 {p99:.2f} ms at {rate:,.0f} requests/s, packs renewed each second"
        yield Row(f"p99 / p50 of {name}", median(_tail(turn[at]) for turn in turns), "x", note=note)
    ratio = median(_tail(mine) / _tail(nothing) for mine, nothing, _ in turns)
    strict = median(_tail(mine) / _tail(nothing) for mine, _, nothing in turns)
    note = f"median of {ROUNDS} rounds; {strict:.2f} over the empty endpoint's at the decision's rate"
    yield at_most("p99 / p50, a decision's over the empty endpoint's", ratio, "x", _TAIL, note=note)


def _cpu_us(server: Server, calls: Sequence[Call]) -> float:
    """Processor time of the server (µs) per request."""
    drive(server.port, calls, connections=_CPU_CONNECTIONS, seconds=_WARM_S)
    before = server.cpu_s()
    found = drive(server.port, calls, connections=_CPU_CONNECTIONS, seconds=_CPU_S)
    used = server.cpu_s() - before
    if found.statuses != {b"200"}:
        message = f"answers had statuses {sorted(found.statuses)}: only 200 was expected"
        raise SetupError(message)
    return used / found.answers * 1e6


def _saturation(server: Server, calls: Sequence[Call]) -> float:
    found = drive(server.port, calls, connections=LATENCY_CONNECTIONS, seconds=_SATURATION_S)
    return found.answers / found.seconds


def _tail(load: Load) -> float:
    return load.quantile(0.99) / load.quantile(0.5)


def _with_pixels(decide: Sequence[Call], ours: Server) -> list[Call]:
    """The calls with impressions of their own decisions among them, which are not timed."""
    answers = drive(ours.port, decide, connections=1, seconds=0.0, count=len(decide) // _PIXEL_EVERY)
    paths = [
        decision["impression_url"].partition(f":{ours.port}")[2]
        for body in answers.bodies
        for decision in json.loads(body)["decisions"]
    ]
    pixels = [Call(get(path), timed=False) for path in paths]
    mixed: list[Call] = []
    for number, call in enumerate(decide):
        mixed.append(call)
        if number % _PIXEL_EVERY == 0:
            mixed.append(pixels[number // _PIXEL_EVERY % len(pixels)])
    return mixed


def _require_whole(load: Load) -> None:
    """Refuse to count decisions that were made without features, pictures or a model: they are cheaper.

    Raises:
        SetupError: naming the flags.
    """
    for body in load.bodies:
        answer = json.loads(body)
        flags = {*answer["flags"], *(flag for decision in answer["decisions"] for flag in decision["flags"])}
        if flags - {"cold_user"} or answer["model"] is None:
            message = f"decisions were flagged {sorted(flags)}: they are not whole"
            raise SetupError(message)
