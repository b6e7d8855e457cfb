"""Merge face sets: corpora are prepared one by one, but a protocol needs several domains in one set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fasray import storage
from fasray.errors import DataError
from fasray.faces.face_index import FaceIndex
from fasray.faces.sets.manifest import MANIFEST_NAME, Manifest, Shard, read_manifest
from fasray.faces.sets.preparations import differences
from fasray.faces.sets.reading import read_index, read_whole
from fasray.faces.sets.shards import finish_set, shard_name


def merge(
    uris: Sequence[str],
    out_uri: str,
    progress: Callable[[int, int], None] | None = None,
    *,
    allow_different: bool = False,
) -> Manifest:
    """Write the shards of several face sets, byte for byte, as one set; the sets stay as they are.

    The order of ``uris`` is the order of the rows. The card keeps the cards of all sets.

    Args:
        uris: folders or ``s3://`` prefixes of at least two sets.
        out_uri: where the new set goes.
        progress: called with (shards done, shards in all).
        allow_different: also join sets that were prepared differently; the card says in what.

    Raises:
        DataError: fewer than two sets; one is missing or damaged; they differ in the size of their crops, or in how
            they were prepared; a video is in two of them, or a subject is in two domains or splits; a set already
            exists at ``out_uri``.
    """
    if len(uris) < 2:
        raise DataError("merging needs at least two sets", where="merge", remedy="name two or more")
    storage.check_access(out_uri)
    if storage.exists(storage.join(out_uri, MANIFEST_NAME)):
        remedy = "choose another place, or delete it first"
        raise DataError("a face set already exists here", where=out_uri, remedy=remedy)
    sets = [(uri, read_manifest(uri)) for uri in uris]
    first_uri, first = sets[0]
    for uri, manifest in sets[1:]:
        if manifest.image_size != first.image_size:
            what = f"crops of {manifest.image_size} px, those of {first_uri} have {first.image_size}"
            raise DataError(what, where=uri, remedy="prepare both with the same --image-size")
    domains = _check_disjoint([(uri, read_index(uri, manifest)) for uri, manifest in sets])
    card = _card([manifest for _, manifest in sets], domains)
    if card.get("differences") and not allow_different:
        raise DataError(
            f"the sets were prepared differently: {'; '.join(card['differences'])}",
            where=", ".join(uris),
            remedy="prepare them alike; or add --allow-different-preparation, and plan, tables and report will say so",
        )
    shards: list[Shard] = []
    documents: dict[str, bytes] = {}
    total = sum(len(manifest.shards) for _, manifest in sets)
    for number, (uri, manifest) in enumerate(sets):
        for shard in manifest.shards:
            data = read_whole(uri, shard)
            name = shard_name(len(shards))
            storage.write_bytes(storage.join(out_uri, name), data)
            shards.append(shard.model_copy(update={"name": name}))
            if progress is not None:
                progress(len(shards), total)
        for document in manifest.documents:
            name = f"{number + 1}-{'-'.join(domains[number])}-{document.name}"
            documents[name] = read_whole(uri, document)
    return finish_set(out_uri, shards, card, image_size=first.image_size, documents=documents)


def _check_disjoint(indexes: list[tuple[str, FaceIndex]]) -> list[list[str]]:
    """Return the domains of every set; refuse videos in two sets, and subjects in two domains or splits."""
    videos: dict[str, int] = {}
    people: dict[str, tuple[str, str, str]] = {}
    spelled: dict[tuple[str, str], str] = {}
    for number, (uri, index) in enumerate(indexes):
        for video in dict.fromkeys(index.video.tolist()):
            if videos.setdefault(video, number) != number:
                what = f"video {video!r} is also in {indexes[videos[video]][0]}"
                raise DataError(what, where=uri, remedy="name each set once, or leave the video out of one of them")
        rows = zip(index.subject.tolist(), index.domain.tolist(), index.split.tolist(), strict=True)
        for subject, domain, split in dict.fromkeys(rows):
            before = f"{domain}-{subject.removeprefix(f'{domain}/')}" if subject.startswith(f"{domain}/") else subject
            other = spelled.setdefault((domain, before), subject)
            if other != subject:
                what = f"subject {subject!r} is {other!r} in another set, which an earlier release prepared"
                raise DataError(what, where=uri, remedy="prepare both with this release")
            seen = people.setdefault(subject, (domain, split, uri))
            if seen[:2] != (domain, split):
                there = f"domain {seen[0]}, split {seen[1]} of {seen[2]}"
                what = f"subject {subject!r} is in domain {domain}, split {split}, and in {there}"
                raise DataError(what, where=uri, remedy="a person has one domain and split; rename or leave out one")
    return [list(dict.fromkeys(index.domain.tolist())) for _, index in indexes]


def _card(sets: list[Manifest], domains: list[list[str]]) -> dict[str, Any]:
    crops = [manifest.card.get("crop") for manifest in sets]
    card = {
        "kind": "merged",
        "sets": [
            {"domains": names, "hash": manifest.hash, "card": manifest.card}
            for manifest, names in zip(sets, domains, strict=True)
        ],
        **({"crop": crops[0]} if crops[0] and all(crop == crops[0] for crop in crops) else {}),
    }
    found = differences(card)
    return card | {"differences": list(found)} if found else card
