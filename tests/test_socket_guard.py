import asyncio
import socket

import pytest

# TEST-NET-1 of RFC 5737: belongs to nobody.
ELSEWHERE = ("192.0.2.1", 80)


def test_another_machine_is_refused() -> None:
    with socket.socket() as connection, pytest.raises(AssertionError, match=r"192\.0\.2\.1"):
        connection.connect(ELSEWHERE)


def test_datagrams_are_refused_too() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as connection, pytest.raises(AssertionError, match="must not reach"):
        connection.sendto(b"x", ELSEWHERE)


async def test_asyncio_is_refused_too() -> None:
    with pytest.raises(AssertionError, match="must not reach"):
        await asyncio.open_connection(*ELSEWHERE)


def test_names_of_other_machines_are_not_even_looked_up() -> None:
    with pytest.raises(AssertionError, match=r"looked up 'example\.invalid'"):
        socket.create_connection(("example.invalid", 80))


def test_this_machine_is_allowed() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()[:2]) as connection,
    ):
        server.accept()[0].close()
        assert connection.recv(1) == b""


def test_unix_sockets_are_allowed() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"x")
        assert right.recv(1) == b"x"
