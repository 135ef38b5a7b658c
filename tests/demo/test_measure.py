import os
import subprocess
import sys
import time

from demo.measure import PhaseMeter, tree_bytes


def test_memory_of_children_counts() -> None:
    before = tree_bytes(os.getpid())
    assert before > 0
    hog = "data = bytearray(200_000_000); data[::4096] = b'x' * len(data[::4096]); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hog], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert tree_bytes(os.getpid()) > before + 150_000_000
        child.communicate(b"\n")


def test_phases_have_time_and_a_peak() -> None:
    meter = PhaseMeter(sample_s=0.01)
    with meter.sampling(), meter.phase("outer"):
        with meter.phase("inner"):
            data = bytearray(100_000_000)
            data[::4096] = b"x" * len(data[::4096])
            time.sleep(0.05)
        del data
    inner, outer = meter.phases
    assert (inner.name, outer.name) == ("inner", "outer")
    assert 0 < inner.wall_s <= outer.wall_s
    assert outer.peak_bytes >= 100_000_000


def test_a_phase_that_fails_is_measured_too() -> None:
    meter = PhaseMeter()
    try:
        with meter.phase("doomed"):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert [phase.name for phase in meter.phases] == ["doomed"]


def test_a_process_that_does_not_exist_has_no_memory() -> None:
    assert tree_bytes(2**22 + 1) == 0
