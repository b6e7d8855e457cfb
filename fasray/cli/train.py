"""``fasray train``: one trial in this process, outside any sweep."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fasray.errors import SpecError
from fasray.execution.signals import interruptible

if TYPE_CHECKING:
    from fasray.faces.data_source import Dataset
    from fasray.faces.loading.pool import FaceBank
    from fasray.protocols import Protocol
    from fasray.sweep.spec import SweepSpec
    from fasray.training.evaluate import Evaluation
    from fasray.training.trial import Trial

_SECTIONS = ("config", "training")
SAVED = "stopped on request; everything up to the last evaluation is saved"


@click.command()
@click.argument("method", required=False)
@click.option("--protocol", metavar="P", help="Name of one protocol, e.g. 'O&C&I->M'.")
@click.option(
    "--data", required=True, metavar="URI", help="Folder or URI of face shards, 'synthetic', or '{synthetic: {...}}'."
)
@click.option("--spec", "spec_file", metavar="FILE", help="A trial's spec.json, in place of METHOD: train it again.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all randomness.")
@click.option("--profile", default="full", show_default=True, help="Bundle of size, width and budget.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="config.KEY=VALUE or training.KEY=VALUE.")
@click.option("--out", metavar="FOLDER", help="Folder of the trial; default: runs/train/<method>-<trial id>.")
@click.option("-v", "--verbose", is_flag=True, help="Show Ray's own messages while the pool is filled.")
def train(
    method: str | None,
    protocol: str | None,
    data: str,
    spec_file: str | None,
    seed: int,
    profile: str,
    overrides: tuple[str, ...],
    out: str | None,
    verbose: bool,
) -> None:
    """Train METHOD once and judge it; leaves score files, checkpoints and TensorBoard curves in a folder.

    While it trains it shows source-dev figures only; the target is judged at the end, at the step and threshold that
    source-dev chose. The same command goes on with a trial that was stopped. With --spec it trains a trial of a sweep
    again, to the same scores.
    """
    from fasray.faces.data_source import resolve_dataset
    from fasray.faces.loading.row_groups import row_group_of
    from fasray.sweep.plan import make_plan
    from fasray.sweep.retrain import check_same, read_trial, sweep_of

    wanted = None
    if spec_file is not None:
        if method or protocol or overrides:
            raise click.UsageError("--spec names the whole trial: leave METHOD, --protocol and --set out")
        wanted = read_trial(spec_file)
        spec, seed = sweep_of(wanted, _data(data)), wanted.seed
    elif method and protocol:
        spec = _specification(method, protocol, data, seed, profile, overrides)
    else:
        raise click.UsageError("name METHOD and --protocol, or a trial's --spec")
    with interruptible(out or "fasray train", SAVED):
        dataset = resolve_dataset(spec, _generating)
        plan = make_plan(spec, dataset.manifest.hash, dataset.index)
        cell = plan.cells[0]
        trial = plan.trial(cell, cell.configuration({}), seed)
        if wanted is not None:
            check_same(wanted, trial)
        folder = _folder(out or str(Path("runs") / "train" / f"{trial.method}-{trial.id}"), trial)
        bank = _bank(dataset, verbose)
        if trial.training.ingest == "stream":  # a trial that was streamed: the same numbers from a pool in its order
            bank = replace(bank, row_group=row_group_of(dataset.manifest))
        _train(trial, bank, cell.protocol, folder)


def _specification(
    method: str, protocol: str, data: str, seed: int, profile: str, overrides: Sequence[str]
) -> SweepSpec:
    """Return the sweep of this one trial: the same trial in a sweep has the same id and gives the same bits."""
    import yaml

    from fasray.protocols import GROUPS
    from fasray.sweep.spec import SweepSpec

    if protocol in GROUPS:
        raise SpecError(
            f"{protocol!r} is a group of protocols, and one trial has one protocol",
            where="--protocol",
            remedy=f"name one of: {', '.join(GROUPS[protocol])}",
        )
    given: dict[str, dict[str, Any]] = {"config": {}, "training": {"profile": profile}}
    for item in overrides:
        key, separator, text = item.partition("=")
        section, dot, name = key.partition(".")
        if not (separator and dot and name) or section not in _SECTIONS:
            raise SpecError(
                f"not of the form config.key=value or training.key=value: {item!r}",
                where="--set",
                remedy=f"`fasray methods {method}` lists the keys of config",
            )
        try:
            given[section][name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SpecError(f"the value is not readable as YAML: {text!r}", where=f"--set {key}") from error
    spec = SweepSpec.model_validate(
        {
            "name": "train",
            "data": _data(data),
            "protocols": [protocol],
            "methods": {method: {"space": {}, "config": given["config"]}},
            "search": {"seed": seed + 1},
            "scheduler": "fifo",
            "confirm": {"seeds": [seed]},
            "training": given["training"],
        }
    )
    spec.config(method)  # refuses what is wrong before any face is generated
    spec.training_of(method)
    return spec


def _data(text: str) -> Any:
    """Return the ``data`` key of a sweep: an address as it is, or what ``{...}`` says."""
    import yaml

    if not text.startswith("{"):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"the value is not readable as YAML: {text!r}", where="--data") from error


def _folder(out: str, trial: Trial) -> str:
    """Return the trial's folder, made if need be.

    Raises:
        SpecError: it holds another trial.
        StorageError: the store does not answer, or does not let us in.
    """
    from fasray import storage
    from fasray.training.loop import SPEC_FILE
    from fasray.training.trial import Trial as AnyTrial
    from fasray.validation import difference

    storage.reach(out)
    if not storage.is_remote(out):
        Path(out).mkdir(parents=True, exist_ok=True)
    uri = storage.join(out, SPEC_FILE)
    if storage.exists(uri):
        standing = AnyTrial.model_validate_json(storage.read_bytes(uri))
        if standing.id != trial.id:
            before, now = (one.model_dump(mode="json", exclude={"id"}) for one in (standing, trial))
            raise SpecError(
                "this folder holds another trial:\n    " + "\n    ".join(difference(before, now)),
                where=uri,
                remedy="undo the change, or choose another --out",
            )
    return out


def _bank(dataset: Dataset, verbose: bool) -> FaceBank:
    """Return this node's pool, filled through Ray Data if it is not there yet."""
    from fasray.errors import DataError
    from fasray.execution.ray_session import ray_session
    from fasray.faces.loading.pool import FaceBank, pool_folder, pool_key

    folder = pool_folder(pool_key(dataset.manifest.hash, dataset.manifest.image_size))
    with contextlib.suppress(DataError):  # none there, or a damaged one: filled in both cases
        return FaceBank.open(folder)
    click.echo("filling the pool of decoded faces", err=True)
    with ray_session(verbose):
        from fasray.ingest.fill import fill_pools  # imports Ray, which reads its settings from the session

        excluded = fill_pools(dataset.uri, dataset.manifest, dataset.index)[0].excluded
    if excluded:
        first = excluded[0]
        click.echo(
            f"warning: {len(excluded)} faces cannot be decoded and are left out; the first: "
            f"{first.shard}: {first.video}: {first.reason}",
            err=True,
        )
    return FaceBank.open(folder)


def _train(trial: Trial, bank: FaceBank, protocol: Protocol, folder: str) -> None:
    import torch

    from fasray.runs.lock import take_lock
    from fasray.training.context import Context
    from fasray.training.loop import evaluations

    device = "cuda" if torch.cuda.is_available() else "cpu"
    context = Context(folder, seed=trial.seed, total_steps=trial.training.steps, device=device)
    click.echo(
        f"{trial.method} on {trial.protocol}, seed {trial.seed}, {trial.training.steps} steps: {folder}", err=True
    )
    lock = take_lock(folder)
    try:
        told = []
        for evaluation in evaluations(trial, bank, protocol.assign(bank.index), context):
            lock.check()
            click.echo(_line(evaluation, trial.training.steps))
            told.append(evaluation.score_uri)
    finally:
        lock.release()
    if context.first_step_at is None:
        click.echo("this trial is done already", err=True)
    _judge(trial, told)


def _line(evaluation: Evaluation, steps: int) -> str:
    speed = f"{evaluation.images_per_second:.0f} images/s" if evaluation.images_per_second else "read back"
    width = len(str(steps))
    return (
        f"step {evaluation.step:{width}} of {steps}   source-dev AUC {100 * evaluation.source_dev_auc:6.2f} %   "
        f"loss {evaluation.source_dev_loss:.4f}   {speed}"
    )


def _judge(trial: Trial, score_uris: Sequence[str]) -> None:
    """Print the target's figures as each rule of selection gives them."""
    from fasray.results.figures import FIGURES, judge
    from fasray.results.scores import read_scores
    from fasray.results.selection import TrialDigests, choose, source_digest, target_digest
    from fasray.results.tables.text import DAGGER

    scores = {evaluation.step: evaluation for evaluation in map(read_scores, score_uris)}
    digests = TrialDigests(
        trial.id, tuple(map(source_digest, scores.values())), tuple(map(target_digest, scores.values()))
    )
    for selection, mark, by in (("source-dev", "", "source-dev"), ("oracle", DAGGER, "the target")):
        choice = choose(selection, digests)
        judged = judge(scores[choice.step], choice, trial.seed, "video")
        figures = dict(zip(FIGURES, judged.values, strict=True))
        click.echo(
            f"{selection + mark:<11} target HTER {100 * figures['hter']:6.2f} %   AUC {100 * figures['auc']:6.2f} %   "
            f"step {choice.step} and threshold {choice.video_threshold:.4g} chosen on {by}"
        )
    click.echo(f"{DAGGER} chosen with the target's labels, which nobody has for an unseen domain")


def _generating(done: int, total: int) -> None:
    if done == total:
        click.echo(f"generated the faces of {total} subjects", err=True)
