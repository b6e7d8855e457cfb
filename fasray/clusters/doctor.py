"""All checks of ``fasray doctor``."""

from __future__ import annotations

from collections.abc import Sequence

from fasray.clusters.access import (
    check_authentication,
    check_cluster,
    check_data,
    check_models,
    check_output,
    pool_bytes,
)
from fasray.clusters.diagnosis import Diagnosis
from fasray.clusters.gpus import check_gpus
from fasray.clusters.machine import INSTALL, check_memory, check_pools, check_versions, constraints


def run_checks(data: str | None = None, out: str | None = None) -> list[Diagnosis]:
    """Check everything that a sweep needs, in the order in which it would need it; starts no Ray, leaves no files.

    Args:
        data: face set to check.
        out: folder or URI of a future run.
    """
    found = [*check_versions(constraints()), *check_gpus(INSTALL), *check_memory()]
    found += [*check_cluster(), *check_authentication()]
    need = 0
    if data is not None:
        diagnoses, manifest = check_data(data)
        found += diagnoses
        need = pool_bytes(manifest) if manifest is not None else 0
    found.append(check_pools(need))
    if out is not None:
        found.append(check_output(out))
    found.append(check_models())
    return found


def exit_code(found: Sequence[Diagnosis]) -> int:
    """Return the exit code of the first error, which is that of the command that would fail; 0 if there is none."""
    return next((one.exit_code for one in found if one.status == "error"), 0)
