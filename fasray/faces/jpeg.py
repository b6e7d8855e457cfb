"""Encoding and decoding of face crops: JPEG quality 95 without chroma subsampling (colour carries cues)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

QUALITY = 95
_FULL_CHROMA = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
_START, _END = b"\xff\xd8", b"\xff\xd9"


def encode(image_HW3: NDArray[np.uint8], quality: int = QUALITY) -> bytes:  # noqa: N803
    """Return the JPEG bytes of an RGB image, uint8 ``[H, W, 3]``, at a quality of 1 to 100."""
    options = (cv2.IMWRITE_JPEG_QUALITY, quality, *_FULL_CHROMA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image_HW3, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"an image of shape {image_HW3.shape} cannot be encoded")
    return bytes(data.tobytes())


def decode(data: bytes) -> NDArray[np.uint8] | None:
    """Return the RGB image, uint8 ``[H, W, 3]``; None if ``data`` is not a complete JPEG."""
    if not (data.startswith(_START) and data.endswith(_END)):
        return None
    try:
        image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, np.uint8)
