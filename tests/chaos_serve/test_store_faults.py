"""Each fault of Redis, of the log, of clocks and of stored bytes, on one server that must come through them all."""

from collections.abc import Iterator

import pytest

from tests.chaos_serve import data_faults, store_faults
from tests.chaos_serve.place import Fault, Place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Place(tmp_path_factory.mktemp("place")) as found:
        yield found


@pytest.mark.parametrize("fault", (*store_faults.FAULTS, *data_faults.FAULTS), ids=lambda fault: fault.name)
def test_the_server_comes_through(place: Place, fault: Fault) -> None:
    assert fault.play(place)
    assert place.defects() == []
