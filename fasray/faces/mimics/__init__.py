"""Generated videos in the folders and under the names of a published corpus: preparation without a licence.

Needs neither torch nor ray. Scores on a mimic are no evidence about anything.
"""

from fasray.faces.mimics.settings import DEFAULT_FRAMES, DEFAULT_SIZE, DEFAULT_SUBJECTS, MimicSettings, names
from fasray.faces.mimics.studio import Clip, film
from fasray.faces.mimics.writing import Mimic, write, write_video

__all__ = [
    "DEFAULT_FRAMES",
    "DEFAULT_SIZE",
    "DEFAULT_SUBJECTS",
    "Clip",
    "Mimic",
    "MimicSettings",
    "film",
    "names",
    "write",
    "write_video",
]
