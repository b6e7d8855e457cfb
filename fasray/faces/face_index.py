"""The index of a face set: the columns that protocols, samplers and score files need of every face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasray.faces.record import INDEX_COLUMNS, OPTIONAL_COLUMNS
from fasray.names import canonical_array


def _unknown() -> NDArray[np.str_]:
    return np.array([], dtype=np.str_)


@dataclass(frozen=True)
class FaceIndex:
    """Columns of equal length N, read-only; the position in them is the row number of the face everywhere.

    The optional ones (``record.OPTIONAL_COLUMNS``) are empty strings where they are not given.
    """

    label: NDArray[np.int8]
    domain: NDArray[np.str_]
    attack_type: NDArray[np.str_]
    instrument: NDArray[np.str_]
    subject: NDArray[np.str_]
    video: NDArray[np.str_]
    frame: NDArray[np.int32]
    camera: NDArray[np.str_]
    session: NDArray[np.str_]
    split: NDArray[np.str_]
    ethnicity: NDArray[np.str_] = field(default_factory=_unknown)
    sex: NDArray[np.str_] = field(default_factory=_unknown)
    age_group: NDArray[np.str_] = field(default_factory=_unknown)
    modality: NDArray[np.str_] = field(default_factory=_unknown)

    def __post_init__(self) -> None:
        for name in OPTIONAL_COLUMNS:
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.full(len(self.label), ""))
        lengths = {len(column) for column in self.columns().values()}
        if len(lengths) != 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")
        for column in self.columns().values():
            column.flags.writeable = False

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> FaceIndex:
        """Build an index from sequences by column name, copying them to the right types.

        Optional columns may be missing. Subjects come in Unicode's composed form, so that a person whose name was typed
        in two ways is one.
        """
        kinds: dict[str, Any] = {"label": np.int8, "frame": np.int32}
        names = [name for name in INDEX_COLUMNS if name in columns or name not in OPTIONAL_COLUMNS]
        found = {name: np.array(columns[name], dtype=kinds.get(name, np.str_)) for name in names}
        return cls(**found | {"subject": canonical_array(found["subject"])})

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns by name."""
        return {column.name: getattr(self, column.name) for column in fields(self)}

    def known_columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns by name, without the optional ones in which no row has a value."""
        return {name: c for name, c in self.columns().items() if name not in OPTIONAL_COLUMNS or (c != "").any()}

    def take(self, rows: NDArray[np.int64]) -> FaceIndex:
        """Return the index of the given rows, in their order."""
        return FaceIndex(**{name: column[rows] for name, column in self.columns().items()})
