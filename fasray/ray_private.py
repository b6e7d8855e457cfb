"""Every name of Ray that its public API does not have, in one place: what a new release of Ray may break.

Ray is imported inside the functions, so that importing this module costs nothing. ``tests/test_ray_private.py`` holds
that each name exists in the installed Ray.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

UNMANAGED = "node_"
"""Begins the name that Ray gives the type of a node that no autoscaler started."""
UNNEEDED_CALLBACKS = ("PlacementGroupCleanerCallback", "DatasetsCallback")
"""Of Ray Train; see ``lean_torch_trainer``."""


def iter_block_refs(dataset: Any) -> Iterator[Any]:
    """Run a Ray Data set and yield references to its blocks as they come; leaving early ends its tasks.

    A block stays in the object store no longer than its reference is held. ``Dataset.iter_batches`` yields values
    only, and ``materialize`` and ``to_arrow_refs`` keep all blocks in the object store.
    """
    for bundle in dataset.iter_internal_ref_bundles():
        for entry in bundle.blocks:
            yield entry.ref


def block_to_numpy(block: Any) -> dict[str, Any]:
    """Return the columns of a block as arrays, tensor columns whole."""
    from ray.data.block import BlockAccessor

    columns: Any = BlockAccessor.for_block(block).to_numpy()
    return dict(columns)


def available_resources() -> list[Mapping[str, float]]:
    """Return what is free on each living node; the public ``ray.available_resources`` has only the sum."""
    from ray._private.state import available_resources_per_node

    return list(available_resources_per_node().values())


def finished_jobs() -> dict[str, bool]:
    """Return for each job of the cluster, by its id, whether it has ended; Ray's state API would need the dashboard."""
    from ray._private.state import state

    return {job["JobID"]: job["IsDead"] for job in state.job_table()}


def autoscaler_node_types() -> list[str]:
    """Return the type of each node that an autoscaler reports; empty as long as there is no report.

    Every cluster has a monitor that reports. One that starts no nodes makes up types that begin with ``UNMANAGED``.
    """
    from ray.experimental.internal_kv import _internal_kv_get

    report = json.loads(_internal_kv_get("__autoscaling_status") or b"{}").get("autoscaler_report") or {}
    return [*(report.get("active_nodes") or {}), *(report.get("idle_nodes") or {})] or _autoscaler_v2_node_types()


def _autoscaler_v2_node_types() -> list[str]:
    """Return the same for version 2 of Ray's autoscaler, which reports to the GCS."""
    import ray
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply  # type: ignore[attr-defined]

    reply = GetClusterStatusReply()
    client = GcsClient(address=ray.get_runtime_context().gcs_address)
    reply.ParseFromString(client.get_cluster_status(timeout_s=10))
    if not reply.HasField("autoscaling_state"):
        return []
    return [node.ray_node_type_name or UNMANAGED for node in reply.cluster_resource_state.node_states]


def kuberay_node_types(spec: dict[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return the autoscaler's node types for the ``spec`` of a RayCluster; raises whatever a malformed one provokes."""
    from ray.autoscaler._private.kuberay import autoscaling_config

    types: Mapping[str, Mapping[str, Any]]
    types = autoscaling_config._generate_available_node_types_from_ray_cr_spec(spec)
    return types


def validate_ray_up(config: dict[str, Any]) -> None:
    """Validate a ``ray up`` configuration as Ray does before it starts a node, without asking any cloud.

    Raises:
        Exception: of any class, if Ray refuses it.
    """
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(config)))


def do_not_propagate(prefix: str) -> None:
    """Stop Tune from sending the driver's environment variables that begin so along with every trial."""
    from ray.tune.execution import class_cache

    names = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in names if not name.startswith(prefix)}


def job_config_with_paths(paths: list[str]) -> Any:
    """Return a job's configuration whose workers look for modules in these folders first, in their order.

    By itself ``ray.init`` adds the working folder and that of the script, unless the job has a working directory.
    """
    from ray.job_config import JobConfig

    class OwnPaths(JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            return True

    return OwnPaths(_py_driver_sys_path=paths)


def lean_torch_trainer() -> Any:
    """Return a ``TorchTrainer`` class without two processes that each trial would otherwise start and none here needs.

    The placement group cleaner is for controllers that are killed while their job lives, which none is; the manager of
    Ray Data sets has none to manage.
    """
    from ray.train.torch import TorchTrainer

    class LeanTorchTrainer(TorchTrainer):
        def _create_default_callbacks(self) -> list[Any]:
            callbacks = super()._create_default_callbacks()  # type: ignore[misc]
            return [callback for callback in callbacks if type(callback).__name__ not in UNNEEDED_CALLBACKS]

    return LeanTorchTrainer


def worker_error(error: Exception) -> BaseException | None:
    """Return what the first failed worker of a trainer raised; None if the trainer failed for another reason."""
    for failure in getattr(error, "worker_failures", {}).values():
        cause: BaseException = getattr(failure, "_base_exc", failure)
        return cause
    return None
