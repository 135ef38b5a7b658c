import pytest
import redis

from contracts import InvalidInputError, StoreError, UnavailableError
from stores import EmbeddedRedis, connect, connect_async, translated
from stores.connect import command, command_async, pipeline, transaction

CLOSED = "unable to perform operation on <TCPTransport closed=True>; the handler is closed"
DEFECT = "a defect"


@pytest.mark.parametrize("url", ["", "http://x", "localhost:6379", "redis://h:port/0"])
def test_bad_url_is_refused(url: str) -> None:
    for make in (connect, connect_async):
        with pytest.raises(InvalidInputError, match="Redis URL"):
            make(url)


def test_refused_command_is_no_outage(redis_client: redis.Redis) -> None:
    command(redis_client, "SET", "text", "x")
    with (
        pytest.raises(StoreError, match=r"could not count: Redis refused: .*not an integer") as caught,
        translated("count"),
    ):
        command(redis_client, "INCR", "text")
    assert not isinstance(caught.value, UnavailableError)


def test_an_answer_in_a_pipeline_is_told_without_the_data(redis_client: redis.Redis) -> None:
    command(redis_client, "SET", "text", "x")
    for run in (pipeline, transaction):
        with pytest.raises(StoreError) as caught, translated("append"):
            run(redis_client, [("SET", "other", "secret"), ("HSET", "text", "field", "secret")])
        assert "WRONGTYPE" in str(caught.value) or "wrong kind" in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("answer", ["MISCONF Errors writing to the AOF file", "READONLY replica", "LOADING data"])
def test_not_now_is_an_outage(answer: str) -> None:
    with pytest.raises(UnavailableError), translated():
        raise redis.ResponseError(answer)


def test_a_connection_closed_a_moment_before_is_an_outage() -> None:
    with pytest.raises(UnavailableError, match="the handler is closed"), translated():
        raise RuntimeError(CLOSED)
    with pytest.raises(RuntimeError, match="a defect"), translated():
        raise RuntimeError(DEFECT)


def test_other_errors_pass_through() -> None:
    with pytest.raises(ValueError, match="invalid literal"), translated():
        int("x")


def test_sync_client_carries_on_after_a_restart(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    command(redis_client, "SET", "name", "value")
    redis_server.restart()
    assert command(redis_client, "GET", "name") == b"value"


async def test_async_client_carries_on_after_a_restart(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    client = connect_async(redis_server.url, timeout_s=5.0)
    await command_async(client, "SET", "name", "value")
    redis_server.restart()
    assert await command_async(client, "GET", "name") == b"value"
    await client.aclose()
