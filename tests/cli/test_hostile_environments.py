"""Every command in every hostile environment, then on broken data, places and outputs: one message, the right code."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from forked_commands import Circumstances, Commands, Ended
from trained_runs import SWEEP, train_run

CODES = {0, 2, 3, 4, 5, 6}
"""Those that the reference documents for what is not a bug."""


@dataclass(frozen=True)
class Workshop:
    """A trained run with all that it is made of, and commands that are ready to run."""

    commands: Commands
    folder: Path

    @property
    def trial(self) -> Path:
        return min((self.folder / "run" / "trials").iterdir())


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("workshop")
    made = train_run(folder)
    (folder / "sweep.yaml").write_text(SWEEP.format(data=made.data))
    shutil.copy(min((made.run / "trials").iterdir()) / "eval-00000006.parquet", folder / "scores.parquet")
    (folder / "home").mkdir()
    with Commands(folder, {**made.env, "HOME": str(folder / "home")}) as commands:
        yield Workshop(commands, folder)


COMMANDS: dict[str, Callable[[Path], list[str | Path]]] = {
    "protocols": lambda here: ["protocols"],
    "methods": lambda here: ["methods", "ssdg"],
    "plan": lambda here: ["plan", here / "sweep.yaml"],
    "sweep": lambda here: ["sweep", here / "sweep.yaml", "--out", here / "run"],
    "results": lambda here: ["results", here / "run"],
    "results csv": lambda here: ["results", here / "run", "--what", "scores", "--format", "csv"],
    "why": lambda here: ["why", here / "run", "erm", "O->C"],
    "verify": lambda here: ["verify", here / "run"],
    "report": lambda here: ["report", here / "run", "-o", here / "page.html"],
    "metrics": lambda here: ["metrics", here / "scores.parquet", "--live-is", "higher"],
    "data stats": lambda here: ["data", "stats", here / "faces"],
    "data verify": lambda here: ["data", "verify", here / "faces"],
    "data preview": lambda here: ["data", "preview", here / "faces", "-o", here / "sheet.png"],
    "data synth": lambda here: ["data", "synth", here / "new", "--subjects", "2", "--image-size", "32", "--domains",
                                "O", "--processes", "1"],
    "data merge": lambda here: ["data", "merge", here / "faces", here / "faces", here / "merged"],
    "train": lambda here: ["train", "erm", "--protocol", "O->C", "--data", here / "faces", "--profile", "smoke",
                           "--set", "training.image_size=32", "--set", "training.steps=2", "--set",
                           "training.evaluations=1", "--out", here / "trial"],
    "cluster": lambda here: ["cluster", "validate", here / "sweep.yaml"],
    "doctor": lambda here: ["doctor", "--data", here / "faces"],
}  # fmt: skip

MADE = ("new", "merged", "trial", "page.html", "sheet.png")
"""What commands make."""
LONG = "/tmp/" + "long" * 25  # noqa: S108 - never made
ENVIRONMENTS: dict[str, Circumstances] = {
    "as it should be": Circumstances(),
    "Latin-1": Circumstances(encoding="latin-1"),
    "ASCII": Circumstances(encoding="ascii", env={"LC_ALL": "C"}),
    "output full": Circumstances(out="full"),
    "output closed": Circumstances(out="closed"),
    "reader gone": Circumstances(out="left"),
    "messages full": Circumstances(err="full"),
    "all closed": Circumstances(out="closed", err="closed"),
    "no user": Circumstances(passwd=False, env={"HOME": None, "USER": None, "LOGNAME": None}),
    "no home": Circumstances(env={"HOME": "/nonexistent", "XDG_CACHE_HOME": None}),
    "home read-only": Circumstances(env={"HOME": "/proc"}),
    "long TMPDIR": Circumstances(env={"TMPDIR": LONG}),
    "no TMPDIR": Circumstances(env={"TMPDIR": "/nonexistent"}),
    "folder gone": Circumstances(into="gone"),
    "read-only folder": Circumstances(into="/proc/self"),
    "stale address": Circumstances(env={"RAY_ADDRESS": "127.0.0.1:9"}),
    "dashboard": Circumstances(env={"RAY_ADDRESS": "http://127.0.0.1:9"}),
    "client": Circumstances(env={"RAY_ADDRESS": "ray://127.0.0.1:9"}),
    "no address": Circumstances(env={"RAY_ADDRESS": "?"}),
    "pools read-only": Circumstances(env={"FASRAY_POOL_DIR": "/proc/pools"}),
    "pools in a file": Circumstances(env={"FASRAY_POOL_DIR": "/dev/null"}),
    "pools remote": Circumstances(env={"FASRAY_POOL_DIR": "s3://bucket/pools"}),
    "pools at home": Circumstances(env={"FASRAY_POOL_DIR": "~/pools"}),
    "cache read-only": Circumstances(env={"FASRAY_CACHE_DIR": "/proc/cache"}),
    "narrow": Circumstances(env={"COLUMNS": "1", "TERM": "dumb"}),
    "odd sizes": Circumstances(env={"COLUMNS": "many", "LINES": "-1"}),
    "few files": Circumstances(files=48),
}


def find_fault(name: str, environment: str, found: Circumstances, ended: Ended) -> str:
    """What is wrong with how a command ended; empty if nothing is."""
    try:
        check(name, environment, found, ended)
    except AssertionError as error:
        return str(error)
    return ""


def check(name: str, environment: str, found: Circumstances, ended: Ended) -> None:
    about = f"{name} / {environment}: code {ended.code}\n{ended.out[-300:]}\n{ended.err}"
    assert "Traceback" not in ended.err, about
    assert ended.code in CODES, about
    if ended.code and found.err == "file" and not (name == "doctor" and ended.out):
        assert "error: " in ended.err, about
        assert len(ended.err.splitlines()) <= 12, about
    if environment in ("Latin-1", "ASCII", "reader gone", "messages full", "narrow", "odd sizes", "no user"):
        assert ended.code == WELL.get(name, 0), about
    if environment in ("output full", "output closed", "all closed"):
        assert ended.code == (WELL.get(name) or (0 if name in SILENT else 3)), about
    if environment.startswith("pools") and name == "train" and environment != "pools at home":
        assert ended.code == (2 if "remote" in environment else 3), about
        assert "FASRAY_POOL_DIR" in ended.err, about


WELL = {"data merge": 3}
"""Codes of commands that are refused in any environment."""
SILENT = {"report"}
"""Commands that write nothing to standard output."""


def run_all(workshop: Workshop, cases: list[tuple[str, str]]) -> None:
    faults = []
    for name, environment in cases:
        for made in MADE:
            remove(workshop.folder / made)
        found = ENVIRONMENTS[environment]
        if found.into == "gone":
            found = Circumstances(into=str(workshop.folder / "gone"))
        ended = workshop.commands.run(COMMANDS[name](workshop.folder), found)
        faults.append(find_fault(name, environment, found, ended))
    assert not any(faults), "\n".join(filter(None, faults))


def test_each_environment_with_a_quick_command(workshop: Workshop) -> None:
    quick = ["results", "metrics", "plan", "results csv", "data stats", "protocols", "why"]
    run_all(workshop, [(quick[number % len(quick)], environment) for number, environment in enumerate(ENVIRONMENTS)])
    assert not (workshop.folder / "~").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_in_every_environment(workshop: Workshop) -> None:
    run_all(workshop, list(itertools.product(COMMANDS, ENVIRONMENTS)))
    assert not (workshop.folder / "~").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_does_the_same_in_every_spelling_of_its_places(workshop: Workshop) -> None:
    here = workshop.folder
    link = here.parent / f"{here.name}-link"
    link.symlink_to(here)
    # The home folder is one below the workshop.
    prefixes = [str(here), ".", f"file://{here}", f"file://localhost{here}", f"local://{here}", "~/..", str(link),
                f"/{here}/.", f"{here}/faces/..", f"FILE:{here}"]  # fmt: skip
    outputs = {"report": "page.html", "data preview": "sheet.png", "data synth": "new/manifest.json", "train": "trial"}
    for name, make in COMMANDS.items():
        seen = set()
        for prefix in prefixes:
            for made in MADE:
                remove(here / made)
            arguments = [str(word).replace(str(here), prefix) for word in make(here)]
            ended = workshop.commands.run(arguments)
            shown = ended.out
            for prefix_shown in (f"{here}/", f"{link}/", "home/../", "faces/../"):
                shown = shown.replace(prefix_shown, "")
            seen.add((ended.code, shown))
            assert ended.code == WELL.get(name, 0), f"{arguments}: {ended.err}"
            assert name not in outputs or (here / outputs[name]).exists(), arguments
        assert len(seen) == 1 or name in ("train", "doctor"), seen
    assert not {"file:", "local:", "~", "FILE:"} & {path.name for path in here.iterdir()}


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


RUN = ("run/sweep.yaml", "run/data.json", "run/events.jsonl", "run/trials/*/eval-00000006.parquet")
FACES = ("faces/manifest.json", "faces/shard-00000.parquet")
FILES: dict[str, tuple[str, ...]] = {
    "plan": ("sweep.yaml", *FACES),
    "sweep": ("sweep.yaml", *FACES[:1], *RUN),
    "results": RUN,
    "results csv": RUN,
    "why": RUN,
    "verify": RUN,
    "report": RUN,
    "metrics": ("scores.parquet",),
    "data stats": FACES,
    "data verify": FACES,
    "data preview": FACES,
    "data merge": FACES,
    "train": FACES,
    "doctor": FACES[:1],
    "cluster": ("sweep.yaml",),
}
"""What each command reads."""
BREAKING: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "noise": lambda path: path.write_bytes(bytes(range(1, 251)) * 4),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}
MAY_BE_CUT = "run/events.jsonl"
"""The log of a run that was killed early: it ends anywhere, and is a shorter run."""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_broken_data_is_an_error_that_names_it_or_changes_nothing(workshop: Workshop) -> None:
    here, faults = workshop.folder, []
    for name, patterns in FILES.items():
        arguments = COMMANDS[name](here)
        for made in MADE:
            remove(here / made)
        whole = workshop.commands.run(arguments)
        for pattern, (how, damage) in itertools.product(patterns, BREAKING.items()):
            path = max(here.glob(pattern))
            if pattern == MAY_BE_CUT and how in ("cut", "empty", "missing"):
                continue
            content = path.read_bytes()
            for made in MADE:
                remove(here / made)
            try:
                damage(path)
                ended = workshop.commands.run(arguments)
            finally:
                remove(path)
                path.write_bytes(content)
            about = f"{name}, {path.name} {how}: code {ended.code}\n{ended.out[-300:]}\n{ended.err}"
            said = ended.err + (ended.out if name in ("doctor", "cluster") else "")
            named = path.name in said or path.parent.name in said
            if (
                "Traceback" in ended.err
                or ended.code not in CODES
                or not (named if ended.code else ended.out == whole.out)
            ):
                faults.append(about)
    assert not faults, "\n".join(faults)


OUTPUTS: dict[str, list[str | Path]] = {
    "results": ["results", "run", "--format", "csv", "-o"],
    "results parquet": ["results", "run", "--format", "parquet", "-o"],
    "report": ["report", "run", "-o"],
    "report plots": ["report", "run", "-o", "page.html", "--plots"],
    "data preview": ["data", "preview", "faces", "-o"],
    "data synth": ["data", "synth", "--subjects", "2", "--image-size", "32", "--processes", "1"],
    "data mimic": ["data", "synth", "--as", "casia-fasd", "--subjects", "2", "--frames", "2", "--processes", "1"],
    "train": [*map(str, COMMANDS["train"](Path())[:-1])],
    "sweep": ["sweep", "sweep.yaml", "--out"],
}
"""Commands that write, up to the place."""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "place", ["/dev/full", "/proc/nothing/here", "/dev/null/x", "sweep.yaml/x", "/sys/x", "memory://x"]
)
def test_a_place_that_takes_nothing_is_an_error_that_names_it(workshop: Workshop, place: str) -> None:
    for name, arguments in OUTPUTS.items():
        ended = workshop.commands.run([*arguments, place])
        about = f"{name} to {place}: code {ended.code}\n{ended.out[-300:]}\n{ended.err}"
        assert "Traceback" not in ended.err, about
        assert ended.code in CODES - {0}, about
        assert place.partition("/")[0] in ended.err, about
        assert ended.out == "", about
