"""``fasray plan``: a plan in words."""

from __future__ import annotations

from collections.abc import Iterator

from fasray.cli.terminal import duration
from fasray.runs.schedule import rung_steps
from fasray.sweep.forecast import Forecast
from fasray.sweep.plan import Cell, Plan
from fasray.sweep.profiles import profile
from fasray.sweep.spec import AshaChoice


def describe(plan: Plan) -> str:
    """Return what a plan consists of, in lines."""
    return "\n".join(_lines(plan))


def describe_forecast(expected: Forecast, slots: int, price: float | None = None) -> str:
    """Return in lines what a sweep is expected to take.

    Args:
        expected: the forecast.
        slots: trials at once that it is for.
        price: of a node hour, if costs are wanted.
    """
    cut = 1 - expected.steps / expected.full_steps if expected.full_steps else 0.0
    lines = [
        f"forecast with {slots} trials at once: {expected.trials} trials, about {expected.steps:,.0f} optimizer steps "
        f"({100 * cut:.0f} % fewer than without early stopping), {expected.epochs:,.0f} epochs, "
        f"at most {expected.peak_concurrency} trials at the same time"
    ]
    hours = expected.node_hours()
    if expected.wall_seconds is None or hours is None:
        lines.append("add --calibrate to know how long that takes on this machine")
        return "\n".join(lines)
    lines.append(f"    about {duration(expected.wall_seconds)} from start to table")
    total = sum(expected.busy_seconds.values()) or 1.0
    for method, seconds in sorted(expected.busy_seconds.items(), key=lambda item: -item[1]):
        lines.append(f"    {method}: {duration(seconds)} of one slot ({100 * seconds / total:.0f} %)")
    if price is not None:
        lines.append(f"    cost: {hours:.2f} node hours x {price:g} = {hours * price:.2f}")
    return "\n".join(lines)


def _lines(plan: Plan) -> Iterator[str]:
    spec = plan.spec
    yield f"sweep {spec.name}, specification {spec.hash()}, data manifest {plan.manifest_hash[:12]}"
    yield f"{len(plan.cells)} cells: {len(spec.methods)} methods x {plan.rows // len(spec.methods)} protocols"
    yield f"{plan.search_trials} search trials (seed {spec.search.seed}, {spec.search.algorithm})"
    seeds = ", ".join(map(str, spec.confirm_seeds))
    yield f"{plan.confirm_trials} confirming runs (seeds {seeds})"
    if plan.inner_trials:
        yield f"{plan.inner_trials} inner trials (leave-one-source-out): each confirming run without each source"
    yield f"at most {plan.most_steps} optimizer steps, if no trial is stopped early"
    if spec.ingest == "stream":
        yield (
            f"ingest stream: no pool of decoded faces; each worker reads the shards as it trains, "
            f"with {spec.data_cpus} CPU cores in addition to its own {spec.resources.threads}"
        )
    yield from _profile_lines(plan)
    for method in spec.methods:
        yield ""
        yield from _method_lines(plan, [cell for cell in plan.cells if cell.method == method])


def _profile_lines(plan: Plan) -> Iterator[str]:
    chosen = profile(plan.spec.profile_name)
    yield f"profile {plan.spec.profile_name}: {chosen.title}"
    for key, value in chosen.training.items():
        yield f"    training.{key}: {value}"
    if chosen.most_search_trials is not None:
        yield f"    at most {chosen.most_search_trials} search trials a cell"
    if chosen.most_confirm_seeds is not None:
        yield f"    at most {chosen.most_confirm_seeds} confirming seeds"
    for method in plan.spec.methods:
        for key, value in chosen.budgets.get(method, {}).items():
            yield f"    {method}: training.{key}: {value}"
        for key, value in chosen.methods.get(method, {}).items():
            default = type(plan.spec.config(method)).model_fields[key].default
            yield f"    {method}.{key}: {value} instead of the published {default}"


def _method_lines(plan: Plan, cells: list[Cell]) -> Iterator[str]:
    first = cells[0]
    training = first.training
    yield f"{first.method}: {training.steps} steps, {training.image_size} px, width {training.width:g}"
    shown = ("backbone", "optimizer", "learning_rate", "weight_decay")
    if hasattr(first.config, "backbone"):
        given = {key: getattr(first.config, key) for key in shown if hasattr(first.config, key)}
        yield f"    {', '.join(f'{key} {value}' for key, value in given.items())}"
    for key, entry in plan.spec.space(first.method).items():
        ((kind, values),) = entry.model_dump().items()
        yield f"    searches {key}: {kind} {list(values)}"
    for name, along in first.by_backbone.items():
        yield f"    with {name}: {', '.join(f'{key} = {value}' for key, value in along.items())}"
    for label, overrides in first.ablations.items():
        changes = ", ".join(f"{key} = {value}" for key, value in overrides.items())
        yield f"    ablation {label}: the winner with {changes}, same seeds"
    choice = plan.spec.scheduler
    if isinstance(choice, AshaChoice):
        rungs = rung_steps(training.evaluation_steps(), choice.asha.grace, choice.asha.reduction)
        steps = ", ".join(map(str, rungs)) or "none"
        yield f"    ASHA rungs at steps {steps}; about 1 in {choice.asha.reduction} goes on"
    else:
        yield "    fifo: every trial runs its full budget"
    for cell in cells:
        sealed = cell.searches and not cell.searches_score_target
        yield (
            f"    {cell.protocol.name}: {cell.searches} search trials; {cell.train_images} training images; each "
            f"evaluation scores {cell.source_dev_scored} source-dev and{' in confirming runs' if sealed else ''} "
            f"{cell.target_scored} target images"
        )
