"""Everything that a PAD report says, worked out before a word of HTML is written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fasray import protocols
from fasray.errors import DataError, SpecError
from fasray.metrics import bpcer_at_apcer, pad_rates_at, roc
from fasray.metrics.calibration import reliability
from fasray.metrics.intervals import few_subjects_warning
from fasray.metrics.pad import PadCounts, Presentations, pad_counts, riapar
from fasray.metrics.thresholds import choose_threshold
from fasray.protocols.lists import SHARED
from fasray.protocols.registry import DOMAIN_TITLES
from fasray.results.calibrated import calibrate
from fasray.results.pad_report.checklist import Requirement, checklist
from fasray.results.pad_report.model import NOT_RECORDED, PadOptions, Tested, find_tested
from fasray.results.pad_report.non_responses import NonResponses, non_responses
from fasray.results.plots import Band, Plot
from fasray.results.plots.curves import det_plot
from fasray.results.plots.reliability import reliability_plot
from fasray.results.remarks import remarks
from fasray.results.report.bands import GRID
from fasray.results.scores import Scores
from fasray.results.slices import ATTRIBUTES, FEW_IN_GROUP, slice_rows, target_attributes
from fasray.results.tables.text import NOTHING, Grid, mark_notes, percent
from fasray.results.transfer import transferred
from fasray.runs.record import RunRecord
from fasray.runs.videos import VideoFacts, read_videos

Facts = tuple[tuple[str, str], ...]
"""Names and values, in order."""
_LIMITS = (0.01, 0.05, 0.10)


@dataclass(frozen=True)
class PadReport:
    """The content of a PAD report."""

    run: RunRecord
    options: PadOptions
    tested: Tested
    counts: PadCounts
    missing: NonResponses
    worst: Presentations
    """The species with the highest APCER, of equal ones the least known."""
    model: Facts
    data: Facts
    conditions: Facts
    threshold: Facts
    species: Grid
    instruments: Grid | None
    """None where the data know none."""
    bona_fide: Grid
    treatments: Grid
    fixed: Grid
    transfer: Grid
    groups: Grid | None
    seeds: Grid
    checklist: tuple[Requirement, ...]
    riapar: float | None
    det: Plot
    reliability: Plot | None
    calibration: Facts
    remarks: tuple[str, ...]


def build_pad_report(run: RunRecord, options: PadOptions) -> PadReport:
    """Work out the content of a PAD report; errors as ``find_tested``, and SpecError for half of IAPAR and FRR."""
    if (options.iapar is None) != (options.frr is None):
        raise SpecError("RIAPAR needs both IAPAR and FRR", where="--iapar, --frr", remedy="give both, or neither")
    tested, all_seeds = find_tested(run, options)
    target, missing = tested.evaluation.target, non_responses(run, tested.trial.protocol)
    counts = count(target, tested.threshold, missing)
    instruments, facts = _instruments(target, tested.threshold), read_videos(run.uri)
    rows = slice_rows([(target, tested.threshold)], facts, ATTRIBUTES)
    people = {row["group"]: row for row in rows if (row["by"], row["figure"]) == ("attack_type", "apcer")}
    people["bona fide"] = next(row for row in rows if (row["by"], row["figure"]) == ("all", "bpcer"))
    plot, calibration = _calibration(tested)
    return PadReport(
        run=run,
        options=options,
        tested=tested,
        counts=counts,
        missing=missing,
        worst=max((each for each in counts.species if each.count), key=lambda each: (each.rate, each.upper())),
        model=_model(run, tested),
        data=_data(run, tested, counts),
        conditions=_conditions(run, facts, target, missing),
        threshold=_threshold(tested, options),
        species=_presentations(counts.species, "PAI species", "APCER", "APNRR", missing.known, people),
        instruments=_presentations(instruments, "instrument", "APCER") if instruments else None,
        bona_fide=_presentations([counts.live], "presentations", "BPCER", "BPNRR", missing.known, people),
        treatments=_treatments(counts, missing),
        fixed=_fixed(target),
        transfer=_transfer(tested),
        groups=_groups(rows),
        seeds=_seeds(all_seeds, missing),
        checklist=checklist(counts, run.generated),
        riapar=None if options.iapar is None or options.frr is None else riapar(options.iapar, options.frr),
        det=_det(tested, counts),
        reliability=plot,
        calibration=calibration,
        remarks=(
            *_capital(few_subjects_warning(_people(counts))),
            *mark_notes([tested.trial.protocol]),
            *remarks(run, of_search=False),
        ),
    )


def count(target: Scores, threshold: float, missing: NonResponses) -> PadCounts:
    """Count a target's videos by attack type, with the videos that had no response."""
    videos = target.videos
    return pad_counts(
        videos.score, videos.label, videos.attack_type, threshold, subject=target.grouping.subjects,
        non_responses=missing.attacks, live_non_responses=missing.live,
    )  # fmt: skip


def _instruments(target: Scores, threshold: float) -> tuple[Presentations, ...]:
    """Count the attacks by instrument; nothing where no instrument is known."""
    videos = target.videos
    named = target_attributes(target, None).get("instrument")
    if named is None:
        return ()
    kinds = np.array([f"{kind}: {name}" for kind, name in zip(videos.attack_type, named, strict=True)])
    return pad_counts(videos.score, videos.label, kinds, threshold, subject=target.grouping.subjects).species


def _capital(remark: str) -> tuple[str, ...]:
    return (f"{remark[0].upper()}{remark[1:]}.",) if remark else ()


def _people(counts: PadCounts) -> int:
    return min(each.subjects for each in (counts.live, *counts.species) if each.count)


def _presentations(
    kinds: Sequence[Presentations],
    what: str,
    rate: str,
    without: str = "",
    known: bool = False,
    people: Mapping[str, Mapping[str, Any]] | None = None,
) -> Grid:
    """Arrange counts, one row a kind; ``people`` has the intervals over people, by the kind's name."""
    headers = [what, "videos", "people", "rejected" if rate == "BPCER" else "accepted", rate]
    headers += ["exact 95 %", "exact bound", *(["95 %, people"] if people else [])]
    headers += ["no response", without] if without else []
    rows = []
    for each in kinds:
        cells = [each.name, str(each.count), str(each.subjects or NOTHING), str(each.errors), percent(each.rate)]
        cells += [_span(*each.interval()), f"{100 * each.upper():.2f}"] if each.count else [NOTHING] * 2
        if people:
            row = people.get(each.name)
            cells.append(_span(row["lower"], row["upper"]) if row else NOTHING)
        if without:
            cells += [str(each.non_responses), percent(each.non_response_rate)] if known else [NOTHING, NOTHING]
        rows.append(tuple(cells))
    return Grid(tuple(headers), tuple(rows), (), text_columns=1)


def _span(low: float, high: float) -> str:
    return NOTHING if math.isnan(low) else f"{100 * low:.2f} to {100 * high:.2f}"


def _treatments(counts: PadCounts, missing: NonResponses) -> Grid:
    headers = (
        "videos without a response are",
        "APCER, worst species",
        "BPCER",
        "attacks accepted, all species",
        "HTER",
    )
    both = (("excluded", counts), ("counted as classified as attacks", counts.as_attack))
    rows = tuple(
        (name, percent(each.apcer), percent(each.live.rate), percent(each.far), percent(each.hter))
        for name, each in (both if missing.known else both[:1])
    )
    return Grid(headers, rows, (), text_columns=1)


def _fixed(target: Scores) -> Grid:
    videos = target.videos
    rows = []
    for limit in _LIMITS:
        rate = bpcer_at_apcer(videos.score, videos.label, limit, videos.attack_type)
        threshold = choose_threshold(f"apcer={limit}", videos.score, videos.label, videos.attack_type)
        rows.append((f"{100 * limit:g} % for every species", percent(rate), f"{threshold:.4g}"))
    return Grid(("APCER at most", "BPCER", "threshold"), tuple(rows), (), text_columns=1)


def _transfer(tested: Tested) -> Grid:
    rows = [
        (rule_words(row["threshold_rule"]), f"{row['threshold']:.4g}",
         *(percent(row[name]) for name in ("source_apcer", "source_bpcer", "apcer", "bpcer")))
        for row in transferred(tested.evaluation)
    ]  # fmt: skip
    headers = ("chosen on source-dev", "threshold", "source APCER", "source BPCER", "APCER", "BPCER")
    return Grid(headers, tuple(rows), (), text_columns=1)


def rule_words(rule: str) -> str:
    """Return a threshold rule in words."""
    name, given, rate = rule.partition("=")
    return f"{name.upper()} at most {100 * float(rate):g} %" if given else "equal error rate"


def _groups(rows: Sequence[Mapping[str, Any]]) -> Grid | None:
    """Arrange errors by what is known of people and recording; None where there are no two groups of anything."""
    found: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    split = [row for row in rows if row["by"] not in ("all", "attack_type", "instrument")]
    several = {row["by"] for row in split if len({each["group"] for each in split if each["by"] == row["by"]}) > 1}
    for row in split:
        if row["by"] in several and row["figure"] in ("apcer", "bpcer"):
            found.setdefault((row["by"], row["group"]), {})[row["figure"]] = row
    lines = [
        (by, f"{group}{' !' if any(each['few_subjects'] for each in figures.values()) else ''}",
         *(cell for name in ("apcer", "bpcer") for cell in _group_cells(figures.get(name))))
        for (by, group), figures in found.items()
    ]  # fmt: skip
    if not lines:
        return None
    headers = ("by", "group", "people", "APCER", "95 %", "people", "BPCER", "95 %")
    notes = (
        "APCER is that of the worst species in the group; intervals by bootstrap over people. * worst of the groups"
        " with enough people.",
        f"! fewer than {FEW_IN_GROUP} people: too few to say anything of the group.",
    )
    return Grid(headers, tuple(lines), notes, text_columns=2)


def _group_cells(row: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if row is None:
        return NOTHING, NOTHING, NOTHING
    star = " *" if row["worst"] else ""
    return str(row["subjects"]), percent(row["value"]) + star, _span(row["lower"], row["upper"])


def _seeds(found: Sequence[Tested], missing: NonResponses) -> Grid:
    rows = []
    for each in found:
        counts = count(each.evaluation.target, each.threshold, missing)
        rows.append(
            (str(each.seed), each.trial.id, str(each.step), percent(each.source_dev_auc), f"{each.threshold:.4g}",
             percent(counts.apcer), percent(counts.live.rate), percent(counts.hter))
        )  # fmt: skip
    headers = ("seed", "trial", "step", "source-dev AUC", "threshold", "APCER, worst species", "BPCER", "HTER")
    return Grid(headers, tuple(rows), (), text_columns=2)


def _det(tested: Tested, counts: PadCounts) -> Plot:
    videos = tested.evaluation.target.videos
    lines = []
    for each in counts.species:
        rows = (videos.label == 1) | (videos.attack_type == each.name)
        if each.count:
            points = roc(videos.score[rows], videos.label[rows])
            # The least BPCER of an operating point that accepts no more; nothing is interpolated.
            curve = np.array([points.frr[np.argmax(points.far <= far)] for far in GRID])
            lines.append(Band(each.name, GRID, curve, curve, curve, ((each.rate, counts.live.rate),)))
    return det_plot("pad-det", "DET by PAI species", tested.trial.protocol, lines, ("APCER", "BPCER"))


def _calibration(tested: Tested) -> tuple[Plot | None, Facts]:
    target = tested.evaluation.target.videos
    try:
        curve = calibrate(tested.evaluation)
    except DataError as error:
        return None, (("calibration", f"none: {error.what}"),)
    curves = [("calibrated", reliability(curve.apply(target.score), target.label))]
    if curve.input == "logit" and target.score.min() >= 0 and target.score.max() <= 1:
        curves.insert(0, ("as scored", reliability(target.score, target.label)))
    facts = [(f"expected calibration error, {label}", f"{100 * each.ece:.2f} %") for label, each in curves]
    sign, x = "-" if curve.intercept < 0 else "+", "logit(score)" if curve.input == "logit" else "score"
    found = f"1 / (1 + exp(-({curve.slope:.5g} {x} {sign} {abs(curve.intercept):.5g}))), {curve.rows} videos"
    facts.append(("curve fitted to source-dev (Platt)", found))
    plot = reliability_plot("pad-reliability", "Reliability on the target", tested.trial.protocol, curves)
    return plot, tuple(facts)


def _model(run: RunRecord, tested: Tested) -> Facts:
    trial, versions = tested.trial, run.versions
    settings = ", ".join(f"{name} {json.dumps(value)}" for name, value in sorted(trial.config.items()))
    reading = next(each for each in trial.readings if each.step == tested.step)
    on = f"{reading.device}, {reading.precision}, torch {reading.torch}" if reading.device else NOT_RECORDED
    return (
        ("method", trial.method),
        ("kind of test", "PAD subsystem alone: pictures of a face in, one score a video out"),
        (
            "trained by",
            f"run {run.name}, trial {trial.id}, seed {trial.seed}, step {tested.step} of {trial.total_steps}",
        ),
        ("weights, SHA-256", tested.weights_sha256),
        *((("initial weights", tested.initial_weights),) if tested.initial_weights else ()),
        ("settings", settings or "its defaults"),
        ("specification of the run, hash", run.spec_hash),
        ("fasray", f"{versions.get('fasray', NOT_RECORDED)}, commit {versions.get('commit', NOT_RECORDED)}"),
        ("computed on", on),
    )


def _data(run: RunRecord, tested: Tested, counts: PadCounts) -> Facts:
    target, dev = tested.evaluation.target, tested.evaluation.source_dev
    kinds = [each for each in counts.species if each.count]
    trained, judged = (_domains(scores, run.generated) for scores in (dev, target))
    name = tested.trial.protocol
    apart = "; nobody in these videos had a part in training or in any choice" if _people_are_apart(name) else ""
    return (
        ("protocol", name),
        ("roles", protocols.parse(name).in_words),
        ("trained and chosen on", trained),
        ("tested on", judged + apart),
        ("face set, SHA-256 of its manifest", run.data.manifest_hash),
        ("people", f"{target.grouping.subject_count}; {counts.live.subjects} in bona fide presentations"),
        ("bona fide presentations", str(counts.live.count)),
        ("attack presentations", f"{sum(each.count for each in kinds)}"),
        ("PAI species", f"{len(kinds)}: {', '.join(each.name for each in kinds)}"),
        ("instruments", str(len({name for name in target.instrument.tolist() if name}) or "not known")),
        ("frames", f"{len(target.score)} in {len(target.videos.score)} videos"),
    )


def _people_are_apart(name: str) -> bool:
    """Whether nobody is judged who trains or chooses, or chooses who trains."""
    protocol = protocols.parse(name)
    return not (protocol.shots_by_video or protocol.listed.endswith(SHARED))


def _domains(scores: Scores, generated: bool) -> str:
    """Return the domains of some videos, real ones with the corpus' title: generated ones only borrow the letters."""
    names = np.unique(scores.videos.domain).tolist()
    titles = {} if generated else DOMAIN_TITLES
    return ", ".join(f"{name} ({titles[name]})" if name in titles else name for name in names)


def _conditions(run: RunRecord, facts: VideoFacts | None, target: Scores, missing: NonResponses) -> Facts:
    card = run.data.card
    found: list[tuple[str, str]] = []
    for name, title in (("camera", "capture devices"), ("session", "sessions"), ("modality", "what the cameras see")):
        values = [] if facts is None else np.unique(facts.of_videos(name, target.videos.video)).tolist()
        listed = ", ".join(str(value) for value in values if value)
        found.append((title, listed or "not known"))
    crop = card.get("crop") or {}
    shown = ", ".join(f"{key} {value}" for key, value in crop.items()) or "not known"
    found += [
        ("face crops", f"{run.data.image_size} px; {shown}"),
        ("presentation", "one video; its score is the mean over its frames with a face"),
        ("response", "none where no frame has a face. " + missing.note),
        ("files that could not be read", f"{missing.unreadable}; no presentations" if missing.known else "not known"),
    ]
    return tuple(found)


def _threshold(tested: Tested, options: PadOptions) -> Facts:
    dev = tested.evaluation.source_dev
    videos = dev.videos
    rates = pad_rates_at(videos.score, videos.label, videos.attack_type, tested.threshold)
    people, domains = dev.grouping.subject_count, _domains(dev, generated=True)
    apart = ", nobody of whom is in a training video" if _people_are_apart(tested.trial.protocol) else ""
    promised = f"APCER {percent(rates.apcer)} % (worst species), BPCER {percent(rates.bpcer)} %"
    return (
        ("threshold", f"{tested.threshold:.6g}: bona fide if the score is at or above it"),
        ("rule", f"{rule_words(options.threshold)} on source-dev; step by {options.selection}"),
        ("chosen on", f"{len(videos.score)} videos of {people} people of {domains}{apart}"),
        ("what it promised there", promised),
        ("fixed before the test", "yes: no score of a tested video has a part in it"),
    )
