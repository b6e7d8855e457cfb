"""Film one video: a subject, or a print or display that shows it, before a background, from frame to frame.

The head of a subject in a session is drawn once. A living subject turns a little and the light changes from frame to
frame; a print is made once a video and only the camera moves; a display plays what another camera saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fasray.faces.corpora import SourceVideo
from fasray.faces.mimics.casting import Role, cast_of, role_of
from fasray.faces.mimics.settings import MimicSettings
from fasray.faces.synthetic.camera import Camera, develop
from fasray.faces.synthetic.domains import Domain, domain_at
from fasray.faces.synthetic.head import Head, draw_expression, draw_head
from fasray.faces.synthetic.identity import Identity, draw_identity
from fasray.faces.synthetic.light import Light, backdrop, draw_background, draw_light
from fasray.faces.synthetic.media import Print, Replay, show_print, show_replay
from fasray.faces.synthetic.pose import Pose, View, draw_pose, pose_maps, render
from fasray.faces.synthetic.raster import EXTENT, Map, rgb, white_noise
from fasray.faces.synthetic.worn import shine_of, wear
from fasray.seeds import stream

_LIVE_SCALE, _PHOTO_SCALE = 1.02, 0.95
_MARGIN = 8
"""Pixels of scene around the picture that a shaken camera can bring in."""


@dataclass(frozen=True)
class Frame:
    """One frame."""

    picture: NDArray[np.uint8]
    """RGB uint8 ``[H, W, 3]``."""
    depth: Map
    """Exact, 0..1 (near = 1, zero off the face), float32 ``[H, W]``; all zero for attacks."""
    parts: NDArray[np.uint8]
    """Ids of ``record.PARSING_CLASSES``, uint8 ``[H, W]``; all zero for attacks."""
    eyes: Map
    """[2, 2] x, y of the eye on the left of the picture and of the other one, pixels; of an attack, where they would be
    on a sheet that is held straight."""


@dataclass(frozen=True)
class Clip:
    """All frames of a video: ``frames [F, H, W, 3]``, ``depth [F, H, W]``, ``parts [F, H, W]``, ``eyes [F, 2, 2]``."""

    frames: NDArray[np.uint8]
    depth: Map
    parts: NDArray[np.uint8]
    eyes: Map


@dataclass(frozen=True)
class SubjectInSession:
    """A subject in one session."""

    identity: Identity
    head: Head


def draw_subject(settings: MimicSettings, subject: str, session: str) -> SubjectInSession:
    """Draw a subject as it looks in a session; the costly part, used for all its videos."""
    identity = draw_identity(stream(settings.seed, "mimic.identity", subject))
    mood = draw_expression(stream(settings.seed, "mimic.expression", subject, session))
    return SubjectInSession(identity, draw_head(identity, mood, min(settings.size)))


def film(settings: MimicSettings, video: SourceVideo) -> Clip:
    """Return one video of a mimic with its exact depth: the frames that ``write`` puts on the disk, before the codec.

    Frames are upright also where the file on the disk is not (``video.rotate_untagged``).
    """
    frames = list(shoot(settings, video, draw_subject(settings, video.subject, video.session)))
    return Clip(
        *(np.stack([getattr(frame, name) for frame in frames]) for name in ("picture", "depth", "parts", "eyes"))
    )


def shoot(settings: MimicSettings, video: SourceVideo, who: SubjectInSession) -> Iterator[Frame]:
    """Yield the frames of one video; a pure function of settings and video."""
    domain = domain_at(settings.adapter.domain, settings.dial)
    role = role_of(video, cast_of(settings.corpus), domain)
    rng = stream(settings.seed, "mimic.video", video.video)
    stage = build_scene(settings, role, rng)
    camera = _steady(role.camera, rng)
    resolution = float(rng.uniform(*camera.resolution))
    flat = isinstance(role.medium, Print | Replay)
    pose = draw_pose(rng, _PHOTO_SCALE if flat else _LIVE_SCALE)
    sway = _Sway(rng)
    shown, head, shine = None, who.head, 0.0
    if isinstance(role.medium, Print | Replay):
        shown = AttackScene(who, pose, sway, role.medium, role.moving, stage, domain, (settings.seed, video.video))
    elif role.medium is not None:
        head, shine = wear(who.head, role.medium), shine_of(role.medium)
    for number in range(settings.frames):
        each = stream(settings.seed, "mimic.frame", video.video, number)
        if shown is None:
            light = replace(stage.light, key=stage.light.key * (1 + 0.04 * float(np.sin(0.9 * number + sway.phase))))
            now = sway.at(pose, number)
            view = render(head, now, light, stage.behind, shine)
            scene, depth, parts = stage.around(view.image, light), stage.pad(view.depth), stage.pad(view.parts)
            if role.medium is not None:
                depth, parts = np.zeros_like(depth), np.zeros_like(parts)
            eyes = _eyes(who, now, stage)
        else:
            scene = stage.around(shown.image(number), stage.light)
            depth, parts = np.zeros(scene.shape[:2], np.float32), np.zeros(scene.shape[:2], np.uint8)
            eyes = shown.eyes(number)
        move = _hand(each, role.shake * settings.size[1] / 180, settings.size)
        scene, depth, parts = (_look(image, move, settings.size) for image in (scene, depth, parts))
        picture = _soften(develop(scene, camera, each), resolution)
        yield Frame(picture, depth, parts, np.asarray(eyes @ move[:, :2].T + move[:, 2], np.float32))


class _Sway:
    """A slow turn of the head about a pose."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.phase = float(rng.uniform(0, 2 * np.pi))
        self._size = np.abs(rng.normal(1, 0.3, 5)) * (0.07, 0.04, 0.02, 0.02, 0.015)
        self._speed = rng.uniform(0.25, 0.6, 5)

    def at(self, pose: Pose, frame: int) -> Pose:
        yaw, pitch, roll, x, y = (float(v) for v in self._size * np.sin(self._speed * frame + self.phase))
        return Pose(
            pose.yaw + yaw, pose.pitch + pitch, pose.roll + roll, pose.scale, pose.shift_x + x, pose.shift_y + y
        )


@dataclass(frozen=True)
class _Stage:
    """Light and background of a video; the face's canvas is at ``left``, ``top`` of the padded picture."""

    light: Light
    background: Map
    left: int
    top: int
    canvas: int

    @property
    def behind(self) -> Map:
        """The background of the canvas, ``[S, S, 3]``."""
        return self.background[self.top : self.top + self.canvas, self.left : self.left + self.canvas]

    def around(self, image: Map, light: Light) -> Map:
        """Return the padded scene with ``image`` on its canvas."""
        scene = np.array(backdrop(self.background, light), np.float32)
        scene[self.top : self.top + self.canvas, self.left : self.left + self.canvas] = image
        return scene

    def pad(self, labels: Map) -> Map:
        """Return labels of the canvas as labels of the padded scene."""
        whole = np.zeros(self.background.shape[:2], labels.dtype)
        whole[self.top : self.top + self.canvas, self.left : self.left + self.canvas] = labels
        return whole


class AttackScene:
    """A print or a display that shows the subject."""

    def __init__(
        self,
        who: SubjectInSession,
        pose: Pose,
        sway: _Sway,
        medium: Print | Replay,
        moving: bool,
        stage: _Stage,
        domain: Domain,
        key: tuple[int, str],
    ) -> None:
        seed, video = key
        rng = stream(seed, "mimic.original", video)
        self._who, self._pose, self._sway, self._medium, self._moving = who, pose, sway, medium, moving
        self._light = draw_light(rng, float(rng.uniform(*domain.key)), float(rng.uniform(*domain.ambient)))
        self._background = draw_background(rng, stage.canvas, str(rng.choice(domain.backgrounds)))
        self._medium_stream = (seed, "mimic.medium", video)
        self._stage = stage
        self._surroundings = np.asarray(backdrop(stage.behind, stage.light), np.float32)
        self._still = None if moving else self._draw(0)

    def image(self, frame: int) -> Map:
        """Return the medium in its surroundings, linear RGB ``[S, S, 3]``."""
        return self._draw(frame) if self._still is None else self._still

    def eyes(self, frame: int) -> Map:
        """Return where the eyes would be if the medium were held straight, padded pixels ``[2, 2]``."""
        pose = self._sway.at(self._pose, frame if self._moving else 0)
        centre = np.asarray((self._stage.left, self._stage.top), np.float32) + self._stage.canvas / 2
        straight = (_eyes(self._who, pose, self._stage) - centre) * float(np.mean(self._medium.fill)) + centre
        return np.asarray(straight, np.float32)

    def _draw(self, frame: int) -> Map:
        original: View = render(self._who.head, self._sway.at(self._pose, frame), self._light, self._background)
        medium, rng = self._medium, stream(*self._medium_stream)
        if isinstance(medium, Print):
            return show_print(original.image, medium, self._surroundings, self._stage.light, rng)
        return show_replay(original.image, medium, self._surroundings, self._stage.light, rng)


def build_scene(settings: MimicSettings, role: Role, rng: np.random.Generator) -> _Stage:
    """Draw light and background; the canvas is in the middle of the picture's lower edge."""
    width, height = settings.size
    canvas = min(settings.size)
    light = draw_light(rng, float(rng.uniform(*role.key)), float(rng.uniform(*role.ambient)))
    whole = draw_background(rng, max(width, height) + 2 * _MARGIN, str(rng.choice(role.backgrounds)))
    background = np.ascontiguousarray(whole[: height + 2 * _MARGIN, : width + 2 * _MARGIN])
    return _Stage(light, background, _MARGIN + (width - canvas) // 2, _MARGIN + height - canvas, canvas)


def _steady(camera: Camera, rng: np.random.Generator) -> Camera:
    """Return the camera with what a camera keeps during one video drawn once: focus, exposure, white balance."""
    blur = float(rng.uniform(*camera.lens_blur))
    exposure = camera.exposure * 2 ** float(rng.normal(0, camera.exposure_jitter))
    balance = np.asarray(camera.white_balance) * (1 + camera.white_balance_jitter * white_noise(rng, 3))
    red, green, blue = (float(v) for v in balance)
    return replace(
        camera,
        lens_blur=(blur, blur),
        exposure=exposure,
        exposure_jitter=0.02,
        white_balance=(red, green, blue),
        white_balance_jitter=0.003,
    )


def _eyes(who: SubjectInSession, pose: Pose, stage: _Stage) -> Map:
    """Return the centres of both eyes in padded pixels: the view pixels that show them."""
    map_x, map_y = pose_maps(who.head.height, pose)
    size = who.head.parts.shape[0]
    found = []
    for side in (-1, 1):
        x, y = ((v + EXTENT / 2) * size / EXTENT - 0.5 for v in (side * who.identity.eye_x, who.identity.eye_y))
        row, column = np.unravel_index(np.argmin((map_x - x) ** 2 + (map_y - y) ** 2), map_x.shape)
        found.append((column + stage.left, row + stage.top))
    return np.asarray(found, np.float32)


def _hand(rng: np.random.Generator, shake: float, size: tuple[int, int]) -> Map:
    """Return the 2x3 matrix padded scene -> picture of a camera that is not quite still."""
    width, height = size
    x, y = (float(v) for v in np.clip(rng.normal(0, shake, 2), -0.4 * _MARGIN, 0.4 * _MARGIN))
    angle = float(np.clip(rng.normal(0, 0.002 * shake), -0.01, 0.01))
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    middle_x, middle_y = width / 2, height / 2
    from_x, from_y = middle_x + _MARGIN + x, middle_y + _MARGIN + y
    return rgb(
        cos, -sin, middle_x - cos * from_x + sin * from_y, sin, cos, middle_y - sin * from_x - cos * from_y
    ).reshape(2, 3)


def _look(image: Map, move: Map, size: tuple[int, int]) -> Map:
    how = cv2.INTER_NEAREST if image.dtype == np.uint8 else cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(image, move, size, flags=how, borderMode=cv2.BORDER_REPLICATE))


def _soften(picture: NDArray[np.uint8], resolution: float) -> NDArray[np.uint8]:
    """Return the picture with the detail of a sensor of ``resolution`` times its size, at its size."""
    if resolution >= 1:
        return picture
    height, width = picture.shape[:2]
    small = cv2.resize(picture, None, fx=resolution, fy=resolution, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
