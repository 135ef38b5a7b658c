"""Connections to Redis: stated timeouts, binary replies, one error tree, typed calls."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from contracts import InvalidInputError, StoreError, UnavailableError

DEFAULT_TIMEOUT_S = 5.0
DEFAULT_RETRIES = 2
MAX_ASYNC_CONNECTIONS = 64

# The client puts the command, data included, before an answer in a pipeline; that belongs in no log.
_PIPELINE_PREFIX_END = "of pipeline caused error: "

Command = tuple[str | bytes | int | float, ...]

_CLOSED = "closed"

# Answers that say "not now": a full memory, a log that cannot be written, a replica, a server that is loading.
_LATER = ("OOM", "MISCONF", "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS")


def connect(url: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, retries: int = DEFAULT_RETRIES) -> redis.Redis:
    """Make a client for ``redis://``, ``rediss://`` or ``unix://``; it connects at its first command.

    A command is sent again up to ``retries`` times after a broken connection, so it may be applied twice:
    every write of this package allows that. Replies are bytes.

    Raises:
        InvalidInputError: if the URL is none that redis understands.
    """
    with _checked(url):
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), retries),
        )


def connect_async(
    url: str, *, timeout_s: float = 1.0, max_connections: int = MAX_ASYNC_CONNECTIONS
) -> redis.asyncio.Redis:
    """Make an asyncio client that never waits twice: a page that waits gets its fallback instead.

    A connection that turns out to be broken is made anew once. At most ``max_connections`` are open; a command
    waits up to ``timeout_s`` for one, and as long for its answer.

    Raises:
        InvalidInputError: if the URL is none that redis understands.
    """
    with _checked(url):
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=AsyncRetry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,)),
            max_connections=max_connections,
            timeout=timeout_s,
        )
        return redis.asyncio.Redis.from_pool(pool)


@contextmanager
def translated(doing: str = "talk to Redis") -> Iterator[None]:
    """Turn errors of the redis client into this project's own; ``doing`` completes "could not ...".

    Raises:
        UnavailableError: if Redis did not answer, or answered that it cannot now.
        StoreError: if Redis refused the command.
    """
    try:
        yield
    except (exceptions.RedisError, OSError) as error:
        raise translation(error, doing) from error
    except RuntimeError as error:
        raise closing(error, doing) from error


def translation(error: exceptions.RedisError | OSError, doing: str) -> StoreError:
    """This project's own error for one of the redis client: what ``translated`` raises."""
    if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError | OSError):
        return _no_answer(doing, error)
    answer = str(error).rpartition(_PIPELINE_PREFIX_END)[2]
    message = f"could not {doing}: Redis refused: {answer}"
    if isinstance(error, exceptions.OutOfMemoryError) or answer.startswith(_LATER):
        return UnavailableError(message)
    return StoreError(message)


def closing(error: RuntimeError, doing: str) -> Exception:
    """The same for what uvloop raises, and redis-py lets through, on a connection that was closed a moment before."""
    return _no_answer(doing, error) if _CLOSED in str(error) else error


def _no_answer(doing: str, error: Exception) -> UnavailableError:
    return UnavailableError(f"could not {doing}: Redis did not answer ({error}): check that it runs and is reachable")


def command(client: redis.Redis, *words: str | bytes | int | float) -> Any:
    """Run one command; the answer is parsed as the redis client does for its name."""
    run: Callable[..., Any] = client.execute_command
    return run(*words)


def transaction(client: redis.Redis, commands: Sequence[Command]) -> list[Any]:
    """Run commands in one MULTI/EXEC round trip and return their answers."""
    with client.pipeline(transaction=True) as pipe:
        queue: Callable[..., object] = pipe.execute_command
        for words in commands:
            queue(*words)
        return pipe.execute()


def pipeline(client: redis.Redis, commands: Sequence[Command]) -> list[Any]:
    """Run commands in one round trip, not atomically, and return their answers."""
    with client.pipeline(transaction=False) as pipe:
        queue: Callable[..., object] = pipe.execute_command
        for words in commands:
            queue(*words)
        return pipe.execute()


async def command_async(client: redis.asyncio.Redis, *words: str | bytes | int | float) -> Any:
    """Run one command; asyncio twin of ``command``."""
    run: Callable[..., Any] = client.execute_command
    return await run(*words)


async def transaction_async(client: redis.asyncio.Redis, commands: Sequence[Command]) -> list[Any]:
    """Run commands in one MULTI/EXEC round trip; asyncio twin of ``transaction``."""
    async with client.pipeline(transaction=True) as pipe:
        queue: Callable[..., object] = pipe.execute_command
        for words in commands:
            queue(*words)
        return await pipe.execute()


@contextmanager
def _checked(url: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        # Without the part that may hold a password.
        shown = url.rpartition("@")[2]
        message = f"Redis URL {shown!r} is not valid: use redis://host:port/0, rediss://... or unix:///path ({error})"
        raise InvalidInputError(message) from error
