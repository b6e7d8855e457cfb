"""Names of files and people: one form to compare them in, one that can be written anywhere, and their order."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def canonical(name: str) -> str:
    """Return a name in Unicode's composed form (NFC): Macs write a letter and its accent apart, others as one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def canonical_array(names: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return an array of names, each in its composed form."""
    import numpy as np  # not at the top: the command line needs this module, and numpy takes long to load

    if not names.size or not names.itemsize or np.ascontiguousarray(names).view(np.uint32).max() < 128:
        return names  # ASCII, as nearly always
    found, places = np.unique(names, return_inverse=True)
    return np.array([canonical(name) for name in found.tolist()])[places]


def is_utf8(name: str) -> bool:
    """Return whether the name of a file is UTF-8; others come with lone surrogates in place of their bytes."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def printable(name: str) -> str:
    r"""Return the name of a file as text for tables and documents: bytes that are not UTF-8 and control codes escaped.

    >>> print(printable("caf\udce9.txt"), printable("a\tb"))
    caf\xe9.txt a\x09b
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(f"\\x{ord(letter):02x}" if ord(letter) < 32 or ord(letter) == 127 else letter for letter in text)


def by_number(name: str) -> tuple[tuple[str, int, str], ...]:
    """Return a key that sorts names by the values of the numbers in them: 2.png before 10.png."""
    return tuple((text, int(digits or 0), digits) for text, digits in re.findall(r"(\D*)(\d*)", name))
