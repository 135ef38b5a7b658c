"""Clients that are slow, wrong, many or gone; each under traffic of good ones."""

import random
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.chaos_serve.place import Fault, Place
from tests.chaos_serve.sockets import BODY, DECIDE, ask, connection, send_all, statuses, until_closed
from tests.chaos_serve.traffic import Traffic
from tests.serving.world import ServerProcess, wait_until

MIB = 1 << 20
# Of the server that these faults are tried on: short, so that a test need not wait long.
SETTINGS = {"head_timeout_ms": 700, "idle_ms": 1_000, "body_timeout_ms": 700}
EVENTS = b'{"events": [{"token": "abcABC_-123", "kind": "click", "event_ms": 17954422781}]}'
HEAD = b"POST /v1/decide HTTP/1.1\r\nhost: x\r\n"
ONCE = b"GET /media/creatives/large.png HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
METHODS = (
    b"GET", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PURGE", b"BREW", b"get", b"\x00",
)  # fmt: skip
ODDITIES = (
    b"GET / HTTP/0.9\r\n\r\n",
    b"GET / HTTP/3.7\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    b"GET http://elsewhere.example/healthz HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    b"GET /healthz HTTP/1.1\nhost: x\n\n",
    b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /%00%ff%zz HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET  /  HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\na\x00b: c\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\na: b\x00c\r\n\r\n",
    b"GET / HTTP/1.1\r\n : x\r\n\r\n",
    HEAD + b"content-length: -5\r\n\r\n",
    HEAD + b"content-length: 99999999999999999999999\r\n\r\n",
    HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    HEAD + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
    HEAD + b"transfer-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello",
    HEAD + b"expect: 100-continue\r\ncontent-length: 10485760\r\n\r\n",
)  # fmt: skip


def under_traffic(place: Place, act: Callable[[ServerProcess], str]) -> str:
    """Let clients misbehave while others go on; the others must not notice."""
    with Traffic(place.server.config.base_url, shoppers=2, pause_s=0.01) as traffic:
        wait_until(lambda: traffic.decisions > 5, "there is traffic")
        told = act(place.server)
        before = traffic.decisions
        wait_until(lambda: traffic.decisions > before + 5, "traffic goes on")
    assert not traffic.server_errors, (traffic.server_errors, traffic.broken[:3])
    return f"{told}; the others: {traffic.decisions} decisions, no 5xx"


def large_bodies(server: ServerProcess) -> str:
    """10 MB in one piece, in chunks, and announced only."""
    found: Counter[tuple[int, ...]] = Counter()
    whole = [HEAD + b"content-length: %d\r\n\r\n" % (10 * MIB), *[b" " * MIB] * 10]
    chunked = [HEAD + b"transfer-encoding: chunked\r\n\r\n", *[b"%x\r\n%b\r\n" % (MIB, b" " * MIB)] * 10, b"0\r\n\r\n"]
    for pieces in (whole, chunked):
        for _ in range(2):
            with connection(server) as here:
                send_all(here, pieces)
                found[tuple(statuses(until_closed(here)))] += 1
    assert set(found) == {(413,)}, found
    return "413 for each, read by the client"


def slow_heads(server: ServerProcess) -> str:
    """Forty connections that send a head a byte at a time."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connection(server)) for _ in range(40)]
        began = time.monotonic()
        for byte in b"GET /healthz HTTP/1.1\r\nx-slow: " + b"a" * 4_000:
            sent = [send_all(here, [bytes([byte])]) for here in slow]
            if not any(sent) or time.monotonic() - began > 5:
                break
            time.sleep(0.05)
        answers = Counter(tuple(statuses(until_closed(here))) for here in slow)
    assert set(answers) <= {(408,), ()}, answers
    return f"all hung up on, 408 × {answers[408,]}"


def slow_bodies(server: ServerProcess) -> str:
    """Twenty connections that announce a body and send a byte of it now and then."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connection(server)) for _ in range(20)]
        for here in slow:
            here.sendall(HEAD + b"content-length: 1000\r\n\r\n")
        for _ in range(12):
            for here in slow:
                send_all(here, [b" "])
            time.sleep(0.1)
        answers = Counter(tuple(statuses(until_closed(here))) for here in slow)
    assert set(answers) <= {(408,), ()} and answers[408,], answers
    return f"all hung up on, 408 × {answers[408,]}"


def unread_bodies(server: ServerProcess) -> str:
    """A body that no route reads, a byte at a time: it must not keep the connection."""
    with connection(server) as here:
        here.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        began = time.monotonic()
        while send_all(here, [b"x"]) and time.monotonic() - began < 10:
            time.sleep(0.05)
        open_s = time.monotonic() - began
        assert open_s < 10, "it is still open"
    return "answered, then hung up on after the idle time"


def silent(server: ServerProcess) -> str:
    """Connections that never say anything, or only once."""
    with ExitStack() as stack:
        quiet = [stack.enter_context(connection(server)) for _ in range(40)]
        for here in quiet[:20]:
            here.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        answers = Counter(tuple(statuses(until_closed(here))) for here in quiet)
    assert answers == {(200,): 20, (): 20}, answers
    return "all hung up on after the idle time"


def large_heads(server: ServerProcess) -> str:
    """A header of 10 MB, a thousand headers, headers without end, a URL of 12 KB and more."""
    with connection(server) as here:
        send_all(here, [b"GET /healthz HTTP/1.1\r\nx: ", *[b"a" * 65_536] * 160])
        one = statuses(until_closed(here))
    many = ask(server, b"GET /healthz HTTP/1.1\r\n" + b"a: b\r\n" * 1_000 + b"\r\n")
    with connection(server) as here:
        send_all(here, [b"GET /healthz HTTP/1.1\r\n", *[b"a: b\r\n" * 10_000] * 100])
        endless = statuses(until_closed(here))
    long = ask(server, b"GET /" + b"a" * 14_000 + b" HTTP/1.1\r\n\r\n")
    with connection(server) as here:
        send_all(here, [b"GET /", *[b"a" * 65_536] * 16])
        longer = statuses(until_closed(here))
    with connection(server) as here:
        here.sendall(b"GET /healthz HTTP/1.1\r\nx: " + b"a" * 20_000)
        time.sleep(0.1)
        send_all(here, [b"\r\n\r\n"])
        pieces = statuses(until_closed(here))
    assert (many, long, pieces) == ([431], [414], [431])
    # Of what is still being sent when the server hangs up, the client may see only that.
    assert all(found in ([431], []) for found in (one, endless, longer)), (one, endless, longer)
    return "431 (head, number of headers), 414 (URL), or hung up on while sending"


def methods(server: ServerProcess) -> str:
    """Every method on every path."""
    found: Counter[int] = Counter()
    for method in METHODS:
        for path in (b"/v1/decide", b"/v1/i/abc", b"/v1/c/abc", b"/v1/events", b"*", b"/healthz"):
            for status in ask(server, b"%b %b HTTP/1.1\r\nhost: x\r\n\r\n" % (method, path)):
                found[status] += 1
    assert found and max(found) < 500, found
    return ", ".join(f"{status} × {times}" for status, times in sorted(found.items()))


def oddities(server: ServerProcess) -> str:
    """Versions, upgrades, encodings and lengths that are wrong or not for this server."""
    found: Counter[int] = Counter()
    for data in ODDITIES:
        for status in ask(server, data):
            found[status] += 1
    assert found and max(found) < 500, found
    return ", ".join(f"{status} × {times}" for status, times in sorted(found.items()))


def pipelined(server: ServerProcess) -> str:
    """Good requests behind each other; then garbage behind good ones; then more than may wait."""
    good = ask(server, DECIDE * 20)
    assert good == [200] * 20, good
    mixed = ask(server, DECIDE * 3 + b"\x00garbage\r\n\r\n")
    assert mixed == [200, 200, 200, 400], mixed
    many = ask(server, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" * 5_000)
    assert set(many) <= {200, 400} and many[-1] == 400, Counter(many)
    return f"20 of 20 answered in order; 3 answers, then 400; of 5,000 at once {len(many) - 1} answered, then 400"


def never_read(server: ServerProcess) -> str:
    """Clients that ask and ask and read no answer."""
    assert server.config.objects_root is not None
    picture = server.config.objects_root / "creatives" / "large.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(bytes(12 * MIB))
    cut = b'backdrop_cut_connections_total{reason="stalled"}'
    with ExitStack() as stack:
        deaf = [stack.enter_context(socket.socket()) for _ in range(5)]
        for here in deaf:
            here.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            here.connect((server.config.host, server.config.port))
        for here in deaf:
            send_all(here, [b"GET /media/creatives/large.png HTTP/1.1\r\nhost: x\r\n\r\n"] * 10)
        last = stack.enter_context(socket.socket())
        last.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        last.connect((server.config.host, server.config.port))
        send_all(last, [ONCE])
        wait_until(lambda: b"%b %.1f" % (cut, len(deaf) + 1) in server.get("/metrics").body, "they are cut off")
    assert _read_slowly(server) > 12 * MIB
    return "cut off after the idle time, counted; one that reads slowly, for longer than that, gets all of it"


def _read_slowly(server: ServerProcess) -> int:
    """Read a picture at a few MiB a second; returns how much came."""
    read = 0
    with socket.socket() as here:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        here.connect((server.config.host, server.config.port))
        here.sendall(ONCE)
        while piece := here.recv(65_536):
            read += len(piece)
            time.sleep(len(piece) / (4 * MIB))
    return read


def half_closed(server: ServerProcess) -> str:
    """Clients that end their side behind the request; and such as are gone in the middle of it."""
    for _ in range(20):
        assert ask(server, DECIDE) == [200]
    for end in range(0, len(DECIDE), 5):
        with connection(server) as here:
            here.sendall(DECIDE[:end])
    for _ in range(50):
        with connection(server) as here:
            here.sendall(DECIDE)
            here.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    return "20 of 20 answered; the others forgotten"


def garbage(server: ServerProcess, streams: int = 150) -> str:
    """Random bytes, and good requests with some bytes wrong."""
    rng = random.Random(3)
    found: Counter[int] = Counter()
    for number in range(streams):
        data = bytearray(DECIDE)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        for status in ask(server, bytes(data) if number % 2 else rng.randbytes(rng.randrange(1, 2_000))):
            found[status] += 1
    assert found and max(found) < 500, found
    return f"{streams} streams: " + ", ".join(f"{status} × {times}" for status, times in sorted(found.items()))


def bodies(server: ServerProcess, count: int = 300) -> str:
    """Random bodies on good connections."""
    rng = random.Random(5)
    found: Counter[int] = Counter()
    with ExitStack() as stack:
        here = stack.enter_context(connection(server))
        answers = here.makefile("rb")
        stack.callback(answers.close)
        for number in range(count):
            data = a_body(rng)
            path = (b"/v1/decide", b"/v1/events")[number % 2]
            here.sendall(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (path, len(data), data))
            found[int(answers.readline().split()[1])] += 1
            length = 0
            while (line := answers.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            answers.read(length)
    assert max(found) < 500, found
    return f"{count} bodies: " + ", ".join(f"{status} × {times}" for status, times in sorted(found.items()))


def a_body(rng: random.Random) -> bytes:
    """Random bytes, or a good body with some bytes wrong."""
    if rng.random() < 0.3:
        return rng.randbytes(rng.randrange(1, 300))
    data = bytearray(rng.choice((BODY, EVENTS)))
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data))
        match rng.randrange(3):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at:at] = rng.choice((b'"', b"{", b"[", b"\\ud800", b"\\u0000", b"1e400", b"null", b"-", b","))
            case _:
                del data[at : at + rng.randrange(1, 6)]
    return bytes(data)


def resident_mib(pid: int) -> float:
    """Resident set of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / MIB


def many_connections(place: Place, wanted: int = 300, limit: int = 100) -> str:
    """More idle connections than a server takes: the good clients still get theirs."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = min(wanted, hard - 300)
    folder = place.folder / f"crowd-{wanted}"
    crowded = ServerProcess(folder, place.redis.url, max_connections=limit, idle_ms=60_000, read_deadline_ms=200)
    with crowded as server, ExitStack() as stack:
        before = resident_mib(server.process.pid)
        with Traffic(server.config.base_url, shoppers=2, pause_s=0.01) as traffic:
            for _ in range(wanted):
                stack.enter_context(connection(server))
            wait_until(lambda: traffic.decisions > 20, "there is traffic")
            at = traffic.decisions
            wait_until(lambda: traffic.decisions > at + 50, "traffic goes on")
        grown = resident_mib(server.process.pid) - before
        assert not traffic.server_errors, (traffic.server_errors, traffic.broken[:3])
        held = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
        assert min(wanted, limit // 2) < held <= min(wanted, limit) + 100, f"{held} descriptors"
    room = "all stay" if wanted < limit else "idle ones are hung up on to make room"
    others = f"{traffic.decisions} decisions of others, no 5xx; {grown:.0f} MiB more memory"
    return f"{wanted:,} connections, {limit:,} allowed: {room}; {others}"


FAULTS = (
    Fault("bodies of 10 MB, plain and chunked", "413", lambda place: under_traffic(place, large_bodies)),
    Fault("slow-loris heads", "408, hung up on", lambda place: under_traffic(place, slow_heads)),
    Fault("slow-loris bodies", "408, hung up on", lambda place: under_traffic(place, slow_bodies)),
    Fault("slow bodies that no route reads", "hung up on", lambda place: under_traffic(place, unread_bodies)),
    Fault("silent connections", "hung up on", lambda place: under_traffic(place, silent)),
    Fault("floods of headers, huge URLs", "431, 414", lambda place: under_traffic(place, large_heads)),
    Fault("wrong methods", "405 or 400", lambda place: under_traffic(place, methods)),
    Fault(
        "wrong versions, upgrades, encodings, lengths", "4xx, or ignored", lambda place: under_traffic(place, oddities)
    ),
    Fault("pipelined requests and garbage", "in order, then 400", lambda place: under_traffic(place, pipelined)),
    Fault("clients that never read", "cut off", lambda place: under_traffic(place, never_read)),
    Fault(
        "half-closed and abandoned connections", "answered if asked", lambda place: under_traffic(place, half_closed)
    ),
    Fault("random byte streams", "400", lambda place: under_traffic(place, garbage)),
    Fault("random bodies over the socket", "4xx", lambda place: under_traffic(place, bodies)),
    Fault("more connections than allowed", "idle ones make room", many_connections),
)
