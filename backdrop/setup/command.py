"""Puts the set-up's parts together for one command."""

import fcntl
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from backdrop.setup.cleaning import remove_everything, remove_state
from backdrop.setup.console import Console
from backdrop.setup.environment import Environment, python_version
from backdrop.setup.errors import Interrupted, SetupError
from backdrop.setup.flink import FlinkSetup, is_flink_current
from backdrop.setup.layout import Layout
from backdrop.setup.locks import write_locks
from backdrop.setup.makehelp import describe_targets
from backdrop.setup.network import child_env
from backdrop.setup.pins import PROFILES, Profile
from backdrop.setup.prism import PrismSetup, is_prism_current
from backdrop.setup.process import Runner, Signals
from backdrop.setup.stamps import is_profile_current
from backdrop.setup.weights import WeightsSetup, are_weights_current

_USAGE = f"usage: python3.11 -m backdrop.bootstrap {'|'.join(PROFILES)}|flink|lock|clean|distclean|help MAKEFILE"
_INTERRUPTED = 130


def main(arguments: Sequence[str]) -> int:
    """Run one command and return the exit status; every failure is one sentence on standard error."""
    console = Console(sys.stdout, sys.stdout.isatty(), shutil.get_terminal_size().columns)
    layout = Layout(Path(__file__).resolve().parents[2])
    signals = Signals()
    signals.install()
    try:
        _dispatch(arguments, layout, console, signals)
    except SetupError as error:
        sys.stderr.write(f"set-up stopped: {error}\n")
        return 1
    except Interrupted:
        sys.stderr.write("\nset-up interrupted: nothing half-written is left; run the same command again\n")
        return _INTERRUPTED
    except OSError as error:
        sys.stderr.write(f"set-up stopped: {error}: check permissions and free space of {layout.root}\n")
        return 1
    return 0


def _dispatch(arguments: Sequence[str], layout: Layout, console: Console, signals: Signals) -> None:
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", ())
    runner = Runner(console, signals, child_env(os.environ), layout.log, layout.root)
    if command in PROFILES:
        set_up(PROFILES[command], layout, runner)
    elif command == "flink":
        if not is_flink_current(layout):
            with _exclusive(layout, console):
                FlinkSetup(layout, runner).ensure()
    elif command == "lock":
        with _exclusive(layout, console):
            environment = _environment(layout, runner)
            environment.prepare()
            write_locks(layout, environment.uv_runner(), rest)
    elif command in {"clean", "distclean"}:
        removed = remove_state(layout) if command == "clean" else remove_everything(layout)
        for path in removed:
            console.say(f"removed {path.relative_to(layout.root)}")
    elif command == "help" and len(rest) == 1:
        console.say(describe_targets(Path(rest[0]).read_text()))
    else:
        raise SetupError(_USAGE)


def set_up(profile: Profile, layout: Layout, runner: Runner) -> None:
    """Bring a checkout to what a profile needs; a no-op where that is so already.

    Raises:
        SetupError: a step failed; its message says what to do.
    """
    layout = replace(layout, environment=profile.environment)
    if _is_current(profile, layout):
        return
    with _exclusive(layout, runner.console):
        # Another set-up may have done it while this one waited.
        if _is_current(profile, layout):
            return
        runner.console.say(f"Setting up {profile.name!r} in {layout.root} (once; the log is {layout.log})")
        environment = _environment(layout, runner)
        if not is_profile_current(layout, profile, python_version()):
            environment.install(profile)
        if profile.tools:
            PrismSetup(layout, runner, environment.install_go).ensure()
            WeightsSetup(layout, runner).ensure()
        runner.console.say("Set-up is complete")


def _is_current(profile: Profile, layout: Layout) -> bool:
    tools = not profile.tools or (is_prism_current(layout) and are_weights_current(layout))
    return is_profile_current(layout, profile, python_version()) and tools


def _environment(layout: Layout, runner: Runner) -> Environment:
    base = str(getattr(sys, "_base_executable", sys.executable))
    return Environment(layout, runner, base, importlib.util.find_spec("ensurepip") is not None)


@contextmanager
def _exclusive(layout: Layout, console: Console) -> Iterator[None]:
    """Hold the checkout's set-up lock and an empty scratch folder; the system frees the lock if we are killed."""
    layout.home.mkdir(exist_ok=True)
    with layout.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.say("Another set-up of this checkout is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(layout.scratch, ignore_errors=True)
        layout.scratch.mkdir()
        layout.log.write_bytes(b"")
        try:
            yield
        finally:
            shutil.rmtree(layout.scratch, ignore_errors=True)
