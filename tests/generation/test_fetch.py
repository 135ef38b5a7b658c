"""Photos over HTTP: what servers do, and what becomes of it."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from generation import FetchLimits, PhotoError, PhotoFetcher
from tests.generation.mischief import PHOTO, MischiefServer, closed_port

HOSTS = ("127.0.0.1", "localhost")


@pytest.fixture
def server() -> Iterator[MischiefServer]:
    with MischiefServer() as running:
        yield running


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def fetcher(pauses: list[float]) -> PhotoFetcher:
    limits = FetchLimits(silence_s=0.3, deadline_s=0.5, max_bytes=1 << 20, tries=3, private_hosts=HOSTS)
    return PhotoFetcher(limits, pauses.append)


@pytest.mark.parametrize("path", ["photo", "to-photo", "to-_to-_photo", "late", "half-then-whole"])
def test_a_photo_is_had_in_the_end(path: str, server: MischiefServer, fetcher: PhotoFetcher) -> None:
    assert fetcher.fetch(server.url(path)) == PHOTO


def test_a_server_is_asked_by_its_name(server: MischiefServer, fetcher: PhotoFetcher) -> None:
    assert fetcher.fetch(server.url("host", "localhost")) == f"localhost:{server.port}".encode()


@pytest.mark.parametrize(
    ("path", "reason", "tries"),
    [
        ("404", "no_image", 1),
        ("403", "no_image", 1),
        ("204", "no_image", 1),
        ("nowhere", "no_image", 1),
        ("for-ever", "no_image", 6),
        ("to-ftp:__elsewhere_photo", "no_image", 1),
        ("to-file:___etc_passwd", "no_image", 1),
        ("html", "bad_image", 1),
        ("gzip", "bad_image", 1),
        ("endless", "bad_image", 1),
        ("500", "image_unavailable", 3),
        ("429", "image_unavailable", 3),
        ("cut", "image_unavailable", 3),
        ("hang", "image_unavailable", 3),
        ("drip", "image_unavailable", 3),
        ("garbage", "image_unavailable", 3),
    ],
)
def test_no_photo_and_why(path: str, reason: str, tries: int, server: MischiefServer, fetcher: PhotoFetcher) -> None:
    with pytest.raises(PhotoError) as caught:
        fetcher.fetch(server.url(path))
    assert caught.value.reason == reason
    assert server.asked[path] == tries
    assert server.url("")[:-1] in str(caught.value)


def test_pauses_double_and_the_server_may_ask_for_more(
    server: MischiefServer, fetcher: PhotoFetcher, pauses: list[float]
) -> None:
    with pytest.raises(PhotoError):
        fetcher.fetch(server.url("500"))
    assert pauses == [0.5, 1.0]
    assert fetcher.fetch(server.url("late")) == PHOTO
    assert pauses[2:] == [7.0, 7.0]


def test_a_host_that_is_not_there_is_tried_again(
    fetcher: PhotoFetcher, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_name(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    for url in (f"http://127.0.0.1:{closed_port()}/a.jpg", "http://host.invalid/a.jpg"):
        with pytest.raises(PhotoError) as caught:
            fetcher.fetch(url)
        assert caught.value.reason == "image_unavailable"
    assert len(pauses) == 4


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "[fd00::1]", "0.0.0.0"]
)
def test_what_is_not_public_is_not_asked(host: str) -> None:
    with pytest.raises(PhotoError, match="not a public address") as caught:
        PhotoFetcher().fetch(f"http://{host}:9/a.jpg")
    assert caught.value.reason == "no_image"


def test_a_redirect_does_not_lead_inside(server: MischiefServer) -> None:
    fetcher = PhotoFetcher(FetchLimits(private_hosts=("127.0.0.1",)))
    with pytest.raises(PhotoError, match="not a public address"):
        fetcher.fetch(server.url(f"to-http:__localhost:{server.port}_photo"))
    assert server.asked["photo"] == 0


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/b",
        "http://",
        "http:///b",
        "//a/b",
        "http://a:99999/b",
        "http://a/ b",
        "http://a/é",
        "http://[x/b",
        "a.jpg",
    ],
)
def test_what_is_no_url(url: str, fetcher: PhotoFetcher) -> None:
    with pytest.raises(PhotoError, match="is no http or https URL") as caught:
        fetcher.fetch(url)
    assert caught.value.reason == "no_image"


def test_a_host_gets_few_connections_at_once(server: MischiefServer) -> None:
    fetcher = PhotoFetcher(FetchLimits(per_host=2, private_hosts=HOSTS))
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(fetcher.fetch, [server.url("busy")] * 16)) == {PHOTO}
    assert server.at_once == 2


def test_a_refused_body_does_not_use_a_connection_up(server: MischiefServer) -> None:
    fetcher = PhotoFetcher(FetchLimits(per_host=1, private_hosts=HOSTS))
    for _ in range(3):
        with pytest.raises(PhotoError):
            fetcher.fetch(server.url("html"))
    assert fetcher.fetch(server.url("photo")) == PHOTO
