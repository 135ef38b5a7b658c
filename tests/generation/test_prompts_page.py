"""The examples of docs/prompts.md mean what the page says."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from contracts import Product
from generation import read_prompts, resolved
from generation.prompt_values import attributes_of
from tests.generation.studio import product

PAGE = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def shown() -> Product:
    row = json.loads(blocks("json")[0])
    named = {"title": row.pop("title"), "brand": row.pop("brand")}
    return replace(product(), **named, attributes=attributes_of(row, ()))


@pytest.mark.parametrize(
    ("prompts", "painted"), list(zip(blocks("yaml"), blocks("text"), strict=True)), ids=["prompts", "factors"]
)
def test_the_pages_prompts_are_painted_as_it_says(tmp_path: Path, prompts: str, painted: str) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(prompts)
    (ready,) = ([resolved(prompt, shown()) for prompt in each] for each in read_prompts(path).prompts.values())
    lines = []
    for prompt in ready:
        lines.append(f"{prompt.arm}: {prompt.text}\n")
        if "without:" in painted:
            lines.append(f"  without: {prompt.negative}\n")
    assert "".join(lines) == painted
