import os
import socket
from pathlib import Path

import pytest

from contracts import POLICIES, InvalidInputError, SetupError
from demo.config import PREFERRED_PORT, DemoConfig, shares_of
from demo.shoppers import Pace
from demo.stages import Site, own_home, server_port


def test_a_home_is_held_by_one_run(tmp_path: Path) -> None:
    with own_home(tmp_path / "home") as home:
        with pytest.raises(SetupError, match=r"another demo runs in .*--home"), own_home(tmp_path / "home"):
            pass
        assert home.is_absolute()
    with own_home(tmp_path / "home"):
        pass


def test_a_home_is_cleared_of_the_last_run_but_keeps_its_pictures(tmp_path: Path) -> None:
    for name in (
        "lock",
        "redis/appendonlydir/x",
        "logs/serve.log",
        "objects/archive/0/a",
        "objects/creatives/ab/c.webp",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    with own_home(tmp_path):
        left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"lock", "objects/creatives/ab/c.webp"}


def test_a_folder_that_is_somebody_elses_is_not_cleared(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "keyring.json").write_text("precious")
    with pytest.raises(SetupError, match="not a demo's"), own_home(tmp_path):
        pass
    assert (tmp_path / "keys" / "keyring.json").read_text() == "precious"
    assert not (tmp_path / "lock").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SetupError, match="cannot be written"), own_home(tmp_path / "home"):
        pass


def test_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SetupError, match="cannot be written"), own_home(tmp_path / "file"):
        pass


def test_the_port_asked_for_is_used_or_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(SetupError, match=str(number)), server_port(DemoConfig(port=number)):
            pass
    with server_port(DemoConfig(port=number)) as port:
        assert port == number


def test_without_a_port_there_is_always_one() -> None:
    # Whether or not somebody runs a demo on this machine, at most one of these gets the usual port.
    with server_port(DemoConfig()) as one, server_port(DemoConfig()) as two:
        assert one != two
        assert two != PREFERRED_PORT


def test_a_server_can_take_the_port_that_is_held_for_it() -> None:
    with server_port(DemoConfig(port=0)) as port, socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()


def test_children_get_the_site_by_environment(tmp_path: Path) -> None:
    site = Site(tmp_path, 8123, "redis://127.0.0.1:1/0", tmp_path / "catalogue", 2)
    found = site.environment()
    assert found["BACKDROP_REDIS_URL"] == "redis://127.0.0.1:1/0"
    assert found["BACKDROP_SERVE__PORT"] == "8123"
    assert found["BACKDROP_LINEAGE__WINDOW_S"] == "10"
    assert site.url == "http://127.0.0.1:8123"


def test_shares_of_some_policies_sum_to_one() -> None:
    assert sum(shares_of(POLICIES).values()) == pytest.approx(1)
    assert shares_of(["linucb"]) == {"linucb": 1.0}
    two = shares_of(["linucb", "random"])
    assert two["random"] == pytest.approx(2 * two["linucb"])


@pytest.mark.parametrize("policies", [[], ["greedy"], ["random", "greedy"]])
def test_unknown_policies_are_refused(policies: list[str]) -> None:
    with pytest.raises(InvalidInputError, match="original, random, linucb"):
        shares_of(policies)


def test_a_slow_machine_ends_the_traffic_only_where_no_number_was_asked_for() -> None:
    pace = Pace(decisions_per_s=10)
    assert DemoConfig(decisions=500, pace=pace).traffic_pace == pace
    assert DemoConfig(pace=pace).traffic_pace.enough == 60_000
    assert DemoConfig(pace=pace).traffic_pace.limit_s < 180


@pytest.mark.parametrize(("decisions", "seed"), [(0, 1), (10, -1)])
def test_impossible_configurations_are_refused(decisions: int, seed: int) -> None:
    with pytest.raises(InvalidInputError):
        DemoConfig(decisions=decisions, seed=seed)
