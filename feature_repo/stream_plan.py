"""Compile what streams write: the feature service ``stream`` of the Feast registry, whole, as a write plan."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from contracts import ReadPlan, SetupError, WritePlan
from feature_repo.compile import compile_plan
from feature_repo.files import write_whole

STREAM_SERVICE = "stream"


@dataclass(frozen=True, slots=True)
class _Wanted:
    features: tuple[str, ...]


def compile_writes(repo_path: Path, *, store_file: Path | None, path: Path) -> WritePlan:
    """Write the write plan as a JSON file for the learner; returns it. Without such a service it has no views.

    ``store_file`` is the feature_store.yaml to use (None: Feast's own choice).

    Raises:
        InvalidInputError: naming the view or type that cannot be written, and why.
        SetupError: if the registry cannot be read or the file not written.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from feast.feature_store import FeatureStore

        try:
            store = FeatureStore(repo_path=str(repo_path), fs_yaml_file=store_file)
            services = {service.name: service for service in store.list_feature_services()}
        except OSError as error:
            message = f"the registry of {repo_path} cannot be read ({error}): run `feast apply`"
            raise SetupError(message) from error
        project = str(store.config.project)
        # Other stores than Redis have no such setting; compile_plan says what is wrong with them.
        key_ttl_s = getattr(store.config.online_store, "key_ttl_seconds", None) or 0
    service = services.get(STREAM_SERVICE)
    projections = [] if service is None else service.feature_view_projections
    wanted = tuple(f"{view.name}:{feature.name}" for view in projections for feature in view.features)
    plan = ReadPlan(project, ())
    if wanted:
        plan = compile_plan(repo_path, _Wanted(wanted), store_file=store_file, service=STREAM_SERVICE, item_texts=())
    found = WritePlan(plan, key_ttl_s)
    write_whole(path, found.to_json())
    return found
