"""Models, arms and dead letters as a person reads them: rich tables and plain sentences."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backdrop.inspection import Inspection, Weight
from backdrop.models import LineageHead, Overview, Rate
from stores import DeadLetter

# A pipe has no width of its own; rich would cut at 80.
PIPE_COLUMNS = 160
_SILENT_MS = 10_000
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
_NONE = "–"


def console() -> Console:
    """Standard output, wide enough where it is no terminal."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=PIPE_COLUMNS)


def print_models(out: Console, found: Overview) -> None:
    """Lineage, then a row a category."""
    _print_head(out, found.head)
    if not found.rows:
        out.print("no statistics yet: nothing that was shown has been folded")
        return
    table = _table("category", ">arms", ">shown", ">clicks", ">CTR", "95 % interval", ">recent")
    for name in ("generation", "pack age", "closed through"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found.rows:
        generation = f"{row.generation:,}" + (f" (+{row.waiting:,})" if row.waiting > 0 else "")
        table.add_row(
            Text(row.category, style="red" if row.damage else ""),
            f"{row.arms:,}",
            *_rate(row.rate),
            _percent(row.share, 1),
            generation,
            _age(row.pack_age_ms),
            moment(row.closed_ms),
        )
    out.print(table)
    if found.more:
        out.print(f"and {found.more:,} smaller categories: --limit 0 shows them all")
    for row in found.rows:
        _print_damage(out, f"{row.category}: ", row.damage)


def print_inspection(out: Console, found: Inspection) -> None:
    """One category: its arms, what moves them, and who showed it where."""
    _print_head(out, found.head)
    model = f"pack of generation {found.generation:,}" if found.generation else "no pack, fitted now"
    out.print(
        f"category {found.category}: {model}, alpha {found.alpha:g}, epsilon {found.epsilon:g}, ridge {found.ridge:g}, "
        f"d = {found.d}"
    )
    arms = _table("arm", "status", ">shown", ">clicks", ">CTR", "95 % interval", ">of linucb")
    for name in ("expected", "±", "condition", "exact range left"):
        arms.add_column(name, justify="right", no_wrap=True)
    reasons = _table("arm", "raised by", "lowered by", "tags")
    for arm in found.arms:
        arms.add_row(
            arm.arm,
            Text(arm.status, style="" if arm.status == "active" else "yellow"),
            *_rate(arm.rate),
            _percent(arm.share, 1),
            _percent(arm.mean, 2),
            _percent(None if arm.width is None else found.alpha * arm.width, 2),
            f"{arm.condition:.3g}",
            _percent(arm.headroom, 1),
        )
        tags = ", ".join(f"{name} {value}" for name, value in sorted(arm.tags.items()))
        # Texts of features and tags may hold brackets: never markup.
        words = (_weights(arm.raising), _weights(arm.lowering), tags or _NONE)
        reasons.add_row(arm.arm, *(Text(word) for word in words))
    out.print(arms)
    if found.average_context is None:
        out.print("expected rates are not known: nothing was shown, or contexts have no bias entry to average by")
    out.print(reasons)
    counts = _table("policy", "placement", ">shown", ">clicks", ">CTR", "95 % interval")
    for row in found.counts:
        counts.add_row(row.policy, row.placement, *_rate(row.rate))
    out.print(counts)
    _print_damage(out, "", found.damage)


def print_dead_letters(out: Console, counts: Iterable[tuple[str, int]], letters: Sequence[DeadLetter]) -> None:
    """Counts by reason, then the latest letters."""
    total = _table("reason", ">letters")
    for reason, count in counts:
        total.add_row(reason, f"{count:,}")
    if not total.row_count:
        out.print("no dead letters")
        return
    out.print(total)
    latest = _table("when", "source", "reason", ">bytes")
    latest.add_column("detail", overflow="fold")
    for letter in letters:
        when = moment(letter.position.append_ms)
        # Details quote what was sent: never markup.
        latest.add_row(when, letter.source, letter.reason, f"{letter.blob_bytes:,}", Text(_sentence(letter.detail)))
    out.print(latest)


def moment(time_ms: int) -> str:
    """A time in words; a dash for none."""
    if time_ms < 0:
        return _NONE
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _print_head(out: Console, head: LineageHead) -> None:
    out.print(f"lineage {head.lineage} ({head.state}), schema {head.schema_hash}, {head.categories:,} categories")
    if head.low_watermark_ms < 0:
        out.print("low watermark: none yet")
    else:
        lag = f"{_age(head.lag_ms)} behind the log" if head.lag_ms else "nothing waits"
        out.print(f"low watermark {moment(head.low_watermark_ms)} UTC: {lag}")
    if head.learner_ms < 0:
        out.print("learner: never seen")
        return
    silent_ms = max(0, head.log_ms - head.learner_ms)
    seen = "[red]silent for[/red]" if silent_ms > _SILENT_MS else "alive, last heard of"
    out.print(f"learner: {seen} {_age(silent_ms)}{'' if silent_ms > _SILENT_MS else ' ago'}, pid {head.learner_pid}")


def _print_damage(out: Console, where: str, damage: Iterable[str]) -> None:
    for sentence in damage:
        out.print(Text(f"damaged: {where}{sentence}", style="red"))


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", no_wrap=True)
    return table


def _rate(rate: Rate) -> tuple[str, str, str, str]:
    interval = _NONE if rate.low is None else f"{_percent(rate.low, 2)} – {_percent(rate.high, 2)}"
    return f"{rate.shown:,}", f"{rate.clicks:,}", _percent(rate.ctr, 2), interval


def _percent(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:.{digits}%}"


def _age(age_ms: int) -> str:
    if age_ms < 0:
        return _NONE
    for size, unit in _UNITS:
        if age_ms >= 2 * size:
            return f"{age_ms // size} {unit}"
    return f"{age_ms / 1000:.1f} s"


def _sentence(detail: str) -> str:
    """A letter's detail as a sentence: where it was and what was wrong; as it is where it is no object of ours."""
    try:
        said = json.loads(detail)
        return f"{said['detail']} (partition {said['partition']}, {said['position']})"
    except (ValueError, KeyError, TypeError):
        return detail


def _weights(weights: Sequence[Weight]) -> str:
    return "\n".join(f"{value:+.3f} {name}" for name, value in weights) or _NONE
