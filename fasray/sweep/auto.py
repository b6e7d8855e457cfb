"""What a sweep file leaves to fasray with ``auto``: its data and its profile.

Both decide numbers, so they are decided once, before the sweep is planned, and written into the run; whoever resumes
the run, on whatever machine, goes on with what was decided. The decided specification is that of a file which names the
values: hash, trials and table are the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fasray import storage
from fasray.errors import SpecError
from fasray.faces.data_source import SYNTHETIC, SyntheticChoice, SyntheticSpec, is_generated_choice
from fasray.protocols import names_in_order, parse
from fasray.sweep.profiles import AUTO, AUTO_PROFILES
from fasray.sweep.spec import AshaChoice, SweepSpec

DATA_VARIABLE = "FASRAY_DATA"
RUNS_VARIABLE = "FASRAY_RUNS"


@dataclass(frozen=True)
class Resolved:
    """A specification that leaves nothing open."""

    spec: SweepSpec
    choices: tuple[str, ...]
    """One line for each ``auto``: what was chosen, and why; for the first lines of a sweep, and for ``plan``."""


def needs_hardware(spec: SweepSpec, recorded: Mapping[str, Any] | None) -> bool:
    """Return whether :func:`resolve_auto` has to know if there are GPUs.

    Args:
        spec: as it was read.
        recorded: the specification that the run directory holds (``read_head(run).spec``); None for a new run.
    """
    return spec.profile_name == AUTO and recorded is None and spec.resources.gpus_per_worker == AUTO


def resolve_auto(
    spec: SweepSpec, *, has_gpus: bool | None, environ: Mapping[str, str], recorded: Mapping[str, Any] | None = None
) -> Resolved:
    """Decide what a specification leaves open; one that leaves nothing open comes back as it is.

    A run that was started before decisions had an order goes on in order of arrival, unless the specification says
    otherwise.

    Args:
        spec: as it was read.
        has_gpus: whether trials will have GPUs: those that are there, or that an autoscaler may bring. May be None
            where :func:`needs_hardware` says that it makes no difference.
        environ: environment variables; ``FASRAY_DATA`` is looked up.
        recorded: the specification that the run directory holds (``read_head(run).spec``); None for a new run. What
            it says is kept.

    Raises:
        SpecError: ``FASRAY_DATA`` names faces, but the run was started with generated ones.
    """
    choices = []
    if spec.profile_name == AUTO:
        profile, why = _profile(spec.resources.gpus_per_worker, has_gpus, recorded)
        spec = with_profile(spec, profile)
        choices.append(f"profile {profile}: {why}")
    if spec.data == AUTO:
        data, why = _data(spec, environ.get(DATA_VARIABLE, ""), recorded)
        spec = spec.model_copy(update={"data": data})
        choices.append(f"data {_name(data)}: {why}")
    if recorded is not None and (older := _with_rules_of(spec, recorded)) != spec:
        choices.append("rules of before that this run was started with, see the changelog: " + _different(spec, older))
        spec = older
    return Resolved(spec, tuple(choices))


def with_profile(spec: SweepSpec, profile: str) -> SweepSpec:
    """Return the specification with another profile."""
    return spec.model_copy(update={"training": {**spec.training, "profile": profile}})


def possible_specs(spec: SweepSpec) -> tuple[SweepSpec, ...]:
    """Return the specification with each profile that it may get."""
    return tuple(with_profile(spec, name) for name in AUTO_PROFILES) if spec.profile_name == AUTO else (spec,)


def _with_rules_of(spec: SweepSpec, recorded: Mapping[str, Any]) -> SweepSpec:
    """Return the specification with the rules of a run whose time had no names for them, but what the file names."""
    asha, search = dict(recorded["scheduler"]).get("asha") if recorded["scheduler"] != "fifo" else None, spec.search
    if isinstance(spec.scheduler, AshaChoice) and asha is not None and "order" not in asha:
        given = spec.scheduler.asha
        if "order" not in given.model_fields_set:
            choice = AshaChoice(asha=given.model_copy(update={"order": "arrival"}))
            spec = spec.model_copy(update={"scheduler": choice})
    named = {*recorded["search"], *search.model_fields_set}
    older = {"per": "cell", "score_target": True, **({"lag": None} if search.algorithm == "hyperopt" else {})}
    older = {key: value for key, value in older.items() if key not in named}
    return spec.model_copy(update={"search": search.model_copy(update=older)})


def _different(spec: SweepSpec, older: SweepSpec) -> str:
    changed = [
        f"search.{key}: {json.dumps(value)}" for key, value in older.search if value != getattr(spec.search, key)
    ]
    if older.scheduler != spec.scheduler:
        changed.append("scheduler.asha.order: arrival")
    return ", ".join(changed)


def run_directory(name: str, out: str | None, environ: Mapping[str, str]) -> str:
    """Return where a sweep's run is kept: ``out``, else its name under ``$FASRAY_RUNS``, else under ``runs``."""
    if out:
        return out
    try:
        return storage.join(storage.resolve(environ.get(RUNS_VARIABLE) or "runs"), name)
    except SpecError as error:
        raise SpecError(error.what, where=RUNS_VARIABLE, remedy=error.remedy) from error


def _profile(asked: str | float, has_gpus: bool | None, recorded: Mapping[str, Any] | None) -> tuple[str, str]:
    if recorded is not None:
        return str(recorded["training"]["profile"]), "this run was started with it"
    gpu_profile, cpu_profile = AUTO_PROFILES
    if not isinstance(asked, str):
        why = f"resources.gpus_per_worker is {asked:g}"
        return (gpu_profile, why) if asked else (cpu_profile, why)
    if has_gpus is None:
        raise SpecError("whether there are GPUs is not known yet", where="key training.profile")
    return (gpu_profile, "there are GPUs") if has_gpus else (cpu_profile, "there are no GPUs")


def _data(spec: SweepSpec, named: str, recorded: Mapping[str, Any] | None) -> tuple[str | SyntheticChoice, str]:
    if recorded is not None:
        before = recorded["data"]
        generated = is_generated_choice(before)
        if generated and named not in ("", SYNTHETIC):
            raise SpecError(
                f"{DATA_VARIABLE} names {named}, but this run was started with generated faces",
                where="key data",
                remedy=f"choose another --out for a run on {named}, or unset {DATA_VARIABLE} to go on with this one",
            )
        if generated or not named:
            data = before if isinstance(before, str) else SyntheticChoice.model_validate(before)
            return data, "this run was started with it"
    if named:
        return named, f"from {DATA_VARIABLE}"
    return _generated(spec), (
        f"GENERATED faces, which are no evidence about real ones, because {DATA_VARIABLE} is not set; "
        "set it to the address of your face shards"
    )


def _generated(spec: SweepSpec) -> str | SyntheticChoice:
    """Return the frozen default set, or one that has what it lacks.

    That are larger crops where a method's windows would not fit into its own, and the domains and kinds of attack that
    the protocols name; domains of other names than its four have people in groups.
    """
    from fasray.faces import synthetic  # imports OpenCV
    from fasray.faces.synthetic.domains import ALL_DOMAINS, ATTACKS, DOMAIN_NAMES

    changes: dict[str, Any] = {}
    needed = max(spec.training_of(method).image_size for method in spec.methods)
    if needed > synthetic.DEFAULT.image_size:
        changes["image_size"] = needed
    wanted = [parse(name) for name in names_in_order(spec.protocols)]
    domains = [name for name in ALL_DOMAINS if any(name in protocol.datasets for protocol in wanted)]
    if not set(domains) <= set(DOMAIN_NAMES):
        changes |= {"domains": ",".join(domains), "people": True}
    parts = [part for protocol in wanted for part in (*protocol.source_parts, *protocol.target_parts)]
    named = {value for part in parts for asked in part.conditions if asked.key == "attack" for value in asked.values}
    attacks = [name for name in ATTACKS if name in named or name in synthetic.DEFAULT.attacks]
    if len(attacks) > len(synthetic.DEFAULT.attacks):
        changes["attacks"] = attacks
    return SyntheticChoice(synthetic=SyntheticSpec.model_validate(changes)) if changes else SYNTHETIC


def _name(data: str | SyntheticChoice) -> str:
    if isinstance(data, str):
        return data
    size, domains, attacks = data.synthetic.image_size, data.synthetic.domains, data.synthetic.attacks
    special = "; ".join(filter(None, [f"{size} px" if size else "", domains, ", ".join(attacks or ())]))
    return f"{SYNTHETIC} of {special}" if special else SYNTHETIC
