"""``fasray`` commands by the hundred: forks of one process that has imported everything, in any circumstances.

As a script it is that process: it reads one JSON object a line, runs a command in a fork, and answers with its code.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SECONDS = 120


@dataclass(frozen=True)
class Circumstances:
    """What a command finds when it starts; by default what it should."""

    env: Mapping[str, str | None] = field(default_factory=dict)
    """Variables to set; None removes one."""
    out: str = "file"
    """Standard output: ``file``, ``full``, ``closed`` or ``left``, a pipe whose reader leaves at once."""
    err: str = "file"
    into: str = ""
    """Folder to be in; ``gone`` is one that has been deleted."""
    encoding: str = "utf-8"
    """Of the streams."""
    passwd: bool = True
    """Whether the user has an entry in the passwd file."""
    files: int = 0
    """Most open files; 0 for as many as there may be."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


class Commands:
    """Runs commands; a context.

    Args:
        folder: to work in; each command starts there.
        env: their environment, but for what the circumstances change.
    """

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, [env.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, __file__], cwd=folder, env={**env, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Commands:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        with self._process:
            self._process.stdin.close()

    def run(self, arguments: Sequence[str | Path], found: Circumstances = Circumstances()) -> Ended:
        """Run a command to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"arguments": list(map(str, arguments)), **vars(found), "env": dict(found.env)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = json.loads(self._process.stdout.readline())
        texts = [(self._folder / name).read_text(errors="replace") for name in ("forked.out", "forked.err")]
        return Ended(code, *texts)


def _stream(number: int, kind: str, file: str) -> None:
    """Put what ``kind`` says at a standard descriptor."""
    Path(file).write_bytes(b"")
    if kind == "closed":
        os.close(number)
        return
    if kind == "left":
        reading, opened = os.pipe()
        os.close(reading)
    else:
        opened = os.open("/dev/full" if kind == "full" else file, os.O_WRONLY | os.O_CREAT)
    os.dup2(opened, number)
    os.close(opened)


def _become(order: Mapping[str, Any]) -> None:
    """Change this process, a fork, into a fresh command in the circumstances of the order."""
    folder = os.getcwd()
    for number, name in ((1, "out"), (2, "err")):
        _stream(number, order[name], f"{folder}/forked.{name}")
    for number, name in ((1, "stdout"), (2, "stderr")):
        closed = order[name.removeprefix("std")] == "closed"
        stream = None if closed else open(number, "w", encoding=order["encoding"], buffering=number, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    for name, value in order["env"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if order["into"]:
        os.makedirs(order["into"], exist_ok=True)
        os.chdir(order["into"])
        if os.path.basename(order["into"]) == "gone":
            os.rmdir(order["into"])
    if not order["passwd"]:
        import pwd

        def nobody(uid: int) -> Any:
            raise KeyError(uid)

        pwd.getpwuid = nobody
    if order["files"]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (order["files"], order["files"]))


def _serve() -> None:
    import tempfile

    import fasray.cli
    import fasray.cli.catalog
    import fasray.execution.engine
    import fasray.execution.one_trial
    import fasray.faces.synthetic
    import fasray.results.external.evaluate
    import fasray.results.frame
    import fasray.results.load
    import fasray.results.report
    import fasray.training.loop

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.alarm(_SECONDS)
            answers.close()
            tempfile.tempdir = None
            _become(order)
            sys.argv = ["fasray", *order["arguments"]]
            try:
                fasray.cli.main()
            except SystemExit as error:
                os._exit(int(error.code or 0))
            except BaseException:  # what a fresh process would print
                import traceback

                os.write(2, traceback.format_exc().encode())
                os._exit(1)
        _, status = os.waitpid(child, 0)
        answers.write(json.dumps(os.waitstatus_to_exitcode(status)) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
