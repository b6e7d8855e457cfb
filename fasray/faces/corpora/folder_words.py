"""Words for live, attacks and splits, as folders and files of faces have them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fasray.errors import SpecError, did_you_mean
from fasray.faces.record import ATTACK_TYPES, SPLITS

ATTACK = "attack"
"""An attack of a kind that the word does not say."""
MEANINGS = (*ATTACK_TYPES, ATTACK)
"""What a word may mean."""
_MEANING_OF = {
    word: meaning
    for meaning, words in {
        "live": "live real genuine bonafide client 1",
        ATTACK: "attack spoof spoofing fake imposter impostor presentationattack 0",
        "print": "print printed printout paper",
        "replay": "replay screen display",
        "mask": "mask 3dmask",
        "partial": "partial",
        "makeup": "makeup",
        "other": "other",
    }.items()
    for word in words.split()
}
_SPLIT_OF = {
    word: split
    for split, words in zip(
        SPLITS,
        ("train training", "dev devel development val valid validation", "test testing eval evaluation"),
        strict=True,
    )
    for word in words.split()
}


def _plain(word: str) -> str:
    """Return a word in small letters, without separators."""
    return re.sub(r"[\s_.-]+", "", word.casefold())


class LabelWords:
    """What words say of a presentation: fasray's own words, and those of the user.

    Args:
        own: word -> one of ``MEANINGS``; they come before fasray's. The case of letters is ignored.

    Raises:
        SpecError: a word has no meaning that there is.
    """

    def __init__(self, own: Mapping[str, str]) -> None:
        for word, meaning in own.items():
            if meaning not in MEANINGS:
                what = f"{meaning!r}, for the word {word!r}, is neither live nor an attack"
                raise SpecError(what, where="--label", remedy=did_you_mean(meaning, MEANINGS))
        self._own = {word.casefold(): meaning for word, meaning in own.items()}

    def meaning(self, word: str) -> str | None:
        """Return what a word, or a plural, means: one of ``MEANINGS``; None if nobody knows it."""
        own = self._own.get(word.casefold())
        return own or _MEANING_OF.get(_plain(word)) or _MEANING_OF.get(_plain(word).removesuffix("s"))


def split_of(word: str) -> str | None:
    """Return the split that a word names, one of ``record.SPLITS``; None if it names none."""
    return _SPLIT_OF.get(_plain(word))
