"""The vocabulary: what a face record holds, column by column.

A **record** is one row of a Parquet face shard: a square face crop and all that is known of it.

The columns in :data:`OPTIONAL_COLUMNS` are in a shard only if one of its rows has a value there; read from any other
shard, those of earlier releases included, they are empty, which means unknown.
"""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

LIVE, SPOOF = 1, 0
"""Labels: 1 = bona fide (live), 0 = attack presentation (spoof)."""

ATTACK_TYPES = ("live", "print", "replay", "mask", "other", "partial", "makeup")
"""Presentation attack instrument species, coarse; ``live`` for bona fide rows.

``partial`` covers a part of the face alone (printed glasses, a strip of paper, a mouth); ``makeup`` is cosmetics that
imitate or hide somebody. A position here is a number in ``Draw.attack_type``: new words go to the end.
"""

SPLITS = ("train", "dev", "test")

DEPTH_SIZE = 32
PARSING_SIZE = 64
PARSING_CLASSES = (
    "background",
    "skin",
    "brow",
    "eye",
    "nose",
    "lip",
    "mouth",
    "hair",
    "neck",
    "cloth",
    "glasses",
)
FACE_CLASSES = (1, 2, 3, 4, 5, 6, 10)
"""Parsing classes that belong to the face proper."""

RECORD_SCHEMA = pa.schema(
    [
        pa.field("image", pa.binary(), nullable=False),  # JPEG q95 4:4:4 of a square crop with margin
        pa.field("label", pa.int8(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),  # one dataset = one domain, e.g. O, C, I, M
        pa.field("attack_type", pa.string(), nullable=False),  # one of ATTACK_TYPES
        pa.field("instrument", pa.string(), nullable=False),  # finer: printer1, ipad_video ...; "" if live or unknown
        pa.field("subject", pa.string(), nullable=False),  # unique over all domains
        pa.field("video", pa.string(), nullable=False),  # unique over all domains
        pa.field("frame", pa.int32(), nullable=False),  # index in the video; (video, frame) is the record's key
        pa.field("camera", pa.string(), nullable=False),
        pa.field("session", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),  # one of SPLITS
        pa.field("depth", pa.binary(DEPTH_SIZE * DEPTH_SIZE), nullable=False),  # uint8, near = 255, zeros for spoof
        pa.field("parsing", pa.binary(PARSING_SIZE * PARSING_SIZE), nullable=False),  # class ids, zeros for spoof
        pa.field("landmarks5", pa.list_(pa.float32(), 10)),  # x,y of both eyes, nose, mouth corners, crop pixels
        pa.field("crop_matrix", pa.list_(pa.float32(), 6)),  # 2x3, frame pixels -> crop pixels, row-major
        pa.field("detection_score", pa.float32()),
        pa.field("source_path", pa.string(), nullable=False),  # relative to the corpus
        pa.field("sha256", pa.string(), nullable=False),  # of the image bytes
        pa.field("label_source", pa.string(), nullable=False),  # who made depth and parsing: "exact", "mesh468" ...
        pa.field("ethnicity", pa.string(), nullable=False),  # as the corpus groups people; "" if unknown
        pa.field("sex", pa.string(), nullable=False),  # as the corpus has it; "" if unknown
        pa.field("age_group", pa.string(), nullable=False),  # as the corpus groups ages; "" if unknown
        pa.field("modality", pa.string(), nullable=False),  # what the camera sees: rgb, ir, depth; "" if not said
    ]
)

OPTIONAL_COLUMNS = ("ethnicity", "sex", "age_group", "modality")
"""What many corpora do not say; empty means unknown."""

INDEX_COLUMNS = (
    "label", "domain", "attack_type", "instrument", "subject", "video", "frame", "camera", "session", "split",
    *OPTIONAL_COLUMNS,
)  # fmt: skip
"""What a pool holds in addition to the pixels: all that protocols, samplers and score files need."""


def schema_with(optional: Collection[str]) -> pa.Schema:
    """Return the schema of a shard that has these of the optional columns."""
    absent = set(OPTIONAL_COLUMNS) - set(optional)
    return pa.schema([field for field in RECORD_SCHEMA if field.name not in absent])


def values_known(table: pa.Table) -> tuple[str, ...]:
    """Return the optional columns of a table in which some row has a value."""
    return tuple(name for name in OPTIONAL_COLUMNS if any(table.column(name).unique().to_pylist()))


def with_unknown(table: pa.Table) -> pa.Table:
    """Return a table with every optional column, empty where it had none."""
    for name in OPTIONAL_COLUMNS:
        if name not in table.column_names:
            table = table.append_column(RECORD_SCHEMA.field(name), pa.array([""] * table.num_rows))
    return table
