"""Each fault of Redis, of the log and of clocks, on one server that must come through all of them."""

from collections.abc import Iterator

import pytest

from tests.chaos_serve.place import Fault, Place
from tests.chaos_serve.store_faults import FAULTS


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Place(tmp_path_factory.mktemp("place")) as found:
        yield found


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_server_comes_through(place: Place, fault: Fault) -> None:
    assert fault.play(place)
