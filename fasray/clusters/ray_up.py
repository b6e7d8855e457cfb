"""Check a ``ray up`` file: Ray's schema, Ray's own validation, and rules about money and access."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fasray.clusters.documents import ConfigFinding, Document
from fasray.clusters.idle import ray_up_has_gpus, ray_up_idle
from fasray.clusters.rules import credential_findings, image_findings, installed_version
from fasray.clusters.schemas import ray_up_schema, schema_findings
from fasray.errors import did_you_mean
from fasray.ray_private import validate_ray_up
from fasray.yaml_lines import KeyPath

_EVERYBODY = ("0.0.0.0/0", "::/0")
_EVERY_ADDRESS = re.compile(r"--dashboard-host[= ]['\"]?(0\.0\.0\.0|::|\*)(?=['\"\s]|$)")
_TOKEN_MODE = re.compile(r"\bRAY_AUTH_MODE=['\"]?token\b")
_SSH = 22
_STARTS = {"head_start_ray_commands": "head", "worker_start_ray_commands": "workers"}


def is_ray_up(document: Document) -> bool:
    """Return whether a document looks like a ``ray up`` file."""
    return isinstance(document.value, dict) and bool(
        {"provider", "available_node_types", "head_node_type", "cluster_name"} & set(document.value)
    )


def check_ray_up(document: Document) -> list[ConfigFinding]:
    """Return what is wrong with a ``ray up`` file; Ray's own validation runs if nothing else is found."""
    findings = schema_findings(document, ray_up_schema())
    for rule in (
        _head,
        _limits,
        ray_up_idle,
        _dashboard,
        _firewall,
        _authentication,
        _starts,
        _images,
        credential_findings,
    ):
        findings += rule(document)
    return sorted(set(findings)) or list(_rays_own(document))


def _head(document: Document) -> Iterator[ConfigFinding]:
    types = document.mapping("available_node_types")
    head = document.get("head_node_type")
    if not types:
        yield document.finding((), "no node types: Ray would start its own defaults", "add `available_node_types:`")
    elif head is None:
        remedy = f"add `head_node_type:` with one of: {', '.join(types)}"
        yield document.finding((), "no head: head_node_type is missing", remedy)
    elif head not in types:
        what = f"no head: head_node_type {head!r} is not one of the available_node_types"
        yield document.finding(("head_node_type",), what, did_you_mean(str(head), types))


def _limits(document: Document) -> Iterator[ConfigFinding]:
    """GPU nodes cost money by the hour: each type has a limit of its own, and a cluster that may grow has one too."""
    for name in document.mapping("available_node_types"):
        path: KeyPath = ("available_node_types", name)
        least, most = document.get(*path, "min_workers", default=0), document.get(*path, "max_workers")
        if most is None and name != document.get("head_node_type") and ray_up_has_gpus(document, path):
            what = f"GPU nodes of type {name!r} have no limit of their own"
            yield document.finding(path, what, "add `max_workers:`, the most of them that you would pay for at once")
        if isinstance(least, int) and isinstance(most, int) and least > most:
            what = f"min_workers {least} is above max_workers {most}"
            yield document.finding((*path, "min_workers"), what, "0 lets the type go to zero when nothing runs")


def _dashboard(document: Document) -> Iterator[ConfigFinding]:
    for number, command in enumerate(document.items("head_start_ray_commands")):
        if _EVERY_ADDRESS.search(str(command)):
            what = "the dashboard listens on every address of the head, public ones too"
            remedy = "bind it to the private address, --dashboard-host=$(hostname -I | cut -d' ' -f1), and tunnel to it"
            yield document.finding(("head_start_ray_commands", number), what, remedy)


def _firewall(document: Document) -> Iterator[ConfigFinding]:
    path: KeyPath = ("provider", "security_group", "IpPermissions")
    for number, rule in enumerate(document.items(*path)):
        if not isinstance(rule, dict):
            continue
        ranges = [*(rule.get("IpRanges") or []), *(rule.get("Ipv6Ranges") or [])]
        open_to = [entry for entry in ranges if set(entry.values()) & set(_EVERYBODY)]
        if open_to and (rule.get("FromPort"), rule.get("ToPort")) != (_SSH, _SSH):
            what = f"ports {rule.get('FromPort', 'all')} to {rule.get('ToPort', 'all')} are open to everybody"
            remedy = "allow your own address only, or none: SSH tunnels reach all that a user needs"
            yield document.finding((*path, number), what, remedy)


def _authentication(document: Document) -> Iterator[ConfigFinding]:
    for key, who in _STARTS.items():
        commands = enumerate(map(str, document.items(key)))
        starts = [(number, command) for number, command in commands if "ray start" in command]
        if not starts:
            what = f"no command starts Ray on the {who}: Ray's default does, without authentication, dashboard open"
            yield document.finding((key,), what, f"write `{key}:` out, with RAY_AUTH_MODE=token")
        for number, command in starts:
            if not _TOKEN_MODE.search(command):
                what = f"Ray starts on the {who} without authentication: whoever reaches it can run code there"
                yield document.finding((key, number), what, "start it with RAY_AUTH_MODE=token before `ray start`")
    carried = any(str(target).endswith("/.ray/auth_token") for target in document.mapping("file_mounts"))
    if not carried and "RAY_AUTH_TOKEN_PATH=" not in " ".join(text for _, text in document.texts()):
        what = "no token goes to the nodes: with RAY_AUTH_MODE=token Ray would not start there"
        remedy = (
            'make one (`ray get-auth-token --generate`) and mount it: "/home/ray/.ray/auth_token": ~/.ray/auth_token'
        )
        yield document.finding(("file_mounts",), what, remedy)


def _starts(document: Document) -> Iterator[ConfigFinding]:
    for key, who, option, then in (
        ("head_start_ray_commands", "the head starts", "--autoscaling-config", "no node comes"),
        ("worker_start_ray_commands", "workers start", "--address", "each is a cluster of its own"),
    ):
        for number, command in enumerate(document.items(key)):
            if "ray start" in str(command) and option not in str(command):
                value = "~/ray_bootstrap_config.yaml" if "auto" in option else "$RAY_HEAD_IP:6379"
                yield document.finding((key, number), f"{who} without {option}: {then}", f"add {option}={value}")


def _images(document: Document) -> Iterator[ConfigFinding]:
    if document.mapping("docker") and not document.get("docker", "container_name"):
        yield document.finding(("docker",), "the container has no name: Ray cannot find it", "add `container_name:`")
    paths: list[KeyPath] = [("docker", key) for key in ("image", "head_image", "worker_image")]
    types, here = document.mapping("available_node_types"), installed_version("ray")
    paths += [("available_node_types", name, "docker", "worker_image") for name in types]
    for path in paths:
        yield from image_findings(document, path, document.get(*path), here, "the Ray installed here")


def _rays_own(document: Document) -> Iterator[ConfigFinding]:
    """Run Ray's own validation, which asks no cloud."""
    try:
        validate_ray_up(document.value)
    except Exception as error:  # Ray raises many kinds
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        path: KeyPath = next(((word,) for word in re.findall(r"\w+", said) if word in document.value), ())
        yield document.finding(path, f"Ray refuses this file: {said}", "see the documentation of Ray's cluster YAML")
