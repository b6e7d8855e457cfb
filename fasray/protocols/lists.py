"""Fixed lists: which videos train, which choose and which judge, as the owners of a corpus publish it.

``fasray protocol import`` checks such lists against a face set and writes one file, which a sweep names. Such a
protocol is called after its content, ``cefa-1.1@0f1e2d3c4b5a``: a run keeps a copy of the file in its folder
``protocols``, and reads it there when the original is gone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator, model_validator

from fasray import storage
from fasray.errors import DataError, FasrayError, SpecError
from fasray.protocols.crossing import dev_subjects
from fasray.protocols.roles import Roles, RowTable
from fasray.validation import Section, spec_error

ENDING = ".json"
"""How a sweep file's entry of ``protocols`` ends that is a file of lists."""

FOLDER = "protocols"
"""In a run directory, and next to a trial's ``spec.json``: copies of the files that its protocols come from."""

SHARED = "-shared"
"""How the name of a protocol ends whose people may be on several sides."""

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]*@[0-9a-f]{{12}}({SHARED})?")
ListRole = Literal["train", "dev", "test"]


class Source(Section):
    """A published list that was imported."""

    file: str = Field(description="its name, without folders")
    role: ListRole
    entries: int = Field(description="lines with a path")
    sha256: str


class FixedLists(Section):
    """The videos of a protocol by their role; a face set's ``video`` names them."""

    fasray_protocol: Literal[1] = Field(1, description="version of the format")
    name: str = Field(description="what the protocol is called, before the @")
    fingerprint: str = Field("", description="12 hex digits of the SHA-256 of what decides roles")
    shared_people: bool = Field(False, description="whether people may be on several sides, as in the lists")
    train: tuple[str, ...] = Field(description="videos that train, sorted")
    dev: tuple[str, ...] = Field(
        (), description="videos that choose; none: those of a fifth of the train list's people"
    )
    test: tuple[str, ...] = Field(description="videos that judge, sorted")
    sources: tuple[Source, ...] = Field((), description="what it was made from")

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}", name):
            raise ValueError("a name is letters, digits, '.', '_' and '-'")
        return name

    @model_validator(mode="after")
    def _is_what_it_says(self) -> FixedLists:
        if self.fingerprint and self.fingerprint != self.content_hash():
            raise ValueError("the videos are not those of the fingerprint: the file was changed")
        videos = [*self.train, *self.dev, *self.test]
        if len(set(videos)) < len(videos):
            raise ValueError("a video is listed twice")
        if not self.train or not self.test:
            raise ValueError("there must be videos that train and videos that judge")
        return self

    @property
    def full_name(self) -> str:
        """Name by which tables, logs and files call the protocol."""
        return f"{self.name}@{self.content_hash()}{SHARED if self.shared_people else ''}"

    def content_hash(self) -> str:
        """Return 12 hex digits that change whenever a video's role does."""
        rules = [1, self.shared_people, sorted(self.train), sorted(self.dev), sorted(self.test)]
        return hashlib.sha256(json.dumps(rules, ensure_ascii=False).encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Return the file's text."""
        values = {**self.model_dump(), "fingerprint": self.content_hash()}
        return json.dumps(values, indent=1, ensure_ascii=False) + "\n"

    def roles(self, table: RowTable) -> Roles:
        """Return the rows of each role; the train list's datasets are the training domains.

        Raises:
            DataError: listed videos are not in the data, or those that choose are of a dataset that does not train.
        """
        names, places = np.unique(table.video, return_inverse=True)
        role_of_video = np.zeros(len(names), np.int8)
        missing: list[str] = []
        for number, videos in enumerate((self.train, self.dev, self.test), 1):
            found = np.isin(names, videos)
            role_of_video[found] = number
            if found.sum() < len(videos):
                missing += sorted(set(videos) - set(names[found].tolist()))
        if missing:
            raise DataError(
                f"{len(missing)} videos of protocol {self.full_name} are not in the data, {missing[0]!r} among them",
                where="protocols",
                remedy="name the face set that the lists were imported for, or import them again for this one",
            )
        role = role_of_video[places]
        train, dev, test = (np.flatnonzero(role == number) for number in (1, 2, 3))
        if not self.dev:
            dev = _chosen(table, train)
            train = np.setdiff1d(train, dev)
        domains = tuple(np.unique(table.domain[train]).tolist())
        if untrained := sorted(set(np.unique(table.domain[dev]).tolist()) - set(domains)):
            raise DataError(
                f"protocol {self.full_name} chooses on videos of {untrained[0]!r}, of which none trains",
                where="protocols",
                remedy="leave them out of the dev list",
            )
        domain_id = np.full(len(table.label), -1, np.int64)
        source = np.concatenate([train, dev])
        domain_id[source] = np.searchsorted(domains, table.domain[source])
        return Roles(train, dev, test, domains, domain_id)


def is_listed(name: str) -> bool:
    """Return whether a protocol's name is one of a file of lists: ``cefa-1.1@0f1e2d3c4b5a``."""
    return _NAME.fullmatch(name) is not None


def read_lists(uri: str) -> FixedLists:
    """Read a file that ``fasray protocol import`` has written.

    Raises:
        SpecError: there is no such file, or it is not what it should be.
    """
    try:
        values = json.loads(storage.read_bytes(storage.resolve(uri)))
        if not isinstance(values, dict) or "fasray_protocol" not in values:
            raise ValueError("no protocol")
        return FixedLists.model_validate(values)
    except ValidationError as error:
        raise spec_error(error, FixedLists, place_of=lambda location: uri) from error
    except FasrayError as error:
        remedy = error.remedy or "a run that used it has a copy in its folder protocols/"
        raise SpecError(f"{uri}: {error.what}", where="key protocols", remedy=remedy) from error
    except ValueError as error:
        raise SpecError(
            f"{uri} is not a file of `fasray protocol import`", where="key protocols", remedy="import the lists first"
        ) from error


def files_to_names(values: Any) -> Any:
    """Return the values of a sweep file with names in place of files of lists, whose places ``lists`` then has.

    So the content of a file and not its place is part of what the sweep is.

    Args:
        values: as they were read; ``protocols`` is a list of groups, names, and files that end with ``.json``.

    Raises:
        SpecError: a file cannot be read.
    """
    wanted = values.get("protocols") if isinstance(values, dict) else None
    if not isinstance(wanted, list | tuple):
        return values
    read = {item: read_lists(item).full_name for item in wanted if isinstance(item, str) and item.endswith(ENDING)}
    if not read:
        return values
    files = {**(values.get("lists") or {}), **{name: file for file, name in read.items()}}
    return {**values, "protocols": [read.get(item, item) for item in wanted], "lists": files}


def keep_copies(folder: str, lists: Mapping[str, FixedLists]) -> None:
    """Write the files of lists, by full name, where :func:`copy_of` says; those that are there stay."""
    for name, found in lists.items():
        storage.write_once(copy_of(folder, name), found.to_json().encode())


def copy_of(folder: str, name: str) -> str:
    """Return where a run directory, or the folder of a trial, keeps its copy of a file of lists."""
    return storage.join(folder, FOLDER, f"{name}{ENDING}")


def copies_in(folder: str, names: Iterable[str]) -> dict[str, str]:
    """Return where a folder has a copy of the file of each protocol that is fixed lists, by its name."""
    places = {name: copy_of(folder, name) for name in filter(is_listed, names)}
    return {name: place for name, place in places.items() if storage.exists(place)}


def copies_near(name: str, spec_file: str) -> dict[str, str]:
    """Return where the trial of a ``spec.json`` or its run has a copy of the file of its protocol, if it is lists."""
    if not is_listed(name) or not spec_file:
        return {}
    folder = storage.parent(storage.resolve(spec_file))
    run = storage.parent(storage.parent(folder))
    return copies_in(run, [name]) | copies_in(folder, [name])


def load_named(names: Iterable[str], files: Mapping[str, str]) -> dict[str, FixedLists]:
    """Return the lists of the protocols among ``names`` that have such, by full name.

    Args:
        names: of protocols.
        files: where the file of each is.

    Raises:
        SpecError: the file of a protocol is not known or cannot be read, or has other lists by now.
    """
    found = {}
    for name in filter(is_listed, names):
        lists = read_lists(files[name]) if name in files else None
        if lists is None or lists.full_name != name:
            raise SpecError(
                f"the lists of protocol {name} are not there",
                where=files.get(name, "key protocols"),
                remedy=f"name their file; a run that used it has a copy, {FOLDER}/{name}{ENDING}",
            )
        found[name] = lists
    return found


def _chosen(table: RowTable, train: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of the people who choose where there is no list for it."""
    chosen = np.zeros(len(train), np.bool_)
    for dataset in np.unique(table.domain[train]).tolist():
        own = table.domain[train] == dataset
        chosen |= own & np.isin(table.subject[train], dev_subjects(dataset, table.subject[train][own]))
    return train[chosen]
