"""What every test shares: no network beyond this machine, and one profile of property tests."""

import os
import socket
import sys
from ipaddress import ip_address

import pytest
from hypothesis import settings

# Tests and what they start neither report to library makers nor look for models on a hub.
os.environ |= {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}

pytest_plugins = ["tests.redis_fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the runner that streaming tests run on."""
    parser.addoption("--runner", choices=("prism", "flink"), default="prism", help="Beam runner of streaming tests")


settings.register_profile("local", deadline=None, max_examples=50, print_blob=True)
settings.register_profile("deep", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "local"))


class BlockedConnectionError(AssertionError):
    """A test tried to reach another machine."""


_REFUSAL = "tests must not reach other machines (use a server on 127.0.0.1)"


def is_local(family: int, address: object) -> bool:
    """Return whether a socket address stays on this machine."""
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True
    host = address[0] if isinstance(address, tuple) else address
    if not isinstance(host, str):
        return False
    try:
        return host in {"", "localhost"} or ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _guard(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
        if host not in (None, "0.0.0.0", "::", socket.gethostname()) and not is_local(socket.AF_INET, host):
            message = f"{_REFUSAL}, this one looked up {host!r}"
            raise BlockedConnectionError(message)
    if event not in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        return
    connection, address = arguments[0], arguments[-1]
    if address is None or not isinstance(connection, socket.SocketType):
        return
    if not is_local(connection.family, address):
        message = f"{_REFUSAL}, this one tried {address!r}"
        raise BlockedConnectionError(message)


# An audit hook sees every connection that Python makes, through whatever library; it cannot be taken off again.
sys.addaudithook(_guard)
