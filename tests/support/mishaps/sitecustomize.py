"""Python runs this at the start of every process that has this folder on PYTHONPATH: drivers and actors alike.

It registers the method ``mishaps`` and, if ``FASRAY_TEST_TALLY`` names a file, counts there the images
that Ray's workers decode.
"""

import os
import sys
from pathlib import Path
from typing import Any

from fasray.methods import registry

registry.METHODS["mishaps"] = "mishaps:Mishaps"  # type: ignore[index]


def _count_decoded(tally: str) -> None:
    from fasray.faces import jpeg

    decode = jpeg.decode

    def counting(data: bytes) -> Any:
        if Path(sys.argv[0]).name == "fasray":  # the driver, which decodes the few faces that its report shows
            return decode(data)
        handle = os.open(tally, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, b".")
        os.close(handle)
        return decode(data)

    jpeg.decode = counting


if "FASRAY_TEST_TALLY" in os.environ:
    _count_decoded(os.environ["FASRAY_TEST_TALLY"])
