"""What is to be made, as dry runs and the stages see it."""

import json
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from beam_pipelines.generate import GenerateConfig, GenerateReport, PlanCounts
from beam_pipelines.generate.elements import Done, Example, Item, Painted
from beam_pipelines.generate.existing import Existing, gather
from beam_pipelines.generate.intake import Intake, read_chunk
from beam_pipelines.generate.job import run_job
from beam_pipelines.generate.manifest import ManifestRow, path_of, write_part
from beam_pipelines.generate.plan import ProductPlan, plan_product, shown_of
from beam_pipelines.generate.settings import Inputs
from contracts import CreativeSpec, InvalidInputError, Product, Prompt
from generation import Creative, ProceduralBackend, PromptError, Verdict, read_placements, read_prompts
from stores import FileObjectStore
from tests.beam_pipelines.generate.shop import PROMPTS, open_shop, row, write_catalogue

ROWS = [row("stool"), row("chair"), row("pot", "garden"), row("broken", price=float("nan"))]
NOTHING = Existing(())


@pytest.fixture
def config(tmp_path: Path) -> GenerateConfig:
    return open_shop(tmp_path, ROWS)


def intake(config: GenerateConfig) -> Intake:
    plans = FileObjectStore(Path(config.objects_uri).parent / "plans")
    return Intake(config, read_prompts(Path(config.prompts)), plans, "p/")


def products(config: GenerateConfig) -> list[Product]:
    taken = intake(config)
    return [item.product for chunk in taken.chunks() for item in read_chunk(taken.plans, chunk.path)]


def plans(config: GenerateConfig, existing: Existing = NOTHING) -> list[ProductPlan]:
    inputs = Inputs(read_prompts(Path(config.prompts)), read_placements(Path(config.placements)), intake(config).arms)
    backend = ProceduralBackend()
    return [plan_product(product, "ab" * 32, inputs, backend, "cut/1", existing) for product in products(config)]


def missing(found: Sequence[ProductPlan]) -> list[CreativeSpec]:
    return [spec for plan in found for spec in plan.missing]


def made(tmp_path: Path, specs: Sequence[CreativeSpec], *, flagged: int = 0, pictures: int | None = None) -> Existing:
    """What exists once rows of ``specs`` (the first few flagged) and the first ``pictures`` are written."""
    objects = FileObjectStore(tmp_path / "store")
    verdicts = [Verdict(("halo",) if n < flagged else (), {}) for n in range(len(specs))]
    write_part(objects, [ManifestRow.of(Creative(s, b"x", v, 0)) for s, v in zip(specs, verdicts, strict=True)])
    for spec in specs[:pictures]:
        objects.put_if_absent(path_of(spec), b"x")
    return gather(objects)


def test_everything_is_planned_once(config: GenerateConfig, tmp_path: Path) -> None:
    taken = intake(config)
    (chunk,) = taken.chunks()
    assert (chunk.products, dict(chunk.categories), dict(taken.dead)) == (
        3,
        {"seating": 2, "garden": 1},
        {"bad_price": 1},
    )
    first = plans(config)
    assert len({spec.creative_id for spec in missing(first)}) == len(missing(first)) == 2 * (3 + 3 + 2)
    again = plans(config, made(tmp_path, missing(first)))
    assert (missing(again), sum(plan.existing for plan in again)) == ([], 16)


def test_what_is_missing_is_planned_and_what_passed_is_shown(config: GenerateConfig, tmp_path: Path) -> None:
    specs = missing(plans(config))
    rest = plans(config, made(tmp_path, specs[:5], flagged=2))
    assert missing(rest) == specs[5:]
    assert [shown for plan in rest for shown in plan.shown] == [shown_of(spec) for spec in specs[2:5]]


def test_a_row_without_its_picture_is_made_again(config: GenerateConfig, tmp_path: Path) -> None:
    specs = missing(plans(config))
    assert missing(plans(config, made(tmp_path, specs, pictures=0))) == specs


def test_changing_one_prompt_plans_only_that_prompt(config: GenerateConfig, tmp_path: Path) -> None:
    existing = made(tmp_path, missing(plans(config)))
    Path(config.prompts).write_text(PROMPTS.replace("on slate", "on dark slate"))
    again = missing(plans(config, existing))
    assert {spec.arm for spec in again} == {"slate"}
    assert len(again) == 4


def test_a_prompt_that_a_product_cannot_have_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    rows = [row("stool", color="red"), row("chair", color="blue"), row("bench", color=None)]
    config = open_shop(tmp_path, rows)
    Path(config.prompts).write_text(PROMPTS.replace("text: on slate", "text: 'on {colour} slate'"))
    first = plans(config)
    assert [(dead.item_id, dead.reason) for plan in first for dead in plan.refused] == [("bench", "prompt_attribute")]
    texts = {(spec.item_id, spec.text) for spec in missing(first) if spec.arm == "slate"}
    assert texts == {("stool", "on red slate"), ("chair", "on blue slate")}
    assert {spec.arm for spec in missing(first) if spec.item_id == "bench"} == {"original", "oak"}
    existing = made(tmp_path, missing(first))
    write_catalogue(tmp_path, [{**rows[0], "color": "green"}, *rows[1:]])
    again = missing(plans(config, existing))
    assert {(spec.item_id, spec.text) for spec in again} == {("stool", "on green slate")}


def test_a_refused_prompt_is_a_dead_letter_of_dry_runs_too(tmp_path: Path) -> None:
    config = open_shop(tmp_path, [row("stool", color="red"), row("bench", color=None)], dry_run=True)
    Path(config.prompts).write_text(PROMPTS.replace("text: on slate", "text: 'on {colour} slate'"))
    dry = run_job(config, lambda _: None)
    assert (dry.planned, dict(dry.dead_letters)) == (10, {"prompt_attribute": 1})


def test_a_prompt_that_the_backend_would_cut_stops_the_run(
    config: GenerateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terse(ProceduralBackend):
        def check(self, prompt: Prompt) -> None:
            if "slate" in prompt.text:
                message = f"{prompt.arm} has 9 tokens, at most 8"
                raise PromptError(message, "prompt_too_long")

    monkeypatch.setattr("beam_pipelines.generate.job.open_backend", lambda *_: Terse())
    with pytest.raises(InvalidInputError, match="slate has 9 tokens"):
        run_job(config, lambda _: None)


def test_only_and_limit(config: GenerateConfig) -> None:
    def ids(**changes: object) -> list[str]:
        return [product.item_id for product in products(replace(config, **changes))]  # type: ignore[arg-type]

    assert ids(only=("garden",)) == ["pot"]
    assert ids(only=("chair", "pot")) == ["chair", "pot"]
    by_arm = missing(plans(replace(config, only=("oak", "stool"))))
    assert {(s.item_id, s.arm) for s in by_arm} == {("stool", "original"), ("stool", "oak")}
    assert ids(limit=2) == ["stool", "chair"]
    # A limited run reads no further than it must, but a name is looked for to the end.
    assert ids(limit=1, only=("seating", "pot")) == ["stool"]
    with pytest.raises(InvalidInputError, match="boat"):
        ids(only=("boat",))
    with pytest.raises(InvalidInputError, match="boat"):
        ids(only=("boat", "pot"), limit=1)


def test_chunks_hold_so_many_products(config: GenerateConfig) -> None:
    chunks = list(intake(replace(config, chunk=2)).chunks())
    assert [chunk.products for chunk in chunks] == [2, 1]
    assert len({chunk.path for chunk in chunks}) == 2


def test_memory_does_not_grow_with_the_catalogue_but_for_the_ids(config: GenerateConfig, tmp_path: Path) -> None:
    count = 30_000
    with (tmp_path / "large.csv").open("w") as file:
        file.write("item_id,category,title,description,price,image_uri\n")
        file.writelines(f"item-{n},seating,Stool {n},{'words ' * 40},5,{n}.png\n" for n in range(count))
    large = intake(replace(config, catalogue=str(tmp_path / "large.csv"), chunk=500))
    tracemalloc.start()
    try:
        assert sum(chunk.products for chunk in large.chunks()) == count
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The rows themselves, as products, take more than 800 bytes each.
    assert peak < 200 * count


def test_elements_and_messages_pass_as_bytes(config: GenerateConfig) -> None:
    specs = missing(plans(config))
    row = ManifestRow.of(Creative(specs[0], b"12\n3", Verdict(("halo",), {"halo": 1.5}), 1))
    done = Done("stool", (row,), (shown_of(specs[1]),))
    item = Item(Product("a", "b", "ü\u2028", "", 1.0, "", "x.png", (("colour", "red"),)), "photos/ab/cd")
    painted = Painted(done, (row, row), (b"12\n3", b"\n\n\n\n"), (("render_failed", "why"),))
    assert Item.from_bytes(item.to_bytes()) == item
    assert Example.from_bytes(Example("c.png", tuple(specs), done).to_bytes()) == Example("c.png", tuple(specs), done)
    assert Done.from_bytes(done.to_bytes()) == done
    assert Painted.from_bytes(painted.to_bytes()) == painted
    odd = replace(config, only=("a",), backend_options={"model": "x"}, runner_options=("--runner=PrismRunner",))
    assert GenerateConfig.from_json(odd.to_json()) == odd
    counts = PlanCounts(3, 16, 10, 0, 12, {"square": 8, "banner": 8}, {"seating": 12, "garden": 4})
    report = GenerateReport(1, 2, 3, 4, 5, 6, {"bad_image": 1}, counts)
    assert GenerateReport.from_json(report.to_json()) == report
    timed = replace(report, seconds={"paint": 1.5})
    assert GenerateReport.from_json(timed.to_json()).seconds == timed.seconds


def test_settings_that_cannot_work_are_refused(config: GenerateConfig) -> None:
    changes: tuple[dict[str, object], ...] = (
        {"workers": 0}, {"attempts": 0}, {"limit": -1}, {"rows_per_part": 0}, {"batch": 0}, {"chunk": 0}, {"wave": 0}
    )  # fmt: skip
    for change in changes:
        with pytest.raises(InvalidInputError, match="must be at least"):
            GenerateConfig.from_json(json.dumps({**json.loads(config.to_json()), **change}))
    with pytest.raises(InvalidInputError, match="runner = 'spark'"):
        replace(config, runner="spark")
