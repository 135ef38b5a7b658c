"""The table of a chaos run."""

from collections.abc import Sequence

from tests.chaos.rounds import Round

HEAD = (
    "| round | what happened | after s | back in s | facts appended | windows closed | facts counted "
    "| confirmed and counting | lost | identical |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
)
_BEGIN, _END = "<!-- rounds -->\n", "<!-- end of rounds -->\n"


def line(number: int, found: Round) -> str:
    """One row of the table."""
    low, high = found.known
    known = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return (
        f"| {number} | {found.name} | {found.moment_s:.1f} | {found.recovered_s:.1f} | {found.appended:,} "
        f"| {found.windows_closed:,} | {found.facts:,} | {known} | {found.lost:,} "
        f"| {'no' if found.faults else 'yes'} |\n"
    )


def replaced(page: str, rounds: Sequence[Round], command: str, seconds: float) -> str:
    """The page with this run in the place of the last one."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    table = HEAD + "".join(line(number, found) for number, found in enumerate(rounds, 1))
    told = f"`{command}`: {len(rounds)} rounds in {seconds / 60:.0f} minutes.\n\n{table}"
    return before + _BEGIN + told + _END + after
