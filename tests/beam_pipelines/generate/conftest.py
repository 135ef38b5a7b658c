from collections.abc import Iterator

import pytest

from tests.stores.fake_bucket import FakeBucketServer


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBucketServer]:
    """An empty stand-in for Google's storage, which the client library talks to."""
    with FakeBucketServer() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test")
        yield server
