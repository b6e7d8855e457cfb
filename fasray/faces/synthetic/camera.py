"""A camera: lens, exposure, colour filter array, noise, demosaicing, tone, sharpening, resolution, codec, face crop."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fasray.faces.synthetic.media import Medium, Span, Triple
from fasray.faces.synthetic.raster import Map, blur, rgb, saturate, white_noise


@dataclass(frozen=True)
class Camera:
    """One camera of a domain; lengths in sensor pixels, light relative to full scale."""

    name: str
    lens_blur: Span = (0.3, 0.6)
    vignetting: float = 0.15
    veil: float = 0.0  # share of stray light: washed-out contrast
    exposure: float = 0.75  # where the 85th percentile of the image centre lands
    exposure_jitter: float = 0.25  # stops
    shot_noise: float = 0.015
    read_noise: float = 0.004
    denoise: float = 0.0
    white_balance: Triple = (1.0, 1.0, 1.0)
    white_balance_jitter: float = 0.03
    contrast: float = 0.5  # strength of the S-curve
    saturation: float = 1.0
    sharpening: float = 0.4
    resolution: Span = (1.0, 1.0)
    jpeg_quality: tuple[int, int] = (85, 96)


def biased(camera: Camera, medium: Medium) -> Camera:
    """Return the camera as it sees attacks of this medium: with the domain's designed exposure and colour shortcut."""
    red, green, blue = (w * c for w, c in zip(camera.white_balance, medium.colour_bias, strict=True))
    exposure = camera.exposure * medium.exposure_bias
    return replace(camera, exposure=exposure, white_balance=(red, green, blue))


def capture(linear: Map, camera: Camera, crop: Map, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Take a picture and cut the face out of it.

    Args:
        linear: the scene, linear RGB ``[S, S, 3]``; S is even.
        camera: what looks at it.
        crop: 2x3, canvas pixels -> crop pixels.
        size: side of the crop, pixels.
        rng: of this frame.

    Returns:
        RGB uint8 ``[size, size, 3]``.
    """
    canvas = linear.shape[0]
    picture: Map = develop(linear, camera, rng)
    scale = rng.uniform(*camera.resolution)
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    quality = int(rng.integers(*camera.jpeg_quality))
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), (cv2.IMWRITE_JPEG_QUALITY, quality))
    picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))
    to_crop = crop.copy()
    to_crop[:, :2] *= canvas / picture.shape[0]
    how = cv2.INTER_LINEAR if to_crop[0, 0] > 0.7 else cv2.INTER_AREA
    cut = cv2.warpAffine(picture, to_crop, (size, size), flags=how, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(cut, np.uint8)


def develop(linear: Map, camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the whole picture that the camera takes of a scene, before its resolution and codec.

    Args:
        linear: the scene, linear RGB ``[H, W, 3]``; H and W are even.
        camera: what looks at it.
        rng: of this frame.

    Returns:
        RGB uint8 ``[H, W, 3]``.
    """
    light = _expose(blur(linear, rng.uniform(*camera.lens_blur)), camera, rng)
    light = blur(_sense(light, camera, rng), camera.denoise)
    light = np.clip(light * rgb(*camera.white_balance) * (1 + camera.white_balance_jitter * white_noise(rng, 3)), 0, 1)
    tone = cv2.pow(light, 1 / 2.2)
    tone = tone + camera.contrast * (tone * tone * (3 - 2 * tone) - tone)
    tone = saturate(tone, camera.saturation)
    tone = tone + camera.sharpening * (tone - blur(tone, 1.2))
    return np.asarray(np.clip(tone, 0, 1) * 255).astype(np.uint8)


def _expose(light: Map, camera: Camera, rng: np.random.Generator) -> Map:
    height, width = light.shape[:2]
    if camera.vignetting > 0:
        down = (np.arange(height, dtype=np.float32) / height * 2 - 1) ** 2
        across = (np.arange(width, dtype=np.float32) / width * 2 - 1) ** 2
        light = light * (1 - camera.vignetting * (down[:, None] + across[None]) * 0.5)[..., None]
    if camera.veil > 0:
        light = light * (1 - camera.veil) + camera.veil * float(light.mean())
    centre = light[height // 4 : 3 * height // 4 : 4, width // 4 : 3 * width // 4 : 4]
    level = float(np.percentile(centre.max(2), 85))
    gain = camera.exposure * 2 ** rng.normal(0, camera.exposure_jitter) / max(level, 1e-3)
    return np.clip(light * float(gain), 0, 1)


def _sense(light: Map, camera: Camera, rng: np.random.Generator) -> Map:
    """Sample through a Bayer mosaic with shot and read noise, and demosaic.

    The first site takes the third channel, i.e. blue of our RGB; OpenCV names the pattern after other sites, hence
    ``BayerRG2RGB`` (checked with a red patch: RGB stays RGB).
    """
    height, width = light.shape[:2]
    raw = np.empty((height, width), np.float32)
    raw[0::2, 0::2] = light[0::2, 0::2, 2]
    raw[0::2, 1::2] = light[0::2, 1::2, 1]
    raw[1::2, 0::2] = light[1::2, 0::2, 1]
    raw[1::2, 1::2] = light[1::2, 1::2, 0]
    raw += rng.standard_normal((height, width), dtype=np.float32) * np.sqrt(
        camera.shot_noise**2 * raw + camera.read_noise**2
    )
    mosaic = (np.clip(raw, 0, 1) * 65535).astype(np.uint16)
    return np.asarray(cv2.cvtColor(mosaic, cv2.COLOR_BayerRG2RGB).astype(np.float32) / 65535, np.float32)
