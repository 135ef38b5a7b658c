"""The report of a run: a page, and the same numbers as JSON."""

import os
import platform
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from demo.experiment.rates import Rate, levels_of, painted, rates_by, reasons_of
from demo.experiment.run import Result
from demo.experiment.variation import AGAIN, Variation
from learner import wilson

_WIDTH = 120
_PARTS = ("whole", "above", "below")
_GENERATED = ("planned", "made", "skipped", "retried", "rejected")


def as_json(result: Result) -> dict[str, Any]:
    """All numbers of the report."""
    rows = painted(result.rows)
    passed = sum(not row.flagged for row in rows)
    return {
        "backend": result.config.backend,
        "products": len(result.products),
        "categories": dict(Counter(product.category for product in result.products)),
        "placements": [asdict(slot) for slot in result.config.slots()],
        "wanted": result.wanted,
        "there": len(result.rows),
        "painted": len(rows),
        "passed": passed,
        "passed_interval": wilson(passed, len(rows)),
        "rates": {name: [rate.plain() for rate in rates] for name, rates in _rates(result).items()},
        "reasons": reasons_of(result.rows),
        "attempts": {str(k): v for k, v in sorted(Counter(row.attempt for row in rows).items())},
        "generated": {name: getattr(result.generated, name) for name in _GENERATED},
        "dead_letters": dict(result.generated.dead_letters),
        "wall_s": result.wall_s,
        "cpu_s": result.cpu_s,
        "bytes": sum(row.bytes for row in result.rows),
        "variation": asdict(result.looked),
    }


def report_page(result: Result, images: Sequence[tuple[str, str]], command: str) -> str:
    """The page in Markdown; ``images`` are (path as seen from the page, what it shows)."""
    parts = [_head(result, command), _pictures(images), _gate(result), _control(result), _cost(result)]
    return "\n".join(line for part in parts for line in part) + "\n"


def _head(result: Result, command: str) -> list[str]:
    rows, slots = painted(result.rows), result.config.slots()
    passed = sum(not row.flagged for row in rows)
    wanted = result.wanted - len(result.products) * len(slots)
    most = max(Counter((row.item_id, row.placement) for row in rows).values(), default=0)
    categories = Counter(product.category for product in result.products)
    named = ", ".join(f"{slot.placement} ({slot.width} × {slot.height})" for slot in slots)
    painter = (
        " The procedural painter takes surface, scene, light and mood from a prompt's tags, so this run also says "
        "nothing of how well a diffusion model follows words."
    )
    return [
        "# The first experiment: products × controlled prompts",
        "",
        *_wrapped(
            "The paper ([arXiv 2408.12392](https://arxiv.org/abs/2408.12392)) begins with 100 products of different "
            "categories whose backgrounds are generated under controlled variations of the prompt. This is that "
            "experiment on the catalogue in `demo/catalogue/hundred` (photos rendered from free 3-D models; authors "
            f"and licences in its NOTICE.md). `{command}` runs it and writes this page; every number is of that run."
        ),
        "",
        *_wrapped(
            f"{len(result.products)} products of {len(categories)} categories; {most} prompts a product "
            f"({' × '.join(result.factors)}, crossed); slots: {named}; backend: `{result.config.backend}`. "
            f"{len(rows):,} of {wanted:,} pictures are there, **{_share(passed, len(rows))}** of them passed the gate."
        ),
        "",
        *_wrapped(
            "There are no clicks here: which picture shoppers prefer is for the bandit to find out, and this run says "
            "nothing of it." + (painter if result.config.backend == "procedural" else "")
        ),
        "",
    ]


def _pictures(images: Iterable[tuple[str, str]]) -> list[str]:
    return [line for path, what in images for line in (f"{what}:", "", f"![{what}]({path})", "")]


def _gate(result: Result) -> list[str]:
    reasons, dead = reasons_of(result.rows), result.generated.dead_letters
    broken = ", ".join(f"`{name}` {count}" for name, count in reasons.items())
    left_out = ", ".join(f"`{name}` {count}" for name, count in sorted(dead.items()))
    refused = sum(row.flagged for row in painted(result.rows))
    return [
        "## What the gate let through",
        "",
        *_wrapped(
            "Shares of pictures with 95 % intervals (Wilson). *At once*: from the first of up to 3 seeds. Intervals "
            "take pictures for independent, which those of one product are not: they are too narrow."
        ),
        "",
        "| factor | level | pictures | at once | in the end | 95 % |",
        "| --- | --- | ---: | ---: | ---: | --- |",
        *(_rate_row(rate) for rates in _rates(result).values() for rate in rates),
        "",
        *_wrapped(
            f"{refused:,} pictures were refused from every seed"
            + (f"; limits broken (a picture may break several): {broken}" if reasons else "")
            + f". Products left out in this run: {left_out or 'none'}."
        ),
        "",
    ]


def _rates(result: Result) -> dict[str, tuple[Rate, ...]]:
    found = {factor: _by_factor(result, factor) for factor in result.factors}
    if len(result.config.placements) > 1:
        found["placement"] = rates_by(result.rows, "placement", lambda row: row.placement)
    return found | {"category": rates_by(result.rows, "category", lambda row: row.category)}


def _by_factor(result: Result, factor: str) -> tuple[Rate, ...]:
    return rates_by(result.rows, factor, lambda row: levels_of(row).get(factor, ""))


def _rate_row(rate: Rate) -> str:
    low, high = wilson(rate.passed, rate.pictures)
    return (
        f"| {rate.factor} | {rate.level} | {rate.pictures:,} | {_share(rate.at_once, rate.pictures)} | "
        f"{_share(rate.passed, rate.pictures)} | {100 * low:.1f} to {100 * high:.1f} |"
    )


def _control(result: Result) -> list[str]:
    looked = result.looked
    return [
        "## Whether the variations were controlled",
        "",
        *_wrapped(
            f"{looked.pictures:,} pictures of the first {result.config.looked_at} products of each category: every "
            "two of the same product and slot that differ in one factor alone. Distance: mean absolute difference of "
            "RGB (of 255) over the background, of pictures shrunk to 64 × 64; *above* is the upper 40 % of the slot, "
            "*below* the lowest 14 %, which is ground. Seeds differ, too (a picture's seed comes from its whole "
            "spec): the first row says how far apart two pictures of one prompt are."
        ),
        "",
        "| differs | pairs | whole | above | below |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(_variation_row(each) for each in looked.variations),
        "",
        *_wrapped(
            f"The product itself: {looked.product_pixels:,} pixels (those whose JPEG blocks hold nothing but product) "
            "compared over all pictures of the same product and slot; the largest difference in any channel is "
            f"**{looked.largest_difference}** of 255."
        ),
        "",
    ]


def _variation_row(each: Variation) -> str:
    name = f"nothing ({AGAIN})" if each.factor == AGAIN else each.factor
    return f"| {name} | {each.pairs:,} | " + " | ".join(f"{getattr(each, part):.1f}" for part in _PARTS) + " |"


def _cost(result: Result) -> list[str]:
    made, size = result.generated.made, sum(row.bytes for row in result.rows)
    rows = painted(result.rows)
    tries = sum(row.attempt for row in rows)
    cores = f"{result.config.workers} worker processes, {os.cpu_count()} cores ({platform.machine()})"
    lines = [
        f"| pictures made in this run; existed before | {made:,}; {result.generated.skipped:,} |",
        f"| wall time ({cores}) | {result.wall_s:,.0f} s |",
        f"| CPU time of the job | {result.cpu_s:,.0f} s |",
    ]
    if made:
        lines += [
            f"| pictures per second | {made / result.wall_s:.1f} |",
            f"| CPU time a picture, everything included | {1000 * result.cpu_s / made:.0f} ms |",
        ]
    return [
        "## Cost",
        "",
        "| what | |",
        "| --- | ---: |",
        *lines,
        f"| further attempts | {tries:,} ({100 * tries / max(len(rows), 1):.1f} for 100 pictures) |",
        f"| bytes of all pictures | {size / 1e6:,.1f} MB ({size / max(len(result.rows), 1) / 1e3:.0f} kB a picture) |",
    ]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
