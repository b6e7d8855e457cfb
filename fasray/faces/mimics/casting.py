"""Who plays whom: the generated camera, medium and scene for each video of a corpus.

A corpus is played by the generated domain of its letter (synthetic/domains.py). Names of cameras and instruments are
the adapters'; a name that is not in a table here is an error, so that adapters and casts cannot drift apart. Corpora
without a table have one made of the names in their examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

from fasray.faces.corpora import SourceVideo, get
from fasray.faces.record import SPOOF
from fasray.faces.synthetic.camera import Camera, biased
from fasray.faces.synthetic.domains import ATTACKS, Domain
from fasray.faces.synthetic.media import Medium, Print, Replay, Span

_HELD, _FIXED = 1.6, 0.25
"""How far a camera or medium in a hand, or on a stand, moves between frames: standard deviation, pixels at 180 px."""
_WHOLE_SHEET: Span = (0.90, 0.99)
"""The sheet or display ends inside the picture, as it does in a wide shot."""


@dataclass(frozen=True)
class Role:
    """How one video is filmed."""

    camera: Camera
    """What films it, with the designed bias of the medium."""
    medium: Medium | None
    """What it films, or what its subject wears; None = the living subject."""
    moving: bool
    """Whether a replay shows a video; False: a photo."""
    shake: float
    """See ``_HELD``."""
    backgrounds: tuple[str, ...]
    key: Span
    ambient: Span


@dataclass(frozen=True)
class Cast:
    """The tables of one corpus: camera name -> position in the domain's cameras, and so on.

    ``worn`` are masks, make-up and what covers a part of the face, and other attacks, which masks play; ``photos`` are
    the instruments that show a still photo on a display; ``held`` names what a hand holds.
    """

    cameras: dict[str, int]
    prints: dict[str, int]
    replays: dict[str, int]
    worn: dict[str, int] = field(default_factory=dict)
    photos: frozenset[str] = frozenset()
    held: Callable[[SourceVideo], bool] = lambda video: True
    dim: Callable[[SourceVideo], bool] = lambda video: False


CASTS: dict[str, Cast] = {
    "oulu-npu": Cast(
        cameras={f"phone{number}": (number - 1) % 3 for number in range(1, 7)},
        prints={"print1": 0, "print2": 1},
        replays={"replay1": 0, "replay2": 1},
        dim=lambda video: video.session == "session3",
    ),
    "casia-fasd": Cast(
        cameras={"low": 0, "normal": 1, "high": 2},
        prints={"warped": 0, "cut": 1},
        replays={"tablet": 0},
    ),
    "replay-attack": Cast(
        cameras={"webcam": 0},
        prints={f"print_photo_{support}": 0 for support in ("fixed", "hand")},
        replays={
            f"{device}_{content}_{support}": position
            for position, device in enumerate(("mobile", "highdef"))
            for content in ("photo", "video")
            for support in ("fixed", "hand")
        },
        photos=frozenset(f"{device}_photo_{how}" for device in ("mobile", "highdef") for how in ("fixed", "hand")),
        held=lambda video: video.instrument.endswith("_hand"),
        dim=lambda video: video.session == "adverse",
    ),
    "msu-mfsd": Cast(
        cameras={"laptop": 0, "android": 1},
        prints={"printed_photo": 0},
        replays={"ipad_video": 0, "iphone_video": 1},
        held=lambda video: video.camera == "android",
    ),
}


@cache
def cast_of(corpus: str) -> Cast:
    """Return the tables of a corpus.

    Raises:
        SpecError: there is no such corpus.
    """
    if corpus in CASTS:
        return CASTS[corpus]
    videos = get(corpus).examples()

    def positions(*attack_types: str) -> dict[str, int]:
        names = sorted({video.instrument for video in videos if video.attack_type in attack_types})
        return {name: position for position, name in enumerate(names)}

    cameras = {name: position for position, name in enumerate(sorted({video.camera for video in videos}))}
    return Cast(cameras, positions("print"), positions("replay"), positions("mask", "partial", "makeup", "other"))


def role_of(video: SourceVideo, cast: Cast, domain: Domain) -> Role:
    """Return how ``video`` is filmed.

    Raises:
        KeyError: its camera or its instrument is not in the cast.
    """
    medium: Medium | None = None
    camera = domain.cameras[cast.cameras[video.camera] % len(domain.cameras)]
    if video.label == SPOOF:
        media = domain.media(video.attack_type if video.attack_type in ATTACKS else "mask")
        table = {"print": cast.prints, "replay": cast.replays}.get(video.attack_type, cast.worn)
        medium = media[table[video.instrument] % len(media)]
    if isinstance(medium, Print | Replay):
        medium = replace(medium, fill=_WHOLE_SHEET)
    return Role(
        camera=camera if medium is None else biased(camera, medium),
        medium=medium,
        moving=video.attack_type == "replay" and video.instrument not in cast.photos,
        shake=_HELD if cast.held(video) else _FIXED,
        backgrounds=domain.backgrounds,
        key=_dimmed(domain.key) if cast.dim(video) else domain.key,
        ambient=_dimmed(domain.ambient) if cast.dim(video) else domain.ambient,
    )


def _dimmed(strength: Span) -> Span:
    low, high = strength
    return 0.6 * low, 0.6 * high
