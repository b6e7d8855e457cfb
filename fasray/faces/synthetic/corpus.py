"""Generate a whole face set: subjects in parallel processes, records in a fixed order, shards, card and manifest."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2

from fasray.errors import SpecError, did_you_mean
from fasray.faces.process_pool import map_in_processes, worker_count
from fasray.faces.record import SPLITS
from fasray.faces.sets.manifest import Manifest, canonical_json
from fasray.faces.sets.shards import write_shards
from fasray.faces.synthetic.card import CARD_NAME, card_text
from fasray.faces.synthetic.domains import (
    ALL_DOMAINS,
    ATTACKS,
    DEFAULT_DIAL,
    DEFAULT_SEED,
    DOMAIN_NAMES,
    Domain,
    domain_at,
    domain_names,
)
from fasray.faces.synthetic.subject import MARGIN, Shoot, subject_records

GENERATOR = "fasray-synthetic/1"
"""Changes whenever the same settings give other pixels."""

ROWS_PER_SHARD = 512
_SMALLEST_IMAGE = 32

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SyntheticSettings:
    """What decides the bytes of a generated set."""

    subjects: int = 24
    """Subjects a domain, 1 to 999."""
    seed: int = DEFAULT_SEED
    """Seed of all randomness."""
    dial: float = DEFAULT_DIAL
    """Difficulty, 0 (easy) to 1 (hard); see domains.py."""
    image_size: int = 128
    """Side of the crops, pixels, at least 32. Cues keep their size in pixels."""
    domains: str = DOMAIN_NAMES
    """Letters out of OCIM, or names with commas between them, in the order they are written; see domains.py."""
    attacks: tuple[str, ...] = ("print", "replay")
    """Attack types, out of print, replay, mask, partial, makeup."""
    sessions: int = 3
    """Sessions a subject; each has one video of live and of every attack type."""
    live_frames: int = 4
    """Frames of every live video."""
    attack_frames: int = 2
    people: bool = False
    """Whether subjects belong to groups (ethnicity, sex, age group), in looks and records."""

    def __post_init__(self) -> None:
        """Refuse settings that are out of range (SpecError)."""
        for name in self.names:
            if name not in ALL_DOMAINS:
                raise SpecError(f"unknown domain {name!r}", where="domains", remedy=did_you_mean(name, ALL_DOMAINS))
        for name in self.attacks:
            if name not in ATTACKS:
                raise SpecError(f"unknown attack type {name!r}", where="attacks", remedy=did_you_mean(name, ATTACKS))
        for key, words in (("domains", self.names), ("attacks", self.attacks)):
            if not words or len(set(words)) != len(words):
                raise SpecError("empty, or something is named twice", where=key, remedy="name each one once")
        for key, value, low, high in (
            ("subjects", self.subjects, 1, 999),
            ("dial", self.dial, 0, 1),
            ("image_size", self.image_size, _SMALLEST_IMAGE, 1024),
            ("sessions", self.sessions, 1, 99),
            ("live_frames", self.live_frames, 1, 999),
            ("attack_frames", self.attack_frames, 1, 999),
        ):
            if not low <= value <= high:
                raise SpecError(f"{value} is out of range", where=key, remedy=f"choose from {low} to {high}")

    def canonical_json(self) -> str:
        """Return the one JSON text of generator and settings; equal texts mean equal pixels."""
        facts = {"generator": GENERATOR, **asdict(self), "dial": float(self.dial)}
        if not self.people:
            del facts["people"]
        return canonical_json(facts)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the domains."""
        return domain_names(self.domains)


DEFAULT = SyntheticSettings()
"""The set that ``data: synthetic`` in a sweep file means."""


def generate(
    out_uri: str,
    *,
    subjects: int = DEFAULT.subjects,
    seed: int = DEFAULT.seed,
    dial: float = DEFAULT.dial,
    image_size: int = DEFAULT.image_size,
    domains: str = DEFAULT.domains,
    attacks: tuple[str, ...] = DEFAULT.attacks,
    people: bool = DEFAULT.people,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Generate a face set at ``out_uri``; the same settings give the same bytes from any number of processes.

    Args:
        out_uri: folder or ``s3://`` prefix; must not hold a finished set.
        subjects: see SyntheticSettings, as are seed, dial, image_size, domains, attacks, people.
        seed: of all randomness.
        dial: difficulty.
        image_size: side of the crops, pixels.
        domains: letters out of OCIM, or names.
        attacks: attack types.
        people: whether subjects belong to groups.
        processes: worker processes (started afresh, not forked); None = one per available core; 1 = this process.
        progress: called with (subjects done, subjects in all).

    Raises:
        SpecError: a setting is out of range.
        DataError: a finished set exists there already.
    """
    settings = replace(
        DEFAULT,
        subjects=subjects,
        seed=seed,
        dial=dial,
        image_size=image_size,
        domains=domains,
        attacks=attacks,
        people=people,
    )
    workers = worker_count(processes)
    card = preparation_card(settings)
    return write_shards(
        _records(settings, workers, progress),
        out_uri,
        card,
        image_size=image_size,
        documents={CARD_NAME: card_text(card).encode()},
        rows_per_shard=ROWS_PER_SHARD,
    )


def preparation_card(settings: SyntheticSettings) -> dict[str, Any]:
    """Return what the manifest says about how the set was made."""
    return {
        "kind": "synthetic",
        "settings": json.loads(settings.canonical_json()),
        "crop": {"margin": MARGIN, "rotation": "none", "frame_rule": "every generated frame is kept"},
        "image": "JPEG quality 95, 4:4:4",
        "depth": "exact, 32x32, near = 255, zeros for attacks",
        "parsing": "exact, 64x64, class ids, zeros for attacks",
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "pyarrow")}
        | {"opencv": cv2.__version__},
    }


def split_of(domain: Domain, number: int, subjects: int) -> str:
    """Return the split of subject ``number`` (1..subjects): consecutive blocks in the proportions of the real dataset.

    With as many subjects as there are splits or more, none is empty; with fewer, the later splits go first.
    """
    shares = [(split, share) for split, share in zip(SPLITS, domain.split_shares, strict=True) if share]
    counts = _apportion([share for _, share in shares], subjects)
    for (split, _), count in zip(shares, counts, strict=True):
        if number <= count:
            return split
        number -= count
    raise ValueError(f"there are only {subjects} subjects")


def _apportion(shares: list[int], total: int) -> list[int]:
    """Divide ``total`` in proportion to ``shares``, each part at least 1 if ``total`` allows (ties: the first)."""
    counts = [1 if i < total else 0 for i in range(len(shares))]
    while sum(counts) < total:
        wanting = [share * total / sum(shares) - count for share, count in zip(shares, counts, strict=True)]
        counts[wanting.index(max(wanting))] += 1
    return counts


def _records(settings: SyntheticSettings, workers: int, progress: Progress | None) -> Iterator[dict[str, Any]]:
    jobs = [(settings, name, number) for name in settings.names for number in range(1, settings.subjects + 1)]
    for done, records in enumerate(map_in_processes(_subject, jobs, workers)):
        yield from records
        if progress is not None:
            progress(done + 1, len(jobs))


def _subject(job: tuple[SyntheticSettings, str, int]) -> list[dict[str, Any]]:
    settings, name, number = job
    domain = domain_at(name, settings.dial)
    shoot = Shoot(
        seed=settings.seed,
        image_size=settings.image_size,
        sessions=settings.sessions,
        live_frames=settings.live_frames,
        attack_frames=settings.attack_frames,
        attacks=settings.attacks,
        people=settings.people,
    )
    return list(subject_records(domain, number, split_of(domain, number, settings.subjects), shoot))
