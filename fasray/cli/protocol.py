"""``fasray protocol import``: the published lists of a corpus, checked against a face set, as a file for sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from fasray.cli.addresses import ADDRESS, OUT_FILE


@click.group()
def protocol() -> None:
    """Protocols that are not rules but lists."""


@protocol.command("import")
@click.argument("lists", nargs=-1, type=ADDRESS)
@click.option(
    "--data", required=True, type=ADDRESS, metavar="SET", help="Face set that the lists are about, a folder or URI."
)
@click.option("-o", "--out", required=True, type=OUT_FILE, help="JSON file to write.")
@click.option("--name", help="Name in tables; default: that of the file.")
@click.option("--train", multiple=True, type=ADDRESS, help="A list whose name does not say that it is for training.")
@click.option("--dev", multiple=True, type=ADDRESS, help="A list that chooses steps, thresholds and configurations.")
@click.option("--test", multiple=True, type=ADDRESS, help="A list that judges.")
@click.option(
    "--shared-people", is_flag=True, help="Accept people on several sides, as some corpora's lists have them."
)
@click.option("--skip-missing", is_flag=True, help="Leave out entries that the face set does not have.")
@click.option("--drop-doubled", is_flag=True, help="Count an entry once that a list has several times.")
def import_(
    lists: tuple[str, ...],
    data: str,
    out: str,
    name: str | None,
    train: tuple[str, ...],
    dev: tuple[str, ...],
    test: tuple[str, ...],
    shared_people: bool,
    skip_missing: bool,
    drop_doubled: bool,
) -> None:
    """Check the published LISTS of a corpus against a face set, and write a protocol for sweep files.

    A list's name says its role: NAME@p1_video_train.txt. Lists of images count for their videos. Every entry that is
    wrong, missing, doubled or on two sides is named with its line.
    """
    from fasray import storage
    from fasray.errors import SpecError
    from fasray.faces.sets.known_videos import known_videos
    from fasray.protocols.list_import import ListFile, import_lists, role_of
    from fasray.protocols.lists import ENDING, ListRole

    if not out.endswith(ENDING):
        raise SpecError(f"{out!r} does not end with {ENDING}", where="--out", remedy=f"write --out {out}{ENDING}")
    roles: dict[str, ListRole] = {file: role_of(file) for file in lists}
    for role, more in zip(get_args(ListRole), (train, dev, test), strict=True):
        roles |= dict.fromkeys(more, role)
    files = [ListFile(Path(file).name, role, _text(file)) for file, role in roles.items()]
    found = import_lists(
        name or Path(out).name.removesuffix(ENDING),
        files,
        known_videos(data),
        shared_people=shared_people,
        skip_missing=skip_missing,
        drop_doubled=drop_doubled,
    )
    storage.write_bytes(out, found.lists.to_json().encode())
    counts = ", ".join(f"{len(getattr(found.lists, role))} {role}" for role in get_args(ListRole))
    click.echo(f"{out}: {found.lists.full_name}, videos: {counts}")
    for remark in found.remarks:
        click.echo(f"note: {remark}")


def _text(file: str) -> str:
    from fasray import storage
    from fasray.errors import DataError

    try:
        return storage.read_bytes(file).decode()
    except UnicodeDecodeError as error:
        raise DataError("this is not a text file", where=file, remedy="name a list, one entry a line") from error
