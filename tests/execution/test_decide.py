"""What a sweep file leaves open is decided before the sweep is planned, and once for a run."""

from pathlib import Path

import pytest
from small_sweeps import environment
from sweep_fixtures import SWEEP

from fasray.errors import SpecError
from fasray.execution.decide import decide
from fasray.execution.engine import run_sweep
from fasray.execution.listener import Listener
from fasray.runs.ledger import Ledger
from fasray.runs.record import DataFacts
from fasray.sweep.spec import SweepSpec
from fasray.sweep.sweep_file import parse_sweep

OPEN = """
name: open
data: auto
protocols: [ocim]
methods: [erm]
training: {profile: auto}
"""


class Heard(Listener):
    def __init__(self) -> None:
        self.stages: list[str] = []

    def on_stage(self, what: str) -> None:
        self.stages.append(what)


def never() -> bool:
    raise AssertionError("nobody needs to know whether there are GPUs")


def started(run: Path, spec: SweepSpec) -> None:
    with Ledger(str(run), spec.identity(), DataFacts("0" * 64, 1, 128, {})):
        pass


@pytest.mark.parametrize("has_gpus", [True, False])
def test_the_first_driver_decides_and_the_next_on_any_machine_goes_on_with_it(
    has_gpus: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASRAY_DATA", "/shared/ocim")
    run, heard = tmp_path / "run", Heard()
    first = decide(parse_sweep(OPEN), str(run), heard, lambda: has_gpus)
    assert first.profile_name == ("full" if has_gpus else "small")
    assert len(heard.stages) == 2
    started(run, first)
    monkeypatch.delenv("FASRAY_DATA")
    assert decide(parse_sweep(OPEN), str(run), heard, never).identity() == first.identity()
    assert heard.stages[2:] == [
        f"profile {first.profile_name}: this run was started with it",
        "data /shared/ocim: this run was started with it",
    ]


def test_a_cluster_is_warned_of_faces_that_are_generated_on_its_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASRAY_DATA", raising=False)
    for address, warned in (("", False), ("127.0.0.1:6379", True)):
        monkeypatch.setenv("RAY_ADDRESS", address)
        heard = Heard()
        decide(parse_sweep(OPEN), str(tmp_path / "run"), heard, lambda: False)
        assert any("nodes that do not share its disk cannot read them" in line for line in heard.stages) == warned


def test_a_file_that_leaves_nothing_open_asks_nobody_and_says_nothing(tmp_path: Path) -> None:
    spec, heard = parse_sweep(OPEN, "open.yaml", ["data=synthetic", "training.profile=quick"]), Heard()
    assert decide(spec, str(tmp_path / "run"), heard, never) is spec
    assert heard.stages == []
    assert not (tmp_path / "run").exists()


def test_an_out_whose_store_does_not_answer_is_named_by_its_option(tmp_path: Path) -> None:
    store = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    spec = parse_sweep(SWEEP, "sweep.yaml", [f"data={tmp_path}"])
    with environment(store), pytest.raises(SpecError, match="nothing answers at http://127.0.0.1:9") as error:
        run_sweep(spec, "s3://bucket/run")
    assert error.value.where == "--out s3://bucket/run"
