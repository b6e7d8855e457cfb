"""``fasray train``: one trial in this process, outside any sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from fasray.cli.addresses import ADDRESS, OUT_FOLDER
from fasray.cli.lines import Lines, say
from fasray.errors import SpecError

if TYPE_CHECKING:
    from fasray.execution.one_trial import TrainedTrial
    from fasray.training.evaluation import Evaluation
    from fasray.training.trial import Trial

_SECTIONS = ("config", "training")


@click.command()
@click.argument("method", required=False)
@click.option("--protocol", metavar="P", help="Name of one protocol, e.g. 'O&C&I->M'.")
@click.option(
    "--data",
    required=True,
    metavar="URI",
    help="Folder or URI of face shards, auto, synthetic, or '{synthetic: {...}}'.",
)
@click.option(
    "--spec", "spec_file", type=ADDRESS, metavar="FILE", help="A trial's spec.json, in place of METHOD: train it again."
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--any-device", is_flag=True, help="Resume also on another kind of device than it was computed on.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of all randomness.")
@click.option("--profile", default="full", show_default=True, help="Bundle of size, width and budget.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="config.KEY=VALUE or training.KEY=VALUE.")
@click.option(
    "--out", type=OUT_FOLDER, metavar="FOLDER", help="Folder of the trial; default: runs/train/<method>-<trial id>."
)
def train(
    method: str | None,
    protocol: str | None,
    data: str,
    spec_file: str | None,
    device: str,
    any_device: bool,
    seed: int,
    profile: str,
    overrides: tuple[str, ...],
    out: str | None,
) -> None:
    """Train METHOD once and evaluate it; writes score files, checkpoints and TensorBoard curves to a folder.

    While it trains it prints source-dev figures only; the target is evaluated at the end, at the step and threshold
    that source-dev chose. The same command resumes a trial that was stopped. With --spec it trains a trial of a sweep
    again, to the same scores.
    """
    from fasray.execution.one_trial import SAVED, retrain_trial, train_trial
    from fasray.execution.signals import interruptible

    where: dict[str, Any] = {"out": out, "listener": _TrialLines(), "device": device, "any_device": any_device}
    with interruptible(out or "fasray train", SAVED):
        if spec_file is not None:
            if method or protocol or overrides:
                raise click.UsageError("--spec names the whole trial: leave METHOD, --protocol and --set out")
            trained = retrain_trial(spec_file, _data(data), **where)
        elif method and protocol:
            given = _overrides(method, overrides)
            training = {"profile": profile, **given["training"]}
            trained = train_trial(
                method, protocol, _data(data), config=given["config"], training=training, seed=seed, **where
            )
        else:
            raise click.UsageError("name METHOD and --protocol, or a trial's --spec")
        if not trained.trained_now:
            say("this trial is done already")
        _print_figures(trained)


def _overrides(method: str, overrides: Sequence[str]) -> dict[str, dict[str, Any]]:
    from fasray.sweep.sweep_file import option_value

    given: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    for item in overrides:
        key, separator, text = item.partition("=")
        section, dot, name = key.partition(".")
        if not (separator and dot and name) or section not in _SECTIONS:
            raise SpecError(
                f"not of the form config.key=value or training.key=value: {item!r}",
                where="--set",
                remedy=f"`fasray methods {method}` lists the keys of config",
            )
        given[section][name] = option_value(text, f"--set {key}")
    return given


def _data(text: str) -> Any:
    """Return the ``data`` key of a sweep: an address as it is, or what ``{...}`` says."""
    from fasray.sweep.sweep_file import option_value

    return option_value(text, "--data") if text.startswith("{") else text


class _TrialLines(Lines):
    """Prints evaluations to standard output, and everything else to standard error."""

    def on_trial_start(self, trial: Trial, folder: str) -> None:
        say(f"{trial.method} on {trial.protocol}, seed {trial.seed}, {trial.training.steps} steps: {folder}")

    def on_evaluation(self, trial: Trial, evaluation: Evaluation) -> None:
        reading, steps = evaluation.reading, trial.training.steps
        speed = f"{evaluation.images_per_second:.0f} images/s" if evaluation.images_per_second else "read back"
        click.echo(
            f"step {reading.step:{len(str(steps))}} of {steps}   "
            f"source-dev AUC {100 * reading.source_dev_auc:6.2f} %   loss {reading.source_dev_loss:.4f}   {speed}"
        )


def _print_figures(trained: TrainedTrial) -> None:
    """Print the target's figures as each selection rule gives them."""
    from fasray.results.digests import digests_of
    from fasray.results.figures import FIGURES, compute_figures
    from fasray.results.scores import read_scores
    from fasray.results.selection import choose
    from fasray.results.tables.text import DAGGER

    scores = {evaluation.step: evaluation for evaluation in map(read_scores, trained.score_uris)}
    digests = digests_of(trained.trial.id, scores.values())
    for selection, mark, by in (("source-dev", "", "source-dev"), ("oracle", DAGGER, "the target")):
        choice = choose(selection, digests)
        judged = compute_figures(scores[choice.step], choice, trained.trial.seed, "video")
        figures = dict(zip(FIGURES, judged.values, strict=True))
        click.echo(
            f"{selection + mark:<11} target HTER {100 * figures['hter']:6.2f} %   AUC {100 * figures['auc']:6.2f} %   "
            f"step {choice.step} and threshold {choice.video_threshold:.4g} chosen on {by}"
        )
    click.echo(f"{DAGGER} chosen with the target's labels, which are unknown for an unseen domain")
