"""The generated domains O, C, I, M and their relatives: cameras, attack media and scenes, and the difficulty dial.

Every domain is written down twice. *Easy* (dial 0): strong generic cues, print dots, moire, screen glow, that any
network finds and that carry over to other domains. *Hard* (dial 1): these cues are weak, and every domain adds its own
designed shortcut: its attacks are a little brighter or darker and redder or bluer than its live faces, in directions
that differ between domains, and the live cameras of I and M are washed out the way attacks elsewhere are. A network
that trusts the shortcut of its source domains fails on the target: this is the domain gap. A dial between 0 and 1
blends all numbers linearly.

A domain of any other name is one of the four behind other cameras, with a shortcut of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from fasray.faces.synthetic.camera import Camera
from fasray.faces.synthetic.media import Makeup, Mask, Medium, Partial, Print, Replay, Span, Triple

DEFAULT_SEED = 2026
DEFAULT_DIAL = 0.75

DOMAIN_NAMES = "OCIM"
ATTACKS = ("print", "replay", "mask", "partial", "makeup")
"""Attack types that can be generated."""


@dataclass(frozen=True)
class Domain:
    """One generated dataset; it is named after, and loosely modelled on, a real one."""

    name: str
    title: str
    """What it is modelled on."""
    cameras: tuple[Camera, ...]
    """A session of a subject uses one of them."""
    prints: tuple[Print, ...]
    """Print media; instrument ``print1`` is the first."""
    replays: tuple[Replay, ...]
    """Displays; instrument ``replay1`` is the first."""
    masks: tuple[Mask, ...]
    """Worn masks; instrument ``mask1`` is the first."""
    backgrounds: tuple[str, ...]
    """Kinds of background (light.draw_background)."""
    ambient: Span
    """Strength of the light from all around."""
    key: Span
    """Strength of the key light."""
    split_shares: tuple[int, int, int]
    """Subjects in train, dev, test of the real dataset."""
    partials: tuple[Partial, ...] = (Partial("glasses"), Partial("mouth"), Partial("strip"))
    """Printed paper that is worn; instrument ``partial1`` is the first."""
    makeups: tuple[Makeup, ...] = (Makeup(),)
    """Instrument ``makeup1`` is the first."""

    def media(self, attack: str) -> tuple[Medium, ...]:
        """Return the media of an attack type, one of ATTACKS."""
        media: tuple[Medium, ...] = getattr(self, f"{attack}s")
        return media


_EASY = {
    "O": Domain(
        name="O",
        title="OULU-NPU: three phones of good quality",
        cameras=(
            Camera("phone1"),
            Camera("phone2", white_balance=(1.04, 1.0, 0.95), sharpening=0.7),
            Camera("phone3", white_balance=(0.97, 1.0, 1.05), shot_noise=0.02, contrast=0.3),
        ),
        prints=(Print(), Print(halftone=0.2, paper=(0.82, 0.83, 0.84), gloss=0.2)),
        replays=(Replay(), Replay(pitch=(1.6, 2.6), white=(1.02, 1.0, 0.97))),
        masks=(Mask(),),
        backgrounds=("office", "wall", "plain"),
        ambient=(0.3, 0.6),
        key=(0.3, 0.9),
        split_shares=(20, 15, 20),
    ),
    "C": Domain(
        name="C",
        title="CASIA-FASD: three qualities, warped and cut photos, tablet",
        cameras=(
            Camera(
                "low",
                lens_blur=(1.0, 1.6),
                resolution=(0.42, 0.6),
                jpeg_quality=(45, 75),
                shot_noise=0.03,
                sharpening=0.1,
                saturation=0.9,
            ),
            Camera("normal", lens_blur=(0.6, 1.0), resolution=(0.6, 0.8), jpeg_quality=(65, 88), shot_noise=0.02),
            Camera("high", jpeg_quality=(88, 96), saturation=1.1),
        ),
        prints=(
            Print(bend=1.3, saturation=(0.5, 0.8), halftone=0.1, border=0.02, paper=(0.88, 0.83, 0.74)),
            Print(bend=0.5, halftone=0.1, border=0.02, paper=(0.88, 0.83, 0.74), eye_holes=1.0),
        ),
        replays=(Replay(grid=0.5, gain=(0.55, 0.9), leak=0.035, white=(0.9, 0.98, 1.15), bezel=0.02),),
        masks=(Mask(),),
        backgrounds=("wall", "office"),
        ambient=(0.35, 0.7),
        key=(0.2, 0.6),
        split_shares=(20, 0, 30),
    ),
    "I": Domain(
        name="I",
        title="Idiap Replay-Attack: one noisy warm webcam",
        cameras=(
            Camera(
                "webcam",
                lens_blur=(0.8, 1.3),
                resolution=(0.45, 0.55),
                jpeg_quality=(60, 85),
                shot_noise=0.035,
                read_noise=0.012,
                white_balance=(1.12, 1.0, 0.82),
                contrast=0.7,
                sharpening=1.1,
                saturation=1.15,
            ),
        ),
        prints=(
            Print(halftone=0.15, bend=0.15, saturation=(0.8, 1.05), cast=0.02, black=0.07, fill=(1.3, 1.7), border=0.0),
        ),
        replays=(
            Replay(grid=0.6, fill=(0.8, 1.1), bezel=0.10, resolution=0.45, gain=(1.1, 1.7), gloss=0.35),
            Replay(fill=(1.2, 1.6), bezel=0.04, gain=(0.9, 1.3), white=(0.98, 1.0, 1.02)),
        ),
        masks=(Mask(),),
        backgrounds=("plain", "office"),
        ambient=(0.2, 0.7),
        key=(0.2, 1.0),
        split_shares=(15, 15, 20),
    ),
    "M": Domain(
        name="M",
        title="MSU-MFSD: a cool laptop camera and a phone",
        cameras=(
            Camera(
                "laptop",
                lens_blur=(0.7, 1.1),
                resolution=(0.6, 0.75),
                jpeg_quality=(55, 80),
                white_balance=(0.92, 1.0, 1.10),
                shot_noise=0.02,
                contrast=0.2,
                saturation=0.85,
                denoise=0.5,
            ),
            Camera(
                "android",
                lens_blur=(0.5, 0.9),
                resolution=(0.75, 0.95),
                jpeg_quality=(75, 92),
                white_balance=(0.97, 1.0, 1.04),
                sharpening=0.8,
            ),
        ),
        prints=(Print(halftone=0.45, dot_pitch=(2.6, 4.2), gloss=0.3, bend=0.3, saturation=(0.85, 1.1), cast=0.07),),
        replays=(
            Replay(pitch=(1.1, 1.7), grid=0.9, gloss=0.4, white=(0.97, 1.0, 1.02)),
            Replay(resolution=0.55, fill=(0.75, 1.05), bezel=0.12, gain=(1.0, 1.5)),
        ),
        masks=(Mask(),),
        backgrounds=("office", "wall"),
        ambient=(0.3, 0.6),
        key=(0.4, 1.0),
        split_shares=(15, 0, 20),
    ),
}

_Settings = TypeVar("_Settings", Camera, Print, Replay, Mask, Partial, Makeup)


def _each(items: tuple[_Settings, ...], **changes: Any) -> tuple[_Settings, ...]:
    return tuple(replace(item, **changes) for item in items)


def _worn(domain: Domain, bias: dict[str, Any]) -> dict[str, Any]:
    return {name: _each(getattr(domain, name), **bias) for name in ("masks", "partials", "makeups")}


def _hard(easy: dict[str, Domain]) -> dict[str, Domain]:
    o, c, i, m = (easy[name] for name in DOMAIN_NAMES)
    darker_bluer: dict[str, Any] = {"exposure_bias": 0.75, "colour_bias": (0.92, 1.0, 1.09)}
    brighter_redder: dict[str, Any] = {"exposure_bias": 1.33, "colour_bias": (1.12, 1.0, 0.88)}
    brighter_bluer: dict[str, Any] = {"exposure_bias": 1.30, "colour_bias": (0.88, 1.0, 1.16)}
    darker_redder: dict[str, Any] = {"exposure_bias": 0.96, "colour_bias": (1.02, 1.0, 0.98)}
    return {
        "O": replace(
            o,
            prints=_each(o.prints, halftone=0.16, saturation=(0.75, 1.0), paper=(0.86, 0.86, 0.86), **darker_bluer),
            replays=_each(o.replays, grid=0.35, optics=0.48, **darker_bluer),
            **_worn(o, darker_bluer),
        ),
        "C": replace(
            c,
            prints=_each(c.prints, halftone=0.05, **brighter_redder),
            replays=_each(
                c.replays, grid=0.25, optics=0.5, white=(1.0, 1.0, 1.0), leak=0.015, gain=(0.8, 1.2), **brighter_redder
            ),
            **_worn(c, brighter_redder),
        ),
        "I": replace(
            i,
            cameras=_each(i.cameras, veil=0.22, saturation=0.85),
            prints=_each(i.prints, halftone=0.06, saturation=(0.95, 1.2), black=0.02, grain=0.01, **brighter_bluer),
            replays=_each(
                i.replays, grid=0.25, optics=0.5, bezel=0.0, fill=(1.3, 1.6), resolution=1.0, **brighter_bluer
            ),
            **_worn(i, brighter_bluer),
        ),
        "M": replace(
            m,
            cameras=_each(m.cameras, veil=0.06, contrast=0.1),
            prints=_each(m.prints, halftone=0.24, saturation=(0.9, 1.1), black=0.03, **darker_redder),
            replays=_each(m.replays, grid=0.5, optics=0.45, bezel=0.02, **darker_redder),
            **_worn(m, darker_redder),
        ),
    }


_HARD = _hard(_EASY)


@dataclass(frozen=True)
class _Relative:
    """A domain in terms of one of the four."""

    title: str
    of: str
    tint: Triple
    """Its cameras' white balance relative to theirs."""
    resolution: float
    exposure_bias: float
    """With ``colour_bias`` the designed shortcut at dial 1, of all attacks."""
    colour_bias: Triple
    split_shares: tuple[int, int, int]

    def easy(self, name: str) -> Domain:
        """Return it at dial 0."""
        base = _EASY[self.of]
        return replace(
            base,
            name=name,
            title=self.title,
            cameras=tuple(map(self._seen_anew, base.cameras)),
            masks=(Mask(), Mask(soft=True)),
            split_shares=self.split_shares,
        )

    def hard(self, name: str) -> Domain:
        """Return it at dial 1."""
        base, easy = _HARD[self.of], self.easy(name)
        bias: dict[str, Any] = {"exposure_bias": self.exposure_bias, "colour_bias": self.colour_bias}
        return replace(
            easy,
            cameras=tuple(map(self._seen_anew, base.cameras)),
            prints=_each(base.prints, **bias),
            replays=_each(base.replays, **bias),
            **_worn(easy, bias),
        )

    def _seen_anew(self, camera: Camera) -> Camera:
        red, green, blue = (w * t for w, t in zip(camera.white_balance, self.tint, strict=True))
        low, high = camera.resolution
        return replace(
            camera, white_balance=(red, green, blue), resolution=(low * self.resolution, high * self.resolution)
        )


_RELATIVES = {
    "Y": _Relative("ROSE-Youtu", "O", (1.03, 1.0, 1.02), 0.9, 1.2, (0.95, 1.0, 1.1), (10, 0, 10)),
    "S": _Relative("SiW", "O", (0.95, 1.0, 0.97), 1.0, 0.8, (1.08, 1.0, 0.92), (90, 0, 75)),
    "CA": _Relative("CelebA-Spoof", "C", (1.0, 1.0, 1.04), 1.0, 0.85, (1.06, 1.0, 0.94), (8, 1, 1)),
    "SURF": _Relative("CASIA-SURF", "M", (1.06, 1.0, 0.94), 0.8, 1.25, (0.9, 1.0, 1.1), (300, 100, 600)),
    "CeFA": _Relative("CASIA-SURF CeFA", "O", (0.96, 1.0, 1.06), 0.85, 0.8, (1.1, 1.0, 0.9), (600, 300, 600)),
    "WMCA": _Relative("WMCA", "I", (0.94, 1.0, 1.12), 1.0, 1.15, (1.04, 1.0, 0.98), (35, 34, 34)),
    "SiW-Mv2": _Relative("SiW-Mv2", "M", (0.98, 1.0, 1.0), 1.0, 0.9, (1.05, 1.0, 1.05), (1077, 0, 623)),
    "HiFiMask": _Relative("CASIA-SURF HiFiMask", "O", (1.02, 1.0, 0.98), 1.0, 1.1, (1.05, 1.0, 1.0), (45, 6, 24)),
    "SuHiFiMask": _Relative("SuHiFiMask", "C", (0.95, 1.0, 1.0), 0.7, 1.2, (0.95, 1.0, 1.0), (40, 10, 51)),
    "HKBU": _Relative("HKBU-MARs V2", "M", (1.04, 1.0, 1.0), 1.0, 0.85, (1.0, 1.0, 1.08), (4, 4, 4)),
    "3DMAD": _Relative("3DMAD", "I", (1.0, 1.0, 0.96), 0.9, 0.9, (0.96, 1.0, 1.0), (7, 5, 5)),
    "UniAttackData": _Relative("UniAttackData", "O", (1.0, 1.0, 1.08), 0.9, 1.15, (1.08, 1.0, 0.95), (6, 3, 9)),
}
"""Numbers are made up; what a domain is called after only lends its name and the proportions of its splits (HKBU-MARs
has none: a third each)."""

ALL_DOMAINS = (*DOMAIN_NAMES, *_RELATIVES)


def domain_names(text: str) -> tuple[str, ...]:
    """Return the names in a list: letters (``OCIM``), one name, or names with commas between them.

    >>> domain_names("CM"), domain_names("CA"), domain_names("O, SURF")
    (('C', 'M'), ('CA',), ('O', 'SURF'))
    """
    if "," in text:
        return tuple(name.strip() for name in text.split(","))
    return (text,) if text in _RELATIVES else tuple(text)


def domain_at(name: str, dial: float) -> Domain:
    """Return domain ``name`` with every number blended between easy (``dial`` 0) and hard (``dial`` 1).

    Raises:
        KeyError: there is no such domain.
    """
    relative = _RELATIVES.get(name)
    easy, hard = (relative.easy(name), relative.hard(name)) if relative else (_EASY[name], _HARD[name])
    return replace(
        hard,
        cameras=_blend_each(easy.cameras, hard.cameras, dial),
        prints=_blend_each(easy.prints, hard.prints, dial),
        replays=_blend_each(easy.replays, hard.replays, dial),
        masks=_blend_each(easy.masks, hard.masks, dial),
        partials=_blend_each(easy.partials, hard.partials, dial),
        makeups=_blend_each(easy.makeups, hard.makeups, dial),
    )


def _blend_each(easy: tuple[_Settings, ...], hard: tuple[_Settings, ...], dial: float) -> tuple[_Settings, ...]:
    pairs = zip(easy, hard, strict=True)
    return tuple(
        replace(b, **{f.name: _blend(getattr(a, f.name), getattr(b, f.name), dial) for f in fields(b)})
        for a, b in pairs
    )


def _blend(easy: Any, hard: Any, dial: float) -> Any:
    if isinstance(hard, tuple):
        return tuple(_blend(a, b, dial) for a, b in zip(easy, hard, strict=True))
    return easy + (hard - easy) * dial if isinstance(hard, float) else hard
