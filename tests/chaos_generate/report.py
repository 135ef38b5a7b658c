"""The table of a chaos run of the generation job."""

from collections.abc import Sequence

from tests.chaos_generate.rounds import Round

HEAD = (
    "| round | runs killed at | pictures stored, with a row | stored by the last run | painted again "
    "| as a whole run |\n"
    "| --- | --- | --- | --- | --- | --- |\n"
)


def line(number: int, found: Round) -> str:
    """One row of the table."""
    deaths = "; ".join(death.name for death in found.deaths) or "none (too few such steps)"
    where = "elsewhere: " if found.elsewhere else ""
    verdict = "**no**" if found.faults else "yes"
    return f"| {number} | {where}{deaths} | {found.stored}, {found.rows} | {found.made} | {found.again} | {verdict} |\n"


def rounds_table(rounds: Sequence[Round], command: str, seconds: float) -> str:
    """All rounds, and what they were together."""
    killed = sum(len(found.deaths) for found in rounds)
    failed = sum(bool(found.faults) for found in rounds)
    took = f"in {seconds / 60:.1f} minutes"
    told = f"`{command}`: {len(rounds)} rounds, {killed} runs killed, {failed} rounds failed, {took}."
    return f"{told}\n\n{HEAD}" + "".join(line(number, found) for number, found in enumerate(rounds, 1))
