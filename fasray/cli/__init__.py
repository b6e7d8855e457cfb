"""The ``fasray`` command: parse, call, print; every error becomes one message and an exit code.

Commands are imported when they are called, so that ``fasray --help`` answers at once.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from fasray import environment, streams
from fasray.errors import DataError, FasrayError, InterruptedRunError
from fasray.version import __version__

_COMMANDS = {
    "data": ("fasray.cli.data", "data", "Generate, prepare, verify, count and preview face sets."),
    "methods": ("fasray.cli.catalog", "methods", "List the methods, or print one method's settings."),
    "weights": ("fasray.cli.weights", "weights", "Convert pretrained weights, or show what there is."),
    "protocols": ("fasray.cli.catalog", "protocols", "List the protocols and their groups."),
    "protocol": ("fasray.cli.protocol", "protocol", "Import the fixed lists of a corpus as a protocol."),
    "plan": ("fasray.cli.sweep", "plan", "Show what a sweep would do, without starting anything."),
    "sweep": ("fasray.cli.sweep", "sweep", "Run or resume a sweep."),
    "train": ("fasray.cli.train", "train", "Run one trial."),
    "results": ("fasray.cli.results", "results", "Print a run's results."),
    "watch": ("fasray.cli.watch", "watch", "Show runs on a local web page as they go."),
    "compare": ("fasray.cli.compare", "compare", "Compare methods with a baseline: interval, power, equivalence."),
    "why": ("fasray.cli.provenance", "why", "Walk from a number back to trial, files, data and code."),
    "verify": ("fasray.cli.provenance", "verify", "Recompute every number of a run and check its files."),
    "report": ("fasray.cli.report", "report", "Write a run's report as one HTML page."),
    "pad-report": ("fasray.cli.pad_report", "pad_report", "Write a model's ISO/IEC 30107-3 report as one HTML page."),
    "score": ("fasray.cli.score", "score", "Score pictures and videos with a trained model."),
    "export": ("fasray.cli.export", "export", "Write a trained model as an ONNX file."),
    "metrics": ("fasray.cli.metrics", "metrics", "Compute the figures of any score file."),
    "bench": ("fasray.cli.bench", "bench", "Measure ratios against named baselines."),
    "cluster": ("fasray.cli.cluster", "cluster", "Check the files of a cluster, offline."),
    "doctor": ("fasray.cli.doctor", "doctor", "Check this machine: versions, GPUs, access, room."),
}
_INTERRUPTED = 130


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are needed; help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fasray")
def cli() -> None:
    """Honest protocol and hyperparameter sweeps for face anti-spoofing, on Ray.

    Exit codes: 2 usage or sweep file, 3 data, 4 protocol or leak, 5 a run failed, 6 interrupted (run the same command
    again to resume).
    """


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    output = streams.install()
    signal.signal(signal.SIGTERM, _terminated)  # until a command sets its own: a message in the log, not a silent end
    code = _run()
    sys.stdout.flush()
    lost = output.error if output is not None else None
    if lost is not None and lost.errno != errno.EPIPE and code == 0:  # whoever closes a pipe has seen enough
        click.echo(f"error: standard output: {lost.strerror}\n  -> write to another file", err=True)
        code = DataError.exit_code
    sys.exit(code)


def _run() -> int:
    """Run the command and return its exit code; every error is one message."""
    try:
        environment.provide_home()
        cli.main(standalone_mode=False, prog_name="fasray")
    except InterruptedRunError as error:
        click.echo(str(error), err=True)
        _exit_at_once(error.exit_code)
    except FasrayError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return _INTERRUPTED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except OSError as error:  # of a disk, or the lack of one: whatever was not foreseen where it happened
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {place}{error.strerror or error}\n  -> check the place and the disk", err=True)
        return DataError.exit_code
    return 0


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _exit_at_once(code: int) -> NoReturn:
    """Exit without any clean-up: a Ray that was interrupted while it started crashes in its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
