"""``fasray cluster``: check the files of a cluster before anything starts."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from fasray.cli.addresses import LOCAL
from fasray.errors import SpecError


@click.group()
def cluster() -> None:
    """Check the files of a cluster."""


@cluster.command()
@click.argument("files", nargs=-1, required=True, type=LOCAL)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def validate(files: tuple[str, ...], as_json: bool) -> None:
    """Check FILES (or folders) offline: `ray up` configurations, RayCluster and RayJob objects, Dockerfiles, sweeps.

    They are checked against Ray's own schema, KubeRay's definitions, and rules about cost and access; sweeps against
    the clusters given with them, whose GPUs they should not leave idle. Exit code 2 if anything is found.
    """
    from fasray.clusters.validate import validate as check

    checked = check(files)
    findings = [finding for one in checked for finding in one.findings]
    if as_json:
        written = [
            {"file": one.file, "kinds": one.kinds, "findings": list(map(asdict, one.findings))} for one in checked
        ]
        click.echo(json.dumps({"files": written}, indent=1))
    else:
        for one in checked:
            for finding in one.findings:
                click.echo(str(finding))
            if not one.findings:
                click.echo(f"{one.file}: {', '.join(one.kinds)}: nothing found")
    if findings:
        wrong = len({finding.file for finding in findings})
        raise SpecError(
            f"{len(findings)} mistake{'s' if len(findings) > 1 else ''} in {wrong} of {len(checked)} "
            f"file{'s' if len(checked) > 1 else ''}"
        )
