"""``fasray train`` as a user runs it: a process, its output, its exit code and what it leaves in the folder."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fasray.cli import cli
from fasray.errors import DataError, FasrayError, SpecError
from fasray.faces.synthetic import generate

FASRAY = [sys.executable, "-m", "fasray"]
EVALUATION = re.compile(r"step +(\d+) of (\d+)   source-dev AUC +[\d.]+ %   loss [\d.]+   (.+)")
FINAL = re.compile(r"(source-dev|oracle†) +target HTER +([\d.]+) %   AUC +([\d.]+) %   step (\d+) and threshold .+")


class Bench:
    """A face set, a pool folder and a way to run the command on them."""

    def __init__(self, root: Path) -> None:
        self.root, self.data = root, root / "faces"
        generate(str(self.data), subjects=2, domains="OC", image_size=32, processes=1)
        self.environment = os.environ | {"FASRAY_POOL_DIR": str(root / "pools"), "OMP_NUM_THREADS": "1"}
        self.environment.pop("RAY_ADDRESS", None)

    def command(self, out: str, *more: str, steps: int = 6) -> list[str]:
        sizes = {"image_size": 32, "width": 0.125, "steps": steps, "evaluations": 3}
        settings = [part for key, value in sizes.items() for part in ("--set", f"training.{key}={value}")]
        where = ["--protocol", "O->C", "--data", str(self.data), "--out", str(self.root / out)]
        return [*FASRAY, "train", "erm", *where, "--set", "config.images_per_group=2", *settings, *more]

    def run(self, out: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(out), env=self.environment, capture_output=True, text=True, timeout=200)

    def here(self, out: str, *more: str, steps: int = 6) -> Result:
        """Run in this process, which saves importing torch once more."""
        arguments = self.command(out, *more, steps=steps)[len(FASRAY) :]
        return CliRunner(env=self.environment).invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("train"))


def test_a_trial_trains_judges_and_is_then_done(bench: Bench) -> None:
    first = bench.run("whole")
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    told = [match for match in map(EVALUATION.fullmatch, lines) if match]
    assert [(match[1], match[2]) for match in told] == [("2", "6"), ("4", "6"), ("6", "6")]
    assert all("target" not in match[0] for match in told)
    finals = [match for match in map(FINAL.fullmatch, lines) if match]
    assert [match[1] for match in finals] == ["source-dev", "oracle†"]
    left = {path.name for path in (bench.root / "whole").iterdir()}
    assert {"eval-00000002.parquet", "eval-00000004.parquet", "eval-00000006.parquet"} <= left
    assert {"spec.json", "checkpoint", "tensorboard"} <= left

    again = bench.here("whole")
    assert "done already" in again.stderr
    assert [match[0] for match in map(FINAL.fullmatch, again.stdout.splitlines()) if match] == [m[0] for m in finals]

    with pytest.raises(SpecError, match="config.learning_rate: 0.01 -> 0.1"):
        bench.here("whole", "--set", "config.learning_rate=0.1")


def test_ctrl_c_leaves_with_6_and_the_same_command_goes_on(bench: Bench) -> None:
    steps = 300
    with subprocess.Popen(
        bench.command("stopped", steps=steps),
        env=bench.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert EVALUATION.fullmatch(first.strip()), errors
    assert process.returncode == 6
    assert "run the same command again to resume" in errors
    assert "Traceback" not in errors

    rest = bench.here("stopped", steps=steps)
    told = [match for match in map(EVALUATION.fullmatch, rest.stdout.splitlines()) if match]
    assert [match[1] for match in told] == ["100", "200", "300"]
    assert told[0][3] == "read back"


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        (["--protocol", "ocim", "--data", "x"], SpecError, "a group of protocols"),
        (["--protocol", "O->C", "--data", "x", "--set", "lr=1"], SpecError, "not of the form config.key=value"),
        (["--protocol", "O->C", "--data", "x", "--profile", "smal"], SpecError, "did you mean 'small'"),
        (["--protocol", "O->C", "--data", "x", "--set", "config.momentun=0"], SpecError, "did you mean 'momentum'"),
        (["--protocol", "O->C", "--data", "x", "--out", "s3://b/x"], DataError, "there is nothing at this address"),
    ],
)
def test_bad_input_is_one_message(
    arguments: list[str], kind: type[FasrayError], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=sentence):
        cli.main(["train", "erm", *arguments], standalone_mode=False)
    assert not list(tmp_path.iterdir())
