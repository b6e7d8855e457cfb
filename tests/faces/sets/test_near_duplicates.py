"""Copies of a picture are found in another domain or split, whatever a converter did to them; other people are not."""

import itertools

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from fasray.faces import jpeg
from fasray.faces.sets.manifest import read_manifest
from fasray.faces.sets.near_duplicates import MOST_BITS, NearDuplicateFinder, VideoOrigin, difference_hashes


@pytest.fixture(scope="module")
def faces(made_once):
    """48 px faces of domains O and I, rows of the set."""
    manifest = read_manifest(str(made_once))
    return [row for shard in manifest.shards for row in pq.read_table(made_once / shard.name).to_pylist()]


def place(row):
    return VideoOrigin(row["domain"], row["split"], row["video"])


def collect(pictures):
    alike = NearDuplicateFinder()
    for image, where, frame in pictures:
        alike.add(image, where, frame)
    return alike.found()


def as_is(image):
    return image


def encoded_anew(image):
    return jpeg.decode(cv2.imencode(".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 60))[1].tobytes())


def shrunk(image):
    return cv2.resize(image, (40, 40), interpolation=cv2.INTER_AREA)


def brightened(image):
    return np.clip(image * 1.06 + 3.0, 0, 255).astype(np.uint8)


def test_generated_people_do_not_look_alike(faces):
    assert collect((jpeg.decode(row["image"]), place(row), row["frame"]) for row in faces) == []


@pytest.mark.parametrize("change", [as_is, encoded_anew, shrunk, brightened])
@pytest.mark.parametrize("where", [VideoOrigin("X", "train", "copy"), VideoOrigin("O", "other", "copy")])
def test_a_copy_in_another_domain_or_split_is_found(faces, change, where):
    row = next(row for row in faces if row["domain"] == "O" and row["split"] == "train" and row["frame"] == 2)
    pictures = [(jpeg.decode(other["image"]), place(other), other["frame"]) for other in faces]
    found = collect([*pictures, (change(jpeg.decode(row["image"])), where, 7)])
    assert [(item.one, item.other, item.frame, item.other_frame) for item in found] == [(place(row), where, 2, 7)]
    assert f"videos {row['video']!r} (O, train) and 'copy'" in str(found[0])


def test_pictures_of_one_domain_and_split_may_look_alike(faces):
    image = jpeg.decode(faces[0]["image"])
    assert collect([(image, VideoOrigin("O", "train", "a"), 0), (image, VideoOrigin("O", "train", "b"), 0)]) == []


def test_a_copied_video_is_one_finding_with_its_pairs_counted(faces):
    video = [row for row in faces if row["video"] == faces[0]["video"]]
    pictures = [(jpeg.decode(row["image"]), place(row), row["frame"]) for row in video]
    copies = [(image, VideoOrigin("X", "train", "copy"), frame) for image, _, frame in pictures]
    (found,) = collect(pictures + copies)
    assert (found.bits, found.pairs >= len(video)) == (0, True)
    assert "pairs in all" in str(found)


def test_flat_pictures_are_alike_only_among_themselves():
    gray, other = np.full((48, 48, 3), 90, np.uint8), np.full((48, 48, 3), 200, np.uint8)
    ramp = np.broadcast_to(np.arange(48, dtype=np.uint8)[:, None, None] * 5, (48, 48, 3)).copy()
    places = [VideoOrigin(domain, "train", domain) for domain in "ABC"]
    found = collect([(image, where, 0) for image, where in zip((gray, other, ramp), places, strict=True)])
    assert [(item.one.video, item.other.video) for item in found] == [("A", "B")]


def test_nothing_is_alike_in_nothing():
    assert NearDuplicateFinder().found() == []


def test_every_pair_within_the_limit_of_a_band_is_found_as_by_comparing_all():
    rng = np.random.default_rng(3)
    small = rng.integers(0, 256, (400, 16, 17)).astype(np.uint8)
    near = small[:120].copy()
    for picture in near:  # a few changed pixels each: hashes a few bits apart
        picture.ravel()[rng.choice(16 * 17, 4, replace=False)] ^= 0xFF
    pictures = np.concatenate([small, near])
    hashes = difference_hashes(pictures)
    bits = np.bitwise_count(hashes[:400, None] ^ hashes[None, 400:]).sum(-1)
    wanted = {(i, j) for i, j in itertools.product(range(400), range(120)) if bits[i, j] <= 15}
    assert len(wanted) > 60
    alike = NearDuplicateFinder()
    for number, picture in enumerate(pictures):
        side = "A" if number < 400 else "B"
        alike.add(np.repeat(picture[..., None], 3, axis=2), VideoOrigin(side, "train", f"{side}{number}"), 0)
    pairs = {(item.one.video, item.other.video) for item in alike.found()}
    correlated = {
        (f"A{i}", f"B{400 + j}") for i, j in wanted if np.corrcoef(small[i].ravel(), near[j].ravel())[0, 1] >= 0.97
    }
    assert correlated <= pairs
    assert MOST_BITS < 43
