"""Which rows of a score file are live: by its label column, by a list of labels, or by where the pictures are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from fasray.errors import DataError
from fasray.names import canonical as composed
from fasray.names import canonical_array
from fasray.results.external.columns import Table
from fasray.results.external.values import canonical, is_live_word, is_no_word, is_number, shown

Labels = NDArray[np.int8]


def column_labels(table: Table, uri: str, live_label: str) -> tuple[Labels, str]:
    """Return 1 for each live row and 0 for each attack, and the word for attacks; empty if there is none.

    Raises:
        DataError: there are more than two words, or none is that of live faces; with the line.
    """
    values = table.columns["label"]
    words = [canonical(value) for value in values]
    if table.layout.startswith("bob.pad"):
        live_label = "True"
        words = [{"1": "true", "0": "false"}.get(word, word) for word in words]
    wanted = canonical(live_label)
    others: dict[str, str] = {}
    for value, word, place in zip(values, words, table.places, strict=True):
        if word == "" or (word != wanted and len(others) == 1 and word not in others):
            seen = f"; others are {live_label} and {next(iter(others))}" if others else ""
            remedy = "a label is one of two words; --live-label names that of live faces"
            raise DataError(f"label {shown(value)}{seen}", where=f"{uri}, {place}", remedy=remedy)
        if word != wanted:
            others[word] = place
    if len(others) == 1 and wanted not in words:
        (other, place), *_ = others.items()
        raise DataError(
            f"no row has the label {live_label!r} of live faces; all have {other!r}",
            where=f"{uri}, {place}",
            remedy="name the word for live faces with --live-label; one class alone has no error rates",
        )
    other, place = next(iter(others.items()), ("", ""))
    if is_live_word(other) and not is_live_word(wanted):
        raise DataError(
            f"the label {other!r} would be that of attacks, and {live_label!r} that of live faces",
            where=f"{uri}, {place}",
            remedy=f"declare the other label as that of live faces: --live-label {other}",
        )
    return np.array([word == wanted for word in words], np.int8), other


def path_labels(paths: Sequence[str], pattern: str) -> Labels:
    """Return 1 for each path that matches a pattern such as ``*/live/*``, in which ``*`` is any text."""
    return np.array([fnmatchcase(path, pattern) for path in paths], np.int8)


def listed_columns(table: Table, listed: Table, uri: str, list_uri: str) -> tuple[dict[str, Sequence[object]], str]:
    """Return what a list says of each row of a table, by the row's path, and a note on listed rows without a score.

    Raises:
        DataError: the list has a path twice and says different things of it, or has not all of the table's paths.
    """
    names = [name for name in listed.columns if name != "path"]
    known: dict[str, tuple[object, ...]] = {}
    for path, place, *said in zip(
        listed.columns["path"], listed.places, *(listed.columns[name] for name in names), strict=True
    ):
        if known.setdefault(_plain(path), tuple(said)) != tuple(said):
            what = f"{shown(path)} is listed twice, with different labels"
            raise DataError(what, where=f"{list_uri}, {place}", remedy="list it once")
    paths = [_plain(path) for path in table.columns["path"]]
    unlisted = [at for at, path in enumerate(paths) if path not in known]
    if unlisted:
        at = unlisted[0]
        raise DataError(
            f"{len(unlisted)} of {len(paths)} rows are not in {list_uri}; the first is {shown(paths[at])}",
            where=f"{uri}, {table.places[at]}",
            remedy=f"write names as the list has them, such as {shown(next(iter(known), ''))}",
        )
    missing = len(known) - len(set(paths))
    note = f"{missing} of {len(known)} rows of {list_uri} have no score" if missing else ""
    return {name: [known[path][at] for path in paths] for at, name in enumerate(names)}, note


def _plain(path: object) -> str:
    return composed(str(path).removeprefix("./"))


def check_attack_types(types: NDArray[np.str_], label: Labels, places: Sequence[str], uri: str, swap: str) -> None:
    """Check that attack types do not contradict the labels.

    An attack contradicts its label if its type is a word for live faces, or is empty where all live rows' are; a live
    row if its type names an attack. Numbers are codes that say nothing, unless live rows have several.

    Args:
        types: [N] names of attack types.
        label: [N] 1 = live, 0 = attack.
        places: [N] of the rows in the file.
        uri: of the file.
        swap: what to do where the labels mean the opposite; empty if nothing can be done.

    Raises:
        DataError: they do, with the first such row.
    """
    live = label == 1
    wrong = _contradicting(types, live)
    if not wrong.any():
        return
    at = int(np.flatnonzero(wrong)[0])
    remedy = "correct them, or leave the types out: --column attack_type=-"
    if swap and not _contradicting(types, ~live).any():
        remedy = f"{swap}; or {remedy}"
    raise DataError(
        f"{int(wrong.sum())} of {len(types)} rows contradict their own attack type: this one is labelled "
        f"{'live' if live[at] else 'an attack'} and its type is {shown(str(types[at]))}",
        where=f"{uri}, {places[at]}",
        remedy=remedy,
    )


def _contradicting(types: NDArray[np.str_], live: NDArray[np.bool_]) -> NDArray[np.bool_]:
    names, inverse = np.unique(types, return_inverse=True)
    word = np.array([is_live_word(name) for name in names], np.bool_)
    empty = np.array([is_no_word(name) for name in names], np.bool_)
    code = np.array([is_number(name) for name in names], np.bool_) & ~empty
    if empty.all():
        return np.zeros(len(types), np.bool_)
    says_live = word | empty if not word.any() else word
    says_attack = ~word & ~empty
    if len(np.unique(inverse[live & code[inverse]])) == 1:
        says_attack &= ~code
    return np.asarray((~live & says_live[inverse]) | (live & says_attack[inverse]))


def attack_type_words(values: Mapping[str, Sequence[object]]) -> NDArray[np.str_] | None:
    """Return the attack types, with those that say nothing empty; None if the file has none."""
    found = values.get("attack_type")
    if found is None:
        return None
    words = ["" if value is None else str(value) for value in found]
    return canonical_array(np.array(["" if is_no_word(word) else word for word in words], np.str_))
