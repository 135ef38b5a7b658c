"""Each fault of clients, on one server that must come through them all."""

from collections.abc import Iterator

import pytest

from tests.chaos_serve.client_faults import FAULTS, SETTINGS
from tests.chaos_serve.place import Fault, Place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Place(tmp_path_factory.mktemp("place"), **SETTINGS) as found:
        yield found


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_server_comes_through(place: Place, fault: Fault) -> None:
    assert fault.play(place)
    assert place.defects() == []
