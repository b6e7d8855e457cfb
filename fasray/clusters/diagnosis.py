"""What ``fasray doctor`` finds out about one thing, and what to do if something is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fasray.errors import FasrayError, SpecError

Status = Literal["ok", "note", "error"]


@dataclass(frozen=True)
class Diagnosis:
    """The result of one check."""

    about: str
    """What was checked, two words."""
    status: Status
    """``ok``; ``note`` for what may be intended; ``error`` for what will make a command fail."""
    message: str
    remedy: str = ""
    """Empty if it is ok."""
    exit_code: int = 0
    """Of a command that would fail because of it; 0 unless it is an error."""


def ok(about: str, message: str) -> Diagnosis:
    """Return that something is as it should be."""
    return Diagnosis(about, "ok", message)


def note(about: str, message: str, remedy: str) -> Diagnosis:
    """Return that something may be intended, or not."""
    return Diagnosis(about, "note", message, remedy)


def problem(about: str, message: str, remedy: str, exit_code: int = SpecError.exit_code) -> Diagnosis:
    """Return that something will make a command fail."""
    return Diagnosis(about, "error", message, remedy, exit_code)


def failed(about: str, error: FasrayError) -> Diagnosis:
    """Return the error that a command would have failed with."""
    message = f"{error.where}: {error.what}" if error.where else error.what
    return problem(about, message, error.remedy or "see the message", error.exit_code)
