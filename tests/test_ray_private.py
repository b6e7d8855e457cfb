"""Every private name of Ray that fasray uses exists in the installed Ray, and stands in one module only."""

import importlib
import re
from pathlib import Path

import pytest

import fasray.ray_private

PACKAGE = Path(fasray.ray_private.__file__).parent
PRIVATE = re.compile(
    r"\bray(?:\.\w+)*\._\w|_create_default_callbacks|_base_exc|iter_internal_ref_bundles|internal_kv|class_cache"
)
"""Of Ray's modules and functions."""


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("ray.data", "Dataset.iter_internal_ref_bundles"),
        ("ray.data.block", "BlockAccessor.for_block"),
        ("ray._private.state", "available_resources_per_node"),
        ("ray._private.state", "state.job_table"),
        ("ray.experimental.internal_kv", "_internal_kv_get"),
        ("ray._raylet", "InnerGcsClient.get_cluster_status"),
        ("ray._raylet", "GcsClient"),
        ("ray.core.generated.autoscaler_pb2", "GetClusterStatusReply"),
        ("ray.autoscaler._private.kuberay.autoscaling_config", "_generate_available_node_types_from_ray_cr_spec"),
        ("ray.autoscaler._private.util", "prepare_config"),
        ("ray.autoscaler._private.util", "validate_config"),
        ("ray.tune.execution.class_cache", "ENV_VARS_TO_PROPAGATE"),
        ("ray.job_config", "JobConfig._runtime_env_has_working_dir"),
        ("ray.train.torch", "TorchTrainer._create_default_callbacks"),
    ],
)
def test_each_private_name_of_ray_exists_in_the_installed_one(module: str, name: str) -> None:
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)


def test_a_trainer_is_started_without_the_processes_that_nothing_needs() -> None:
    from ray.train.torch import TorchTrainer

    def names(trainer: type) -> set[str]:
        return {type(callback).__name__ for callback in trainer(lambda: None)._create_default_callbacks()}

    lean = fasray.ray_private.lean_torch_trainer()
    assert names(TorchTrainer) - names(lean) == set(fasray.ray_private.UNNEEDED_CALLBACKS)


def test_a_job_has_the_paths_that_it_is_given_and_no_others() -> None:
    config = fasray.ray_private.job_config_with_paths(["/a", "/b"])
    assert config._py_driver_sys_path == ["/a", "/b"]
    assert config._runtime_env_has_working_dir()  # asked by ray.init, which else adds the working folder


def test_what_a_worker_raised_is_found_in_ray_s_wrapper() -> None:
    from ray.train import WorkerGroupError
    from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

    cause = ValueError("no")
    error = WorkerGroupError("failed", {1: UserExceptionWithTraceback(cause, "")})
    assert fasray.ray_private.worker_error(error) is cause
    assert fasray.ray_private.worker_error(ValueError("no worker")) is None


def test_no_other_module_uses_a_private_name_of_ray() -> None:
    users = {file.name for file in PACKAGE.rglob("*.py") if PRIVATE.search(file.read_text(encoding="utf-8"))}
    assert users == {"ray_private.py"}


def test_the_keys_of_the_object_store_are_not_sent_along_with_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.tune.execution import class_cache

    monkeypatch.setattr(class_cache, "ENV_VARS_TO_PROPAGATE", {"AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY"})
    fasray.ray_private.do_not_propagate("AWS_")
    assert list(class_cache.ENV_VARS_TO_PROPAGATE) == ["WANDB_API_KEY"]
