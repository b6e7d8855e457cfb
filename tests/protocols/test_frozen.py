"""Fingerprints are parts of trial ids: one that changes would orphan the trials of every run of before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fasray import protocols

FROZEN: dict[str, list[str]] = json.loads((Path(__file__).parent / "fingerprints.json").read_text())
"""By name and, where it is not the default, target split: fingerprint and source fingerprint, as first published."""


@pytest.mark.parametrize("key", FROZEN)
def test_fingerprints_are_those_of_before(key: str) -> None:
    name, _, split = key.partition(" ")
    protocol = protocols.parse(name, split or "train+test")  # type: ignore[arg-type]
    assert [protocol.fingerprint(), protocol.source_fingerprint()] == FROZEN[key]
