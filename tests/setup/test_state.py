"""Stamps, weights, cleaning: what set-up believes about a checkout."""

from pathlib import Path

import pytest

from backdrop.setup import PROFILES, Layout, SetupError, are_weights_current, is_profile_current
from backdrop.setup.cleaning import remove_everything, remove_state
from backdrop.setup.environment import check_sha256
from backdrop.setup.stamps import profile_key, write_stamp

DEMO = PROFILES["demo"]
PYTHON = "3.11.7"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    for path in (made.packages("demo"), tmp_path / "setup.py", tmp_path / "backdrop/version.py", made.python):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    return made


def stamp(layout: Layout) -> None:
    write_stamp(layout, DEMO, profile_key(layout, DEMO, PYTHON))


def test_an_installed_profile_is_current_until_something_changes(layout: Layout) -> None:
    assert not is_profile_current(layout, DEMO, PYTHON)
    stamp(layout)
    assert is_profile_current(layout, DEMO, PYTHON)
    assert not is_profile_current(layout, DEMO, "3.11.8")
    assert not is_profile_current(layout, PROFILES["demo"], "3.11.8")


@pytest.mark.parametrize("changed", ["locks/demo.txt", "setup.py", "backdrop/version.py"])
def test_a_changed_source_makes_a_profile_stale(layout: Layout, changed: str) -> None:
    stamp(layout)
    (layout.root / changed).write_text("2")
    assert not is_profile_current(layout, DEMO, PYTHON)


def test_a_run_that_was_killed_makes_every_profile_stale(layout: Layout) -> None:
    stamp(layout)
    layout.installing.touch()
    assert not is_profile_current(layout, DEMO, PYTHON)


@pytest.mark.parametrize("damage", ["", "{", "[1]"])
def test_a_damaged_stamp_counts_as_none(layout: Layout, damage: str) -> None:
    layout.stamps.write_text(damage)
    assert not is_profile_current(layout, DEMO, PYTHON)
    stamp(layout)
    assert is_profile_current(layout, DEMO, PYTHON)


def test_weights_are_judged_by_their_checksum(layout: Layout) -> None:
    layout.weights.parent.mkdir(parents=True)
    layout.weights.write_bytes(b"not a network")
    assert are_weights_current(layout)
    assert not are_weights_current(layout, checksum=True)


def test_a_file_with_a_wrong_checksum_is_refused_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "u2netp.onnx"
    path.write_bytes(b"x")
    with pytest.raises(SetupError, match=r"u2netp\.onnx has sha256 2d711642"):
        check_sha256(path, "0" * 64)
    assert not path.exists()


def test_clean_keeps_tools_and_weights(layout: Layout) -> None:
    for path in (layout.prism, layout.weights, layout.home / "redis" / "appendonly.aof", layout.home / "run.log"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    assert {path.name for path in remove_state(layout)} == {"redis", "run.log"}
    assert layout.prism.exists()
    assert layout.weights.exists()
    assert remove_state(layout) == []


def test_distclean_removes_what_was_set_up_and_nothing_else(layout: Layout) -> None:
    (layout.root / "backdrop_ads.egg-info").mkdir()
    (layout.root / "mine.txt").write_text("x")
    remove_everything(layout)
    assert sorted(path.name for path in layout.root.iterdir()) == ["backdrop", "locks", "mine.txt", "setup.py"]
