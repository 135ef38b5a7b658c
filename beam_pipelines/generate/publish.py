"""The creative index: what serving may show, brought in line with the manifest."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from beam_pipelines.generate.manifest import ManifestRow
from contracts import CreativeRef, CreativeSpec
from stores import CreativeIndex, ObjectStore


def references(
    wanted: Iterable[CreativeSpec], manifest: Mapping[str, ManifestRow], objects: ObjectStore
) -> dict[tuple[str, str], dict[str, CreativeRef]]:
    """(item, placement) -> arm -> reference, of every wanted creative that exists and passed the gate."""
    found: dict[tuple[str, str], dict[str, CreativeRef]] = defaultdict(dict)
    for spec in wanted:
        row = manifest.get(spec.creative_id)
        if row is not None and not row.flagged:
            ref = CreativeRef(row.creative_id, objects.url(row.path), row.width, row.height)
            found[spec.item_id, spec.placement][spec.arm] = ref
    return dict(found)


def tags_of(wanted: Iterable[CreativeSpec]) -> dict[str, dict[str, dict[str, str]]]:
    """Category -> arm -> tags of the prompts behind wanted creatives (the untouched photo has none)."""
    found: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    for spec in wanted:
        if not spec.is_original:
            found[spec.category][spec.arm] = dict(spec.tags)
    return dict(found)


def publish(index: CreativeIndex, refs: Mapping[tuple[str, str], Mapping[str, CreativeRef]], *, whole: bool) -> int:
    """Write references; if ``whole``, arms that are no longer wanted are withdrawn. Returns how many were written."""
    index.publish_all(refs)
    if whole:
        for (item, placement), arms in refs.items():
            index.withdraw(item, placement, index.read(item, placement).keys() - arms.keys())
    return sum(len(arms) for arms in refs.values())
