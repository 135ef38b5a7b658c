"""What the quality gate refuses: defects made on purpose on pictures of products that its limits were not tuned on."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.gate_defects import GROWTHS
from benchmarks.gate_pictures import DEFECTS, GOOD, GROWN, SHARES, Judged, halves, judged
from benchmarks.report import Row, at_least, at_most
from learner import wilson

PACKAGES = ("numpy", "scipy", "pillow", "rembg", "onnxruntime")
_PROMPTS = 4


def rows() -> Iterator[Row]:
    """The figures, about six minutes on two cores."""
    found = list(judged(halves()[1], prompts=_PROMPTS, details=False))
    good = [each for each in found if each.defect == GOOD]
    yield at_most("good pictures refused", 100 * _share(good), "%", 3, note=_note(good))
    for name in DEFECTS:
        some = [each for each in found if each.defect == name]
        yield at_least(f"{name}: refused", 100 * _share(some), "%", 90, note=_note(some))
    grown = [each for each in found if each.defect == GROWN]
    yield at_least("grown by 5 to 50 %: refused", 100 * _share(grown), "%", 75, note=_note(grown))
    for share in SHARES:
        some = [each for each in grown if each.share == share]
        yield Row(f"grown by {share:.0%}: refused", 100 * _share(some), "%", note=_note(some))
    for kind in GROWTHS:
        some = [each for each in grown if each.kind == kind]
        yield Row(f"grown, {kind}: refused", 100 * _share(some), "%", note=_note(some))
    for name, some in ((GOOD, good), (GROWN, grown)):
        again = [each for each in some if each.recut]
        for way, refused in (("without recut", _refused), ("recut alone", _again), ("both", _either)):
            yield Row(f"{name}, {way}: refused", 100 * _share(again, refused), "%", note=_note(again, refused))


def _refused(each: Judged) -> bool:
    return bool(each.reasons)


def _again(each: Judged) -> bool:
    return each.recut_refused


def _either(each: Judged) -> bool:
    return bool(each.reasons) or each.recut_refused


def _share(found: Sequence[Judged], refused: Callable[[Judged], bool] = _refused) -> float:
    return sum(map(refused, found)) / len(found)


def _note(found: Sequence[Judged], refused: Callable[[Judged], bool] = _refused) -> str:
    count = sum(map(refused, found))
    low, high = wilson(count, len(found))
    return f"{count} of {len(found)}, {len({each.item for each in found})} products; 95 %: {low:.1%} to {high:.1%}"
