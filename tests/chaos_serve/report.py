"""The tables of docs/reliability.md."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos_serve.load import Loaded

FAULTS_HEAD = "| what was tried | expected | what came back |\n| --- | --- | --- |\n"


@dataclass(frozen=True, slots=True)
class Tried:
    """A fault as it was played; ``failed``: what came back is how it failed."""

    name: str
    expected: str
    came_back: str
    failed: bool = False


def line(found: Tried) -> str:
    """One row of the table of faults."""
    sign = "**failed**: " if found.failed else ""
    return f"| {found.name} | {found.expected} | {sign}{found.came_back.replace('|', '/')} |\n"


def faults_table(found: Sequence[Tried], command: str) -> str:
    """All faults."""
    failed = sum(each.failed for each in found)
    return f"`{command}`: {len(found)} faults, {failed} failed.\n\n{FAULTS_HEAD}" + "".join(map(line, found))


def load_table(found: Loaded, command: str) -> str:
    """The load run."""
    rate = found.decisions / found.seconds
    first, last = found.resident
    rows = (
        ("load", f"{found.seconds / 60:.1f} min, {found.decisions:,} decisions ({rate:.0f}/s)"),
        ("Redis restarted", f"{found.restarts} times in order, {found.kills} times by SIGKILL"),
        ("5xx, or no answer, on decide, pixel, click", f"{found.server_errors}"),
        ("decisions without Redis, flagged", f"{found.degraded:,}"),
        ("/v1/events: facts accepted; batches 503", f"{found.accepted:,}; {found.refused:,}"),
        ("accepted facts that are not in the log", f"{found.lost_accepted}"),
        (
            "pixels and clicks answered; not in the log; counted as dropped",
            f"{found.told:,}; {found.lost_told}; {found.dropped}",
        ),
        ("resident memory of the server, after the warm-up and at the end", f"{first:.1f}, {last:.1f} MiB"),
        ("its slope after the warm-up", f"{found.slope:+.3f} ± {found.error:.3f} MiB/min"),
    )
    verdict = "as promised" if not found.faults else "**not as promised**: " + "; ".join(found.faults)
    body = "".join(f"| {name} | {value} |\n" for name, value in rows)
    return f"`{command}`: {verdict}.\n\n| what | came back |\n| --- | --- |\n{body}"


def replaced(page: str, name: str, text: str) -> str:
    """The page with ``text`` between its markers of that name.

    Raises:
        ValueError: if the page lacks them.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        message = f"the page has no {begin.strip()} … {end.strip()}"
        raise ValueError(message)
    return before + begin + text + end + after
