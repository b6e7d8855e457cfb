"""A run whose trials were computed on different kinds of devices says so wherever its numbers are read."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from locations import GOLDEN

from fasray.cli import cli
from fasray.results.audit.provenance import to_text, trace
from fasray.results.frame import compute_results
from fasray.results.remarks import remarks
from fasray.results.report import render_report
from fasray.runs.record import read_run

FROZEN = GOLDEN / "frozen_sweep" / "run"
SAID = "Trials were computed on different kinds of devices (12 on NVIDIA H200, 8 on cpu), which round differently."


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The frozen run as if its methods had been trained on different devices."""
    run = tmp_path_factory.mktemp("mixed") / "run"
    shutil.copytree(FROZEN, run)
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    methods = {line["trial"]: line["method"] for line in lines if line["event"] == "suggested"}
    for line in lines:
        if line["event"] == "reported":
            device = "NVIDIA H200" if methods[line["trial"]] == "safas" else "cpu"
            line |= {"device": device, "precision": "bf16", "torch": "2.15.0"}
    (run / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def test_the_table_and_the_report_say_so(mixed: Path) -> None:
    table = CliRunner().invoke(cli, ["results", str(mixed), "--select", "last"], catch_exceptions=False).stdout
    assert table.splitlines()[-1] == SAID
    record = read_run(str(mixed))
    assert render_report(record, compute_results(record, ("source-dev",))).count(SAID) == 2


def test_why_names_the_device_of_each_number(mixed: Path) -> None:
    text = to_text(trace(read_run(str(mixed)), "safas", "O&C->I"))
    assert text.count("  computed on NVIDIA H200, bf16, torch 2.15.0\n") == 2
    assert f"note: {SAID}" in text


def test_a_run_over_domains_that_were_prepared_differently_says_so() -> None:
    record = read_run(str(FROZEN))
    ways = [{"margin": 1.35, "frames": 2, "every": None}, {"margin": 3.5, "frames": None, "every": 1}]
    sets = [
        {"domains": [name], "card": {"kind": "prepared", "plan": {"settings": way | {"quality": 95, "detector": "d"}}}}
        for name, way in zip("MC", ways, strict=True)
    ]
    differ = replace(record, data=replace(record.data, card={"kind": "merged", "sets": sets}))
    (said,) = remarks(differ)
    assert said == (
        "The domains were prepared differently, and results over them measure that, too: "
        "margin 1.35 (M), 3.5 (C); frames 2 evenly spaced (M), one in 1 (C)."
    )
    alike = {"kind": "merged", "sets": [sets[0], sets[0] | {"domains": ["C"]}]}
    assert remarks(replace(record, data=replace(record.data, card=alike))) == ()


def test_a_run_of_before_says_nothing_and_knows_of_no_device() -> None:
    record = read_run(str(FROZEN))
    assert remarks(record) == ()
    assert "computed on not recorded" in to_text(trace(record, "safas", "O&C->I"))
