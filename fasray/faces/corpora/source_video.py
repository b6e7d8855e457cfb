"""One video (or image) of a corpus on disk, before anything of it is decoded: what its name and place say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fasray.faces.record import ATTACK_TYPES, LIVE, OPTIONAL_COLUMNS, SPLITS, SPOOF

_LATER = (*OPTIONAL_COLUMNS, "pictures")


@dataclass(frozen=True)
class SourceVideo:
    """What a corpus says about one of its files."""

    path: str
    """Relative to the root that was surveyed, with forward slashes."""
    attack_type: str
    """One of ``record.ATTACK_TYPES``; ``live`` for bona fide."""
    instrument: str
    """Finer than ``attack_type``; empty if live or unknown."""
    domain: str
    """The corpus' letter, or the domain named in a manifest."""
    subject: str
    """Unique over all domains: the domain's name comes first."""
    video: str
    """Unique over all domains, and the same wherever the root is."""
    camera: str
    """Capture device as the corpus names it; empty if unknown."""
    session: str
    """Session, lighting or environment as the corpus names it; empty if unknown."""
    split: str
    """One of ``record.SPLITS``."""
    companions: tuple[str, ...] = ()
    """Files next to it that belong to it (eye positions ...), relative like ``path``."""
    rotate_untagged: int = 0
    """Degrees clockwise (0, 90, 180, 270) that bring frames upright **if the container carries no rotation tag**; a
    decoder that honours tags must not turn tagged clips twice."""
    frames: tuple[int, int] | None = None
    """First and one past the last frame that may be used; None = all."""
    ethnicity: str = ""
    """As the corpus groups people; empty if unknown."""
    sex: str = ""
    """As the corpus has it; empty if unknown."""
    age_group: str = ""
    """As the corpus groups ages; empty if unknown."""
    modality: str = ""
    """What the camera sees (``rgb``, ``ir``, ``depth``); empty if the corpus has but one."""
    pictures: tuple[str, ...] = ()
    """Files of its frames, in order, relative like ``path``, which then only names the video; empty: ``path`` is the
    file, or a folder all of whose pictures are frames."""

    def __post_init__(self) -> None:
        if self.attack_type not in ATTACK_TYPES:
            raise ValueError(f"attack type {self.attack_type!r} is not one of {ATTACK_TYPES}")
        if self.split not in SPLITS:
            raise ValueError(f"split {self.split!r} is not one of {SPLITS}")
        if self.rotate_untagged not in (0, 90, 180, 270):
            raise ValueError(f"rotate_untagged must be 0, 90, 180 or 270 degrees, not {self.rotate_untagged}")
        if not self.subject.startswith(self.domain):
            raise ValueError(f"subject {self.subject!r} does not start with its domain {self.domain!r}")

    @property
    def label(self) -> int:
        """1 = live (bona fide), 0 = attack presentation."""
        return LIVE if self.attack_type == "live" else SPOOF

    def facts(self) -> dict[str, Any]:
        """Return all of it as JSON values, without what is empty of the fields that came later."""
        return {name: value for name, value in asdict(self).items() if value or name not in _LATER}
