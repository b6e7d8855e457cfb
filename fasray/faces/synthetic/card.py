"""The dataset card of a generated set: what it is, what is designed in, what it cannot show."""

from __future__ import annotations

from typing import Any

from fasray.faces.synthetic.domains import DOMAIN_NAMES, domain_at, domain_names

CARD_NAME = "CARD.md"

MEASURED = """\
ERM with a ResNet-18 of a quarter of the usual width, trained from nothing on random 96 px crops, 300 steps, four images
of each domain and class a step; mean of seeds 0, 1 and 2 at the default dial, step chosen on source-dev. The sweep is
`sweeps/calibration.yaml`. Source-dev and "trained on itself" are held-out subjects, five to seven a domain, so single
figures move by several points. AUC of videos (in brackets: of frames).

| domain | pooled source-dev of the other three | target: left out | trained on itself |
|---|---|---|---|
| O | .971 (.943) | .967 (.952) | 1.000 (.994) |
| C | .934 (.908) | .737 (.724) | .982 (.968) |
| I | .946 (.929) | .966 (.884) | .987 (.967) |
| M | .983 (.964) | .760 (.713) | .954 (.908) |

The gap to a domain never seen is large for C and M, clear for I, and small for O, whose sharp cameras keep every cue.
"""
"""Learnability of the default set, as the card states it; measure again whenever the default set changes."""


_MORE = {
    "partial": """ Partial attacks are live faces with printed
   paper on the eyes or the mouth.""",
    "makeup": """ Make-up is painted lips, lids, cheeks and brows
   over evened skin.""",
    "people": """
   Subjects belong to groups by skin and shape, sex and age, which rotate. Nothing is claimed of people.""",
}
"""What is said of kinds and groups that are made on request."""


def card_text(card: dict[str, Any]) -> str:
    """Return the Markdown text of the card."""
    settings = card["settings"]
    dial, attacks = settings["dial"], settings["attacks"]
    more = "".join(text for word, text in _MORE.items() if word in attacks or settings.get(word))
    per_domain, side = f"{settings['subjects']} subjects", settings["image_size"]
    return f"""# Generated faces

Procedural heads ({settings["generator"]}), seed {settings["seed"]}, dial {dial:g}, {per_domain} a domain,
{settings["sessions"]} sessions a subject, {side} px crops. No photograph and no person is behind them.

**Scores on this set are no evidence about real face anti-spoofing.** It is there to exercise the whole way from data
to result, and to compare runs of this software with each other. Report numbers on it only as what they are.

## How a record is made

1. A subject is about forty numbers: shape, skin pigments, hair, glasses. A session fixes the expression.
2. The head is drawn as a height field with part labels and two-pigment skin, turned, lit and put before a background.
   Depth and parsing come from the same warp and are exact; attacks have zeros.
   - depth: {card["depth"]}
   - parsing: {card["parsing"]}
3. Attacks ({", ".join(attacks)}): a print has ink gamut, halftone dots, paper, bend and gloss; a replay a display whose
   subpixel grid is sampled by the camera's colour filter array, so that its moire is real aliasing; a mask flat skin
   colour, eye-hole rims and a shiny surface.{more}
4. A camera adds lens blur, exposure, mosaic, noise, white balance, tone, sharpening, resolution and JPEG.
5. The crop is the face box times {card["crop"]["margin"]:g}, jittered like a detector's, without rotation.

Live videos have {settings["live_frames"]} frames, attack videos {settings["attack_frames"]}. Cameras and instruments
rotate over subjects and sessions, so that protocols by camera, session and instrument can be formed in domain O.

## What is designed in

Domains differ in cameras, media, backgrounds and light, and by a **designed shortcut**: attacks of a domain are
brighter or darker, redder or bluer than its live faces, in directions that differ between domains (multipliers below).
The live cameras of I and M are veiled, as attacks elsewhere look. The dial blends from strong generic cues without
shortcut (0) to weak cues with the full shortcut (1). The shortcut is what makes a domain gap; nature does not work so.

| domain | modelled on | cameras | attack exposure | attack colour (R, G, B) | live veil | train / dev / test shares |
|---|---|---|---|---|---|---|
{_domain_rows(settings["domains"], dial)}

## How hard it is

{MEASURED}
"""


def _domain_rows(domains: str, dial: float) -> str:
    rows = []
    for name in dict.fromkeys((*DOMAIN_NAMES, *domain_names(domains))):
        domain = domain_at(name, dial)
        medium = domain.prints[0]
        colour = ", ".join(f"{value:.3f}" for value in medium.colour_bias)
        cameras = ", ".join(camera.name for camera in domain.cameras)
        shares = " / ".join(str(share) for share in domain.split_shares)
        veil = f"{domain.cameras[0].veil:.3f}"
        exposure = f"{medium.exposure_bias:.3f}"
        rows.append(f"| {name} | {domain.title} | {cameras} | {exposure} | {colour} | {veil} | {shares} |")
    return "\n".join(rows)
