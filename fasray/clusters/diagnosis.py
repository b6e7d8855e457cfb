"""What ``fasray doctor`` says of one thing: how it is and, if it is not well, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fasray.errors import FasrayError, SpecError

Status = Literal["well", "note", "ill"]


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was looked at.

    Attributes:
        about: what was looked at, two words.
        status: ``well``; ``note`` for what may be meant so; ``ill`` for what will make a command fail.
        says: how it is.
        remedy: what to do about it; empty if it is well.
        exit_code: of a command that would fail by it; 0 unless ill.
    """

    about: str
    status: Status
    says: str
    remedy: str = ""
    exit_code: int = 0


def well(about: str, says: str) -> Diagnosis:
    """Return that something is as it should be."""
    return Diagnosis(about, "well", says)


def note(about: str, says: str, remedy: str) -> Diagnosis:
    """Return that something may be meant so, or not."""
    return Diagnosis(about, "note", says, remedy)


def ill(about: str, says: str, remedy: str, exit_code: int = SpecError.exit_code) -> Diagnosis:
    """Return that something will make a command fail."""
    return Diagnosis(about, "ill", says, remedy, exit_code)


def failed(about: str, error: FasrayError) -> Diagnosis:
    """Return what a command would have failed with."""
    says = f"{error.where}: {error.what}" if error.where else error.what
    return ill(about, says, error.remedy or "see the message", error.exit_code)
