"""The PAD report: species apart with exact bounds, non-responses both ways, and no word that the data cannot bear."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats
from score_runs import MadeTrial, made_reading, score_path, score_table, write_record, write_scores

from fasray import metrics
from fasray.cli import cli
from fasray.errors import DataError, SpecError
from fasray.ingest.worklog import VideoReport, count_videos
from fasray.metrics.pad import PadCounts, Presentations
from fasray.results.pad_report import PadOptions, build_pad_report, pad_report_html
from fasray.results.pad_report.checklist import MET, MISSED, UNKNOWN, checklist
from fasray.results.pad_report.non_responses import non_responses
from fasray.results.scores import read_scores
from fasray.results.tables.text import Grid
from fasray.runs.record import RunRecord

OPTIONS = PadOptions("erm", "C&M->I")
HOSTILE = "<script>alert(1)</script>"


def counts(split: str, attack_type: str, without_face: int, unreadable: int = 0) -> dict[str, Any]:
    numbers = {"videos": 40, "frames": 80, "misses": 9}
    return {
        "split": split,
        "attack_type": attack_type,
        "without_face": without_face,
        "unreadable": unreadable,
        **numbers,
    }


FACELESS = [
    counts("train", "live", 2), counts("test", "live", 3), counts("dev", "live", 50), counts("test", "print", 4, 1),
    counts("train", "print", 1), counts("test", "replay", 0), counts("test", "mask", 5),
]  # fmt: skip
CARD = {
    "kind": "merged",
    "sets": [
        {"domains": ["C", "M"], "card": {"kind": "prepared", "counts": [counts("test", "live", 99)]}},
        {"domains": ["I"], "card": {"kind": "prepared", "counts": FACELESS}},
    ],
}


def made(folder: Path, card: dict[str, Any] = CARD, noise: bool = False, **columns: Any) -> RunRecord:
    """Three seeds of two evaluations; with ``noise`` the scores of the target say nothing."""
    trials = []
    for seed in range(3):
        readings = [made_reading(step, 0.8) for step in (10, 20)]
        trial = MadeTrial(f"erm{seed}", seed=seed, steps=(10, 20), readings=readings)
        for step in trial.steps:
            rng = np.random.default_rng([seed, step])
            table = score_table(rng, 0.3 + 0.1 * (seed == 1), 0.4, videos=48, frames=2) | {}
            table["instrument"] = [
                {"print": "printer1", "replay": "pad"}.get(kind, "") for kind in table["attack_type"]
            ]
            if noise:
                table["score"] = [
                    float(rng.random()) if role == "target" else score
                    for role, score in zip(table["role"], table["score"], strict=True)
                ]
            write_scores(score_path(folder, trial.id, step), trial.id, step, table | columns)
        trials.append(trial)
    return write_record(folder, trials, card=card, versions={"fasray": "0.2.0", "commit": "c0ffee"})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return made(tmp_path_factory.mktemp("pad") / "run")


def by_name(grid: Grid) -> dict[str, dict[str, str]]:
    return {row[0]: dict(zip(grid.headers, row, strict=True)) for row in grid.rows}


def test_species_and_bona_fide_are_counted_apart_with_scipys_bounds(run: RunRecord) -> None:
    report = build_pad_report(run, OPTIONS)
    evaluation = read_scores(run.score_uri(report.tested.trial.id, report.tested.step))
    dev, target = evaluation.source_dev.videos, evaluation.target.videos
    threshold = metrics.eer_threshold(dev.score, dev.label)
    assert report.tested.threshold == threshold
    tables = by_name(report.species) | by_name(report.bona_fide)
    for kind, name in (("print", "print"), ("replay", "replay"), ("live", "bona fide")):
        scores = target.score[target.attack_type == kind]
        errors = int(((scores >= threshold) != (kind == "live")).sum())
        test = stats.binomtest(errors, len(scores))
        interval = test.proportion_ci(0.95, "exact")
        row = tables[name]
        rate, wrong = ("BPCER", "rejected") if kind == "live" else ("APCER", "accepted")
        assert (row["videos"], row[wrong], row["people"]) == (str(len(scores)), str(errors), "12")
        assert row[rate] == f"{100 * errors / len(scores):.2f}"
        assert row["exact 95 %"] == f"{100 * interval.low:.2f} to {100 * interval.high:.2f}"
        upper = stats.binomtest(errors, len(scores), alternative="less").proportion_ci(0.95, "exact").high
        assert row["exact bound"] == f"{100 * upper:.2f}"
    assert report.instruments is not None
    assert [row[0] for row in report.instruments.rows] == ["print: printer1", "replay: pad"]
    fixed = by_name(report.fixed)["5 % for every species"]["BPCER"]
    assert fixed == f"{100 * metrics.bpcer_at_apcer(target.score, target.label, 0.05, target.attack_type):.2f}"


def test_faceless_videos_are_non_responses_of_their_kind_and_counted_both_ways(run: RunRecord) -> None:
    report = build_pad_report(run, OPTIONS)
    species, live = by_name(report.species), by_name(report.bona_fide)["bona fide"]
    assert {name: row["no response"] for name, row in species.items()} == {"print": "5", "replay": "0", "mask": "5"}
    assert (species["print"]["APNRR"], species["mask"]["APNRR"], species["mask"]["APCER"]) == ("29.41", "100.00", "-")
    assert (live["no response"], live["BPNRR"]) == ("5", f"{500 / 29:.2f}")
    accepted = {name: int(row["accepted"]) for name, row in species.items()}
    rejected = int(live["rejected"])
    excluded, counted = (dict(zip(report.treatments.headers, row, strict=True)) for row in report.treatments.rows)
    assert excluded["HTER"] == f"{50 * (sum(accepted.values()) / 24 + rejected / 24):.2f}"
    assert counted["HTER"] == f"{50 * (sum(accepted.values()) / 34 + (rejected + 5) / 29):.2f}"
    assert counted["APCER, worst species"] == f"{100 * max(accepted['print'] / 17, accepted['replay'] / 12):.2f}"


def test_the_counts_are_those_that_preparation_writes(run: RunRecord) -> None:
    reports = [
        VideoReport(
            path=f"{number}.avi", video=str(number), split="test", attack_type=kind, taken=taken,
            misses=tuple(range(missed)), remarks=(), unreadable=unreadable, domain="I",
        )
        for number, (kind, taken, missed, unreadable) in enumerate(
            [("live", 4, 4, ""), ("live", 4, 3, ""), ("print", 2, 2, ""), ("print", 1, 1, ""), ("mask", 0, 0, "empty")]
        )
    ]  # fmt: skip
    prepared = {"kind": "prepared", "counts": [each.model_dump() for each in count_videos(reports)]}
    found = non_responses(replace(run, data=replace(run.data, card=prepared)), "C&M->I")
    assert (found.known, found.live, found.attacks, found.unreadable) == (True, 1, (("print", 2),), 1)


def test_a_set_of_several_domains_counts_each_apart(run: RunRecord) -> None:
    def found(*sets: dict[str, Any]) -> Any:
        card = sets[0]["card"] if len(sets) == 1 else {"kind": "merged", "sets": list(sets)}
        return non_responses(replace(run, data=replace(run.data, card=card)), "C&M->I")

    rows = [{**counts("test", "live", 3), "domain": "I"}, {**counts("test", "live", 7), "domain": "C"}]
    several = {"domains": ["C", "I"], "card": {"kind": "prepared", "counts": rows}}
    more = {"domains": ["I"], "card": {"kind": "prepared", "counts": FACELESS}}
    generated = {"domains": ["I"], "card": {"kind": "synthetic"}}
    assert found(several).live == 3
    assert found(several, more).live == 3 + 5
    assert not found(several, generated).known


def test_what_preparation_did_not_count_is_said_to_be_unknown(run: RunRecord, tmp_path: Path) -> None:
    card: dict[str, Any] = {"kind": "prepared", "counts": FACELESS}
    unknown = replace(run, data=replace(run.data, card=card))
    assert not non_responses(unknown, "C&M->I").known
    divided = "C&I[split=train|dev]->I[split=test]"
    for name in ("oulu-npu-1", "C&M->I+5shot", "C&M->I[attack=print]", divided, "cefa-4.1"):
        assert "judges a part" in non_responses(run, name).note
    assert non_responses(run, "C&M+CA->I") == non_responses(run, "C&M->I")
    report = build_pad_report(unknown, OPTIONS)
    assert by_name(report.species)["print"]["APNRR"] == "-"
    assert len(report.treatments.rows) == 1
    assert "is not known" in pad_report_html(report)


def test_no_score_of_the_target_chooses_model_step_or_threshold(run: RunRecord, tmp_path: Path) -> None:
    seen, blind = (build_pad_report(each, OPTIONS) for each in (run, made(tmp_path, noise=True)))
    for report in (seen, blind):
        assert (report.tested.seed, report.tested.step) == (seen.tested.seed, seen.tested.step)
        assert report.threshold == seen.threshold
    assert seen.species.rows != blind.species.rows
    assert len(seen.seeds.rows) == 3
    other = build_pad_report(run, replace(OPTIONS, seed=0, threshold="bpcer=0.1"))
    assert other.tested.seed == 0
    assert dict(other.threshold)["rule"].startswith("BPCER at most 10 %")


def test_generated_faces_are_loudly_no_evidence_and_meet_nothing(run: RunRecord) -> None:
    generated = replace(run, data=replace(run.data, card={"kind": "synthetic"}))
    report = build_pad_report(generated, OPTIONS)
    assert {row.verdict for row in report.checklist} == {UNKNOWN}
    page = pad_report_html(report)
    assert page.count("No evidence: generated faces") == 1
    assert '@top-center { content: "NO EVIDENCE: GENERATED FACES"' in page
    assert "nothing here is to be signed" in page
    real = pad_report_html(build_pad_report(run, OPTIONS))
    assert "Generated faces" not in real
    assert "Reviewed by" in real
    assert dict(report.data)["tested on"].startswith("I;")
    assert dict(build_pad_report(run, OPTIONS).data)["tested on"].startswith("I (Replay-Attack (Idiap));")


@pytest.mark.parametrize(
    ("count", "errors", "rejected", "verdicts"),
    [
        (150, 0, 0, [MET] * 5),
        (149, 0, 0, [MET, UNKNOWN, UNKNOWN, MET, MET]),
        (150, 1, 16, [MET, MET, MISSED, MISSED, MET]),
    ],
)
def test_the_checklist_asks_for_150_presentations_without_error(
    count: int, errors: int, rejected: int, verdicts: list[str]
) -> None:
    species = (Presentations("print", False, count, errors), Presentations("replay", False, 200, 0))
    rows = checklist(PadCounts(0.5, species, Presentations("bona fide", True, 100, rejected)), generated=False)
    assert [row.verdict for row in rows if row.level == 1] == [*verdicts, UNKNOWN]
    assert {row.verdict for row in rows if row.level == 2 and "BPCER" not in row.what} == {UNKNOWN}


def test_the_page_needs_nothing_else_and_is_the_same_each_time(run: RunRecord) -> None:
    report = build_pad_report(run, replace(OPTIONS, iapar=0.04, frr=0.025))
    page = pad_report_html(report)
    assert page == pad_report_html(report)
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]*\"|https?://(?!www\.w3\.org)", page)
    assert str(Path(run.uri).parent) not in page
    assert "6.50 %" in page
    for section in ("APNRR", "BPNRR", "one-sided 95 %", "commit c0ffee", "m" * 64, "RIAPAR"):
        assert section in page


def test_of_species_without_an_error_the_least_known_is_the_worst(tmp_path: Path) -> None:
    kinds = score_table(np.random.default_rng(0), 1, 1, videos=48, frames=2)["attack_type"]
    seen = [kind if kind == "live" else "mask" if number < 200 else "print" for number, kind in enumerate(kinds)]
    label = [float(kind == "live") for kind in kinds]
    report = build_pad_report(made(tmp_path, score=label, attack_type=seen), OPTIONS)
    counted = {each.name: each.count for each in report.counts.species if each.count}
    assert counted["print"] > counted["mask"] == report.worst.count
    assert report.worst.name == "mask"


def test_a_report_does_not_say_that_nobody_judged_has_trained_where_people_of_shots_are(tmp_path: Path) -> None:
    name = "C&M->I+5shot-videos"
    trial = MadeTrial("t", protocol=name, steps=(10,))
    write_scores(score_path(tmp_path, "t", 10), "t", 10, score_table(np.random.default_rng(0), 0.3, 0.4, videos=48))
    run = write_record(tmp_path, [trial], card=CARD)
    report = build_pad_report(run, replace(OPTIONS, protocol=name))
    assert "whose people are judged on other videos" in dict(report.data)["roles"]
    assert "nobody" not in dict(report.data)["tested on"]
    assert "nobody" not in dict(report.threshold)["chosen on"]
    assert any("5-shot" in line for line in report.remarks)


def test_curves_without_bands_do_not_say_that_they_have_them(run: RunRecord) -> None:
    assert "band" not in build_pad_report(run, OPTIONS).det.alt


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    table = score_table(np.random.default_rng(0), 0.3, 0.4, videos=48, frames=2)
    hostile = [HOSTILE if kind != "live" else "live" for kind in table["attack_type"]]
    page = pad_report_html(build_pad_report(made(tmp_path, attack_type=hostile, instrument=hostile), OPTIONS))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (replace(OPTIONS, method="ern"), "no method 'ern'\n  -> did you mean 'erm'"),
        (replace(OPTIONS, protocol="C&M->O"), "no protocol 'C&M->O' in this run"),
        (replace(OPTIONS, selection="oracle"), "no evaluator can sign for that"),
        (replace(OPTIONS, selection="mean-of-last-k"), "not one step of one model"),
        (replace(OPTIONS, seed=7), "choose one of: 0, 1, 2"),
        (replace(OPTIONS, threshold="hter"), "no threshold rule 'hter'"),
        (replace(OPTIONS, iapar=0.1), "needs both IAPAR and FRR"),
    ],
)
def test_what_cannot_be_reported_is_refused(run: RunRecord, options: PadOptions, reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        build_pad_report(run, options)
    assert reason in str(caught.value)


def test_a_cell_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    trials = [MadeTrial("late", status="running", steps=(10,))]
    with pytest.raises(DataError, match="has finished yet"):
        build_pad_report(write_record(tmp_path, trials), OPTIONS)


def test_the_command_writes_one_file_named_after_the_cell(run: RunRecord) -> None:
    ran = CliRunner().invoke(cli, ["pad-report", run.uri, "erm", "C & M -> I"], catch_exceptions=False)
    assert ran.exit_code == 0
    assert (Path(run.uri) / "pad-report-erm-C-M-I.html").read_text().startswith("<!doctype html>")
