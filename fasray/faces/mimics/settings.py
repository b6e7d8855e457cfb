"""What decides the bytes of a mimic, and which of the corpus' videos it has."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fasray.errors import SpecError, did_you_mean
from fasray.faces import corpora
from fasray.faces.corpora import Corpus, SourceVideo
from fasray.faces.record import SPLITS
from fasray.faces.synthetic.domains import DEFAULT_DIAL, DEFAULT_SEED

GENERATOR = "fasray-mimic/1"
"""Changes whenever the same settings give other pixels."""

DEFAULT_SUBJECTS = 4
DEFAULT_FRAMES = 6
DEFAULT_SIZE = (240, 180)
_SMALLEST, _LARGEST = 96, 2048


def names() -> list[str]:
    """Return the names of the corpora that there are mimics of."""
    return [name for name in corpora.names() if corpora.get(name).examples()]


@dataclass(frozen=True)
class MimicSettings:
    """Settings of one mimic; equal settings give equal files."""

    corpus: str
    """Name of the corpus whose layout is used."""
    subjects: int = DEFAULT_SUBJECTS
    """How many of its subjects, spread over its splits in their proportions; at least one a split."""
    frames: int = DEFAULT_FRAMES
    """Of a video; of a corpus of single images one is taken."""
    seed: int = DEFAULT_SEED
    size: tuple[int, int] = DEFAULT_SIZE
    """Width and height of the videos, pixels, even."""
    dial: float = DEFAULT_DIAL
    """Difficulty of the generated attacks, 0 (easy) to 1 (hard); see synthetic/domains.py."""

    def __post_init__(self) -> None:
        """Refuse settings that are out of range (SpecError)."""
        examples = self.adapter.examples() if self.corpus in corpora.names() else ()
        if not examples:
            what = f"there is no mimic of {self.corpus!r}"
            raise SpecError(what, where="--as", remedy=did_you_mean(self.corpus, names()))
        everyone = len({video.subject for video in examples})
        fewest = len({video.split for video in examples})
        if not fewest <= self.subjects <= everyone:
            remedy = f"{self.adapter.title} has {everyone} in {fewest} splits: choose from {fewest} to {everyone}"
            raise SpecError(f"{self.subjects} subjects are out of range", where="--subjects", remedy=remedy)
        if not 1 <= self.frames <= 9999:
            raise SpecError(f"{self.frames} frames are out of range", where="--frames", remedy="choose from 1 to 9999")
        if not 0 <= self.dial <= 1:
            raise SpecError(f"{self.dial} is out of range", where="--dial", remedy="choose from 0 to 1")
        if any(side % 2 or not _SMALLEST <= side <= _LARGEST for side in self.size):
            remedy = f"choose even sides from {_SMALLEST} to {_LARGEST}, for example 240x180"
            raise SpecError(
                f"{self.size[0]}x{self.size[1]} is not a valid size for these videos", where="--size", remedy=remedy
            )

    @property
    def adapter(self) -> Corpus:
        """The corpus that is imitated."""
        return corpora.get(self.corpus)

    def videos(self) -> tuple[SourceVideo, ...]:
        """Return the corpus' examples (the official videos, where all are known) of the chosen subjects, by path."""
        examples = self.adapter.examples()
        chosen = _choose(examples, self.subjects)
        return tuple(video for video in examples if video.subject in chosen)


def _choose(videos: tuple[SourceVideo, ...], count: int) -> set[str]:
    """Return ``count`` subjects: the first of every split, splits in their proportions, none empty.

    Where subjects differ in what they show, or in their ethnic group, each kind has its first before a second comes.
    """
    shown: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for video in videos:
        shown.setdefault((video.split, video.subject), set()).add((video.instrument, video.ethnicity))
    seen: Counter[tuple[str, frozenset[tuple[str, str]]]] = Counter()
    turns: dict[str, list[tuple[int, str]]] = {split: [] for split in SPLITS}
    for (split, person), kinds in sorted(shown.items()):
        turns[split].append((seen[split, frozenset(kinds)], person))
        seen[split, frozenset(kinds)] += 1
    by_split = {split: [person for _, person in sorted(people)] for split, people in turns.items() if people}
    everyone = sum(map(len, by_split.values()))
    taken = dict.fromkeys(by_split, 1)
    while sum(taken.values()) < count:
        wanting = {
            split: len(people) * count / everyone - taken[split]
            for split, people in by_split.items()
            if taken[split] < len(people)
        }
        taken[max(wanting, key=lambda split: wanting[split])] += 1
    return {subject for split, people in by_split.items() for subject in people[: taken[split]]}
