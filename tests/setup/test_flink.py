import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backdrop.setup import Layout, SetupError, is_flink_current
from backdrop.setup.console import Console
from backdrop.setup.flink import FlinkSetup
from backdrop.setup.process import Runner, Signals

COPIES = """for word; do case $word in -DoutputDirectory=*) touch "${word#*=}/beam-runners-flink-1.jar";; esac; done"""
FAILS = """echo '[ERROR] nothing of that name -> [Help 1]'; echo '[ERROR] For more about the errors, read:'; exit 1"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path)
    found.scratch.mkdir(parents=True)
    found.flink_pom.parent.mkdir(parents=True)
    found.flink_pom.write_text("<project/>")
    return found


@pytest.fixture
def make(layout: Layout) -> Callable[..., FlinkSetup]:
    def build(**programs: str) -> FlinkSetup:
        folder = layout.root / "bin"
        folder.mkdir(exist_ok=True)
        for name, text in programs.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        console = Console(io.StringIO(), is_terminal=False)
        env = {"PATH": f"{folder}{os.pathsep}/no-java-here"}
        return FlinkSetup(layout, Runner(console, Signals(), env, layout.log, layout.root))

    return build


def test_the_job_server_is_current_until_its_pom_changes(layout: Layout, make: Callable[..., FlinkSetup]) -> None:
    assert not is_flink_current(layout)
    make(java="exit 0", mvn=f"PATH=/usr/bin:/bin\n{COPIES}").ensure()
    assert is_flink_current(layout)
    assert {path.name for path in layout.flink.iterdir()} == {"pom.xml", "beam-runners-flink-1.jar"}
    make(mvn="exit 1").ensure()
    layout.flink_pom.write_text("<project>newer</project>")
    assert not is_flink_current(layout)
    with pytest.raises(SetupError):
        make(mvn="exit 1").ensure()
    assert (layout.flink / "beam-runners-flink-1.jar").exists()


def test_a_failing_maven_is_quoted_and_leaves_nothing(layout: Layout, make: Callable[..., FlinkSetup]) -> None:
    with pytest.raises(SetupError, match=r"nothing of that name.*let Maven reach a repository.*setup\.log"):
        make(java="exit 0", mvn=FAILS).ensure()
    assert not layout.flink.exists()


def test_a_maven_that_copies_nothing_is_not_believed(layout: Layout, make: Callable[..., FlinkSetup]) -> None:
    with pytest.raises(SetupError, match="copied no beam-runners-flink"):
        make(java="exit 0", mvn="exit 0").ensure()
    assert not layout.flink.exists()


@pytest.mark.parametrize(
    ("there", "words"),
    [("mvn", "needs Java, .*default-jre-headless"), ("java", r"needs Maven, .*Debian: maven")],
)
def test_what_is_missing_is_named_with_what_to_install(make: Callable[..., FlinkSetup], there: str, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        make(**{there: "exit 0"}).ensure()
