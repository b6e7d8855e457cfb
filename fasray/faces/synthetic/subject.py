"""All frames of one generated subject: a pure function of seed, domain, subject number and settings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from fasray.faces import jpeg
from fasray.faces.record import DEPTH_SIZE, LIVE, PARSING_SIZE, SPOOF
from fasray.faces.synthetic.camera import Camera, biased, capture
from fasray.faces.synthetic.domains import Domain
from fasray.faces.synthetic.head import Head, draw_expression, draw_head
from fasray.faces.synthetic.identity import draw_identity, in_group, person_of
from fasray.faces.synthetic.light import draw_background, draw_light
from fasray.faces.synthetic.media import Medium, Print, Replay, show_print, show_replay
from fasray.faces.synthetic.pose import View, draw_pose, render
from fasray.faces.synthetic.raster import Map, rgb
from fasray.faces.synthetic.worn import shine_of, wear
from fasray.seeds import stream

CANVAS_PER_CROP = 1.25
"""The scene is drawn a quarter larger than the crop, so that the crop needs hardly any enlarging."""
MARGIN = 1.30
"""Side of the crop relative to the longer side of the face's bounding box."""
_LIVE_SCALE, _PHOTO_SCALE = 1.05, 0.98


@dataclass(frozen=True)
class Shoot:
    """How many sessions, videos and frames of every subject there are."""

    seed: int
    image_size: int
    sessions: int
    live_frames: int
    attack_frames: int
    attacks: tuple[str, ...]
    people: bool = False
    """Whether subjects belong to groups that the records name."""


def subject_records(domain: Domain, number: int, split: str, shoot: Shoot) -> Iterator[dict[str, Any]]:
    """Yield the face records (rows of RECORD_SCHEMA) of one subject, by session, then live and attacks, then frame."""
    subject = f"{domain.name}{number:03d}"
    who, groups = draw_identity(_stream(shoot, "identity", subject)), {}
    if shoot.people:
        person = person_of(number)
        who, groups = in_group(who, person, _stream(shoot, "people", subject)), asdict(person)
    for session in range(1, shoot.sessions + 1):
        mood = draw_expression(_stream(shoot, "expression", subject, session))
        head = draw_head(who, mood, canvas_size(shoot.image_size))
        camera = domain.cameras[(number + session) % len(domain.cameras)]
        for attack in ("live", *shoot.attacks):
            video = f"{subject}-s{session}-{attack}"
            medium, instrument = _medium(domain, attack, number, session)
            frames = shoot.live_frames if attack == "live" else shoot.attack_frames
            for frame in range(frames):
                rng = _stream(shoot, "frame", video, frame)
                yield {
                    **_picture(domain, camera, medium, head, shoot.image_size, rng),
                    "label": LIVE if attack == "live" else SPOOF,
                    "domain": domain.name,
                    "attack_type": attack,
                    "instrument": instrument,
                    "subject": subject,
                    "video": video,
                    "frame": frame,
                    "camera": camera.name,
                    "session": str(session),
                    "split": split,
                    "landmarks5": None,
                    "detection_score": None,
                    "source_path": f"{video}/{frame}",
                    "label_source": "exact",
                    **groups,
                }


def canvas_size(image_size: int) -> int:
    """Return the side of the canvas for crops of ``image_size`` pixels; even, as a Bayer mosaic needs."""
    return 2 * round(image_size * CANVAS_PER_CROP / 2)


def _stream(shoot: Shoot, purpose: str, *indices: int | str) -> np.random.Generator:
    return stream(shoot.seed, f"synthetic.{purpose}", *indices)


def _medium(domain: Domain, attack: str, number: int, session: int) -> tuple[Medium | None, str]:
    """Return the medium of a video and its instrument name.

    Cameras and media rotate over subjects and sessions instead of being drawn, so that also in a small set every
    camera meets every instrument in every split.
    """
    if attack == "live":
        return None, ""
    media = domain.media(attack)
    turn = (number // 2 if attack == "replay" else number) + session
    return media[turn % len(media)], f"{attack}{turn % len(media) + 1}"


def _picture(
    domain: Domain,
    camera: Camera,
    medium: Medium | None,
    head: Head,
    image_size: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Take one frame and return the columns that depend on its pixels."""
    size = head.parts.shape[0]
    flat = isinstance(medium, Print | Replay)
    pose = draw_pose(rng, _PHOTO_SCALE if flat else _LIVE_SCALE)
    background, key, ambient = _scene(domain, size, rng)
    light = draw_light(rng, key, ambient)
    if medium is None or isinstance(medium, Print | Replay):
        view = render(head, pose, light, background)
    else:
        view = render(wear(head, medium), pose, light, background, shine_of(medium))
    image, shrink = view.image, 1.0
    if isinstance(medium, Print | Replay):
        surroundings, key, ambient = _scene(domain, size, rng)
        room = draw_light(rng, key, ambient)
        surroundings = surroundings * (room.ambient + 0.4 * room.key)
        if isinstance(medium, Print):
            image = show_print(image, medium, surroundings, room, rng)
        else:
            image = show_replay(image, medium, surroundings, room, rng)
        shrink = float(np.mean(medium.fill))
    crop = _crop(view, image_size, shrink, rng)
    picture = capture(image, camera if medium is None else biased(camera, medium), crop, image_size, rng)
    data = jpeg.encode(picture)
    depth, parsing = bytes(DEPTH_SIZE**2), bytes(PARSING_SIZE**2)
    if medium is None:
        depth, parsing = _labels(view, crop, image_size)
    return {
        "image": data,
        "sha256": hashlib.sha256(data).hexdigest(),
        "depth": depth,
        "parsing": parsing,
        "crop_matrix": crop.ravel().tolist(),
    }


def _scene(domain: Domain, size: int, rng: np.random.Generator) -> tuple[Map, float, float]:
    kind = str(rng.choice(domain.backgrounds))
    key, ambient = float(rng.uniform(*domain.key)), float(rng.uniform(*domain.ambient))
    return draw_background(rng, size, kind), key, ambient


def _crop(view: View, image_size: int, shrink: float, rng: np.random.Generator) -> Map:
    """Return the 2x3 matrix canvas -> crop: the face box times MARGIN, jittered like a detector's, inside the canvas.

    Args:
        view: its depth shows where the face is.
        image_size: side of the crop.
        shrink: size of the medium that shows the view, relative to the canvas (about its centre).
        rng: of this frame.
    """
    size = view.depth.shape[0]
    rows, columns = np.nonzero(view.depth)
    centre_x = size / 2 + ((columns.min() + columns.max()) / 2 - size / 2) * shrink
    centre_y = size / 2 + ((rows.min() + rows.max()) / 2 - size / 2) * shrink
    side = max(np.ptp(columns), np.ptp(rows)) * shrink * MARGIN * float(rng.uniform(0.94, 1.06))
    side = min(side, size * 0.97)
    jitter = 1.5 * size / 160
    centre_x = float(np.clip(centre_x + rng.normal(0, jitter), side / 2, size - side / 2))
    centre_y = float(np.clip(centre_y + rng.normal(0, jitter), side / 2, size - side / 2))
    zoom = image_size / side
    shift_x, shift_y = image_size / 2 - centre_x * zoom, image_size / 2 - centre_y * zoom
    return rgb(zoom, 0, shift_x, 0, zoom, shift_y).reshape(2, 3)


def _labels(view: View, crop: Map, image_size: int) -> tuple[bytes, bytes]:
    """Return depth ``[32, 32]`` (near = 255) and part ids ``[64, 64]`` of a live face's crop, one byte a value."""
    shape = (image_size, image_size)
    depth = cv2.warpAffine(view.depth, crop, shape)
    depth = cv2.resize(depth, (DEPTH_SIZE, DEPTH_SIZE), interpolation=cv2.INTER_AREA)
    parts = cv2.warpAffine(view.parts, crop, shape, flags=cv2.INTER_NEAREST)
    parts = cv2.resize(parts, (PARSING_SIZE, PARSING_SIZE), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.rint(np.clip(depth, 0, 1) * 255).astype(np.uint8).tobytes(), np.asarray(parts, np.uint8).tobytes()
