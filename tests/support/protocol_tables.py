"""Small tables to try protocols on: no images, only who was filmed where."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from fasray.faces.face_index import FaceIndex
from fasray.faces.record import OPTIONAL_COLUMNS

KINDS = (("live", ""), ("print", "print1"), ("print", "print2"), ("replay", "replay1"), ("replay", "replay2"))


def table_of(rows: list[dict[str, Any]]) -> FaceIndex:
    columns: dict[str, list[Any]] = {name: [] for name in FaceIndex.__dataclass_fields__}
    for number, row in enumerate(rows):
        attack = row.get("attack_type", "live")
        filled = {
            "attack_type": attack,
            "label": int(attack == "live"),
            "instrument": "",
            "video": f"video{number}",
            "frame": 0,
            "camera": "camera1",
            "session": "session1",
            "split": "train",
            **dict.fromkeys(OPTIONAL_COLUMNS, ""),
            **row,
        }
        for name, column in columns.items():
            column.append(filled[name])
    return FaceIndex.of(columns)


def domain_rows(domain: str, subjects_by_split: Mapping[str, int], videos: int = 1) -> list[dict[str, Any]]:
    """Rows of one domain: each subject has ``videos`` live and as many print videos."""
    rows, first = [], 0
    for split, count in subjects_by_split.items():
        for subject in range(first, first + count):
            for attack, video in itertools.product(("live", "print"), range(videos)):
                name = f"{domain}-s{subject:02d}"
                rows.append(
                    {
                        "domain": domain,
                        "subject": name,
                        "split": split,
                        "attack_type": attack,
                        "video": f"{name}-{attack}-{video}",
                    }
                )
        first += count
    return rows


def ocim_table() -> FaceIndex:
    """O and I with an official dev split, C and M without."""
    return table_of(
        domain_rows("O", {"train": 6, "dev": 3, "test": 4})
        + domain_rows("C", {"train": 4, "test": 6})
        + domain_rows("I", {"train": 3, "dev": 3, "test": 4})
        + domain_rows("M", {"train": 5, "test": 5})
    )


def oulu_table() -> FaceIndex:
    """All 4,950 videos of OULU-NPU: 55 subjects x 6 phones x 3 sessions x 5 kinds."""
    rows = []
    for subject, phone, session, kind in itertools.product(range(1, 56), range(1, 7), range(1, 4), range(5)):
        attack, instrument = KINDS[kind]
        rows.append(
            {
                "domain": "O",
                "subject": f"O-{subject:02d}",
                "split": "train" if subject <= 20 else "dev" if subject <= 35 else "test",
                "camera": f"phone{phone}",
                "session": f"session{session}",
                "attack_type": attack,
                "instrument": instrument,
                "video": f"O-{phone}_{session}_{subject:02d}_{kind + 1}",
            }
        )
    return table_of(rows)
