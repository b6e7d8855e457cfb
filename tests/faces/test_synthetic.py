"""The generated set: a pure function of its settings, exact labels for live faces, splits and protocols that work."""

import itertools
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from fasray.errors import DataError, SpecError
from fasray.faces import corpora, jpeg
from fasray.faces.corpora.named import NamedCorpus
from fasray.faces.record import FACE_CLASSES, PARSING_CLASSES
from fasray.faces.sets.manifest import read_manifest
from fasray.faces.sets.overview import stats
from fasray.faces.sets.reading import read_index
from fasray.faces.sets.verify import verify
from fasray.faces.synthetic import DEFAULT, DEFAULT_DIAL, DEFAULT_SEED, SyntheticSettings, generate
from fasray.faces.synthetic.camera import Camera, capture
from fasray.faces.synthetic.card import CARD_NAME
from fasray.faces.synthetic.corpus import split_of
from fasray.faces.synthetic.domains import ALL_DOMAINS, ATTACKS, DOMAIN_NAMES, domain_at
from fasray.faces.synthetic.head import draw_expression, draw_head
from fasray.faces.synthetic.identity import draw_identity, in_group, person_of
from fasray.faces.synthetic.media import Makeup, Mask, Partial
from fasray.faces.synthetic.raster import rgb
from fasray.faces.synthetic.subject import Shoot, subject_records
from fasray.faces.synthetic.worn import wear


def rows_of(folder):
    return [row for s in read_manifest(str(folder)).shards for row in pq.read_table(folder / s.name).to_pylist()]


def map_of(row, name, size):
    return np.frombuffer(row[name], np.uint8).reshape(size, size)


def test_the_same_seed_gives_the_same_bytes_from_one_and_two_processes(tmp_path):
    calls = []
    for processes in (1, 2):
        generate(
            str(tmp_path / str(processes)),
            subjects=2,
            domains="CM",
            image_size=32,
            processes=processes,
            progress=lambda done, total: calls.append((done, total)),
        )
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / n).iterdir()} for n in "12")
    assert one == two
    assert calls == [(n, 4) for n in (1, 2, 3, 4)] * 2


def test_seed_and_dial_change_the_pixels_and_more_subjects_do_not(tmp_path, made_once):
    options: dict[str, Any] = {"subjects": 1, "domains": "O", "image_size": 48, "processes": 1}
    first = rows_of(made_once)[:24]
    generate(str(tmp_path / "same"), **options)
    assert [row["image"] for row in rows_of(tmp_path / "same")] == [row["image"] for row in first]
    generate(str(tmp_path / "seed"), **options, seed=DEFAULT_SEED + 1)
    generate(str(tmp_path / "dial"), **options, dial=0.0)
    for other in ("seed", "dial"):
        images = [row["image"] for row in rows_of(tmp_path / other)]
        assert all(a != b["image"] for a, b in zip(images, first, strict=True) if b["label"] == 0)


def test_adding_mask_attacks_leaves_the_others_as_they_were(tmp_path, made_once):
    attacks = ("print", "replay", "mask")
    generate(str(tmp_path), subjects=1, domains="O", image_size=48, processes=1, attacks=attacks)
    rows = rows_of(tmp_path)
    masks = [row for row in rows if row["attack_type"] == "mask"]
    assert [row["image"] for row in rows if row not in masks] == [row["image"] for row in rows_of(made_once)[:24]]
    assert {(row["instrument"], row["label"], any(row["depth"])) for row in masks} == {("mask1", 0, False)}
    assert len(masks) == 6


def test_worn_attacks_differ_from_the_live_face_where_they_are_worn_and_leave_the_others_as_they_were(
    tmp_path, made_once
):
    attacks = ("print", "replay", "mask", "partial", "makeup")
    generate(str(tmp_path / "set"), subjects=1, domains="O", image_size=48, processes=1, attacks=attacks)
    rows = rows_of(tmp_path / "set")
    worn = [row for row in rows if row["attack_type"] in ("partial", "makeup")]
    plain = [row["image"] for row in rows if row["attack_type"] in ("live", "print", "replay")]
    assert plain == [row["image"] for row in rows_of(made_once)[:24]]
    assert {(row["label"], any(row["depth"]), any(row["parsing"])) for row in worn} == {(0, False, False)}
    assert {row["instrument"] for row in worn} == {"partial1", "partial2", "partial3", "makeup1"}
    assert "Partial attacks" in (tmp_path / "set" / CARD_NAME).read_text()
    who = draw_identity(np.random.default_rng(3))
    head = draw_head(replace(who, glasses=False), draw_expression(np.random.default_rng(4)), 96)
    changed = {
        medium: np.abs(wear(head, medium).albedo - head.albedo).max(2) > 0.02
        for medium in (Partial("glasses"), Partial("mouth"), Makeup(), Mask(), Mask(soft=True))
    }
    eyes, lips = head.parts == PARSING_CLASSES.index("eye"), head.parts == PARSING_CLASSES.index("lip")
    assert changed[Partial("glasses")][eyes].mean() > 0.5 > 0 == changed[Partial("glasses")][lips].mean()
    assert changed[Partial("mouth")][lips].mean() > 0.5 > 0 == changed[Partial("mouth")][eyes].mean()
    assert all(
        not where[head.parts == PARSING_CLASSES.index("cloth")].any()
        for medium, where in changed.items()
        if not isinstance(medium, Mask)
    )


def test_people_are_in_groups_that_their_records_name_and_that_no_split_or_other_group_decides(tmp_path):
    people = [person_of(number) for number in range(1, 19)]
    assert len(set(people)) == 18
    generate(str(tmp_path), subjects=6, domains="CeFA", image_size=32, processes=1, people=True, attacks=("mask",))
    index = read_index(str(tmp_path))
    first = np.unique(index.subject, return_index=True)[1]
    assert [(index.ethnicity[row], index.sex[row], index.age_group[row]) for row in first] == [
        (person.ethnicity, person.sex, person.age_group) for person in people[:6]
    ]
    assert verify(str(tmp_path)) == []
    counted = {(group.column, group.value): (group.subjects, group.videos) for group in stats(str(tmp_path)).groups}
    assert counted["sex", "female"] == (3, 18)
    assert {column for column, _ in counted} == {"ethnicity", "sex", "age_group"}
    rng = np.random.default_rng(0)
    looks = [in_group(draw_identity(np.random.default_rng(n)), person, rng) for n, person in enumerate(people)]
    by_skin = sorted(range(18), key=lambda at: looks[at].melanin)
    assert {people[at].ethnicity for at in by_skin[-6:]} == {"group3"}
    assert all(look.beard == 0 for look, person in zip(looks, people, strict=True) if person.sex == "female")
    assert {look.hair_colour == (0.3, 0.3, 0.3) for look, p in zip(looks, people, strict=True) if p.age_group == "old"}


def test_a_domain_of_another_name_is_seen_by_other_cameras_with_a_shortcut_of_its_own(tmp_path):
    generate(str(tmp_path), subjects=3, domains="SURF,WMCA", image_size=32, processes=1)
    index = read_index(str(tmp_path))
    assert set(zip(index.domain.tolist(), index.split.tolist(), strict=True)) == set(
        itertools.product(("SURF", "WMCA"), ("train", "dev", "test"))
    )
    shortcuts = {
        (medium.exposure_bias, medium.colour_bias)
        for name in ALL_DOMAINS
        for attack in ATTACKS
        for medium in domain_at(name, 1).media(attack)
    }
    assert len(shortcuts) == len(ALL_DOMAINS)
    assert len({domain_at(name, 0).cameras for name in ALL_DOMAINS}) == len(ALL_DOMAINS)


def test_every_subject_has_three_sessions_of_live_print_and_replay(made_once):
    index = read_index(str(made_once))
    assert len(index) == 2 * 3 * 24
    for subject in set(index.subject.tolist()):
        rows = index.subject == subject
        videos = Counter(zip(index.session[rows].tolist(), index.attack_type[rows].tolist(), strict=True))
        assert videos == {(s, a): 4 if a == "live" else 2 for s in "123" for a in ("live", "print", "replay")}
    assert "O003-s1-print" in index.video


def test_live_faces_have_depth_and_parsing_and_attacks_have_neither(made_once):
    for row in rows_of(made_once):
        depth, parsing = map_of(row, "depth", 32), map_of(row, "parsing", 64)
        if row["label"]:
            assert 100 < depth.max() <= 255
            assert depth[0].max() == 0
            assert {PARSING_CLASSES.index(name) for name in ("skin", "eye", "nose")} <= set(parsing.ravel().tolist())
            face = np.isin(parsing, FACE_CLASSES)[::2, ::2]
            assert (face == (depth > 25)).mean() > 0.94, "depth and parsing show the same face"
            assert depth[parsing[::2, ::2] == PARSING_CLASSES.index("nose")].mean() > depth[face].mean()
        else:
            assert not depth.any()
            assert not parsing.any()


def test_images_are_square_colour_pictures_and_not_flat(made_once):
    for row in rows_of(made_once)[::5]:
        image = jpeg.decode(row["image"])
        assert image.shape == (48, 48, 3)
        assert image.std() > 15


def test_a_camera_keeps_red_red():
    red = np.zeros((40, 40, 3), np.float32) + rgb(0.5, 0.05, 0.05)
    crop = rgb(1, 0, 0, 0, 1, 0).reshape(2, 3)
    image = capture(red, Camera("any"), crop, 32, np.random.default_rng(0)).reshape(-1, 3).mean(0)
    assert image[0] > image[1] + 50
    assert image[0] > image[2] + 50


@pytest.mark.parametrize("subjects", [3, 4, 24, 55])
def test_splits_follow_the_real_sets_and_none_is_empty(subjects):
    for name in DOMAIN_NAMES:
        domain = domain_at(name, DEFAULT_DIAL)
        splits = Counter(split_of(domain, number, subjects) for number in range(1, subjects + 1))
        wanted = {s: w for s, w in zip(("train", "dev", "test"), domain.split_shares, strict=True) if w}
        assert set(splits) == set(wanted)
        for split, share in wanted.items():
            assert abs(splits[split] - share * subjects / sum(domain.split_shares)) <= 1
    assert {name for name in DOMAIN_NAMES if domain_at(name, 0).split_shares[1]} == {"O", "I"}


@pytest.mark.parametrize("name", ["casia-surf", "cefa", "hifimask", "suhifimask", "siw-mv2", "3dmad", "wmca"])
def test_a_domain_called_after_a_corpus_has_the_proportions_of_its_splits(name):
    corpus = corpora.get(name)
    everyone = corpus.examples()
    if name == "casia-surf":  # one live video a person
        published = {split: live for split, (live, _) in corpus.published().items()}
    else:
        if name == "wmca":
            assert isinstance(corpus, NamedCorpus)
            paths = (f"R_CDIT/{client:03d}_01_000_0_00" for client in range(1000))
            everyone = tuple(filter(None, map(corpus.parse, paths)))
        published = Counter(split for split, _ in {(video.split, video.subject) for video in everyone})
    shares = dict(zip(("train", "dev", "test"), domain_at(corpus.domain, 0).split_shares, strict=True))
    assert {split: share for split, share in shares.items() if share} == dict(published)


def test_domain_o_allows_protocols_by_session_phone_and_instrument():
    shoot = Shoot(seed=1, image_size=32, sessions=3, live_frames=1, attack_frames=1, attacks=())
    domain = domain_at("O", 0.5)
    meetings = set()
    for number in range(16, 25):  # the test split of 24 subjects
        assert split_of(domain, number, 24) == "test"
        for session in range(1, 4):
            meetings.add((domain.cameras[(number + session) % 3].name, session))
    assert len(meetings) == 9, "every phone in every session"
    records = list(subject_records(domain, 1, "train", shoot))
    assert [row["camera"] for row in records] == ["phone3", "phone1", "phone2"]


def test_every_phone_meets_every_instrument_in_the_last_session_of_the_test_split(tmp_path):
    # the hardest cell of OULU-NPU's protocol 4: one phone, one session, one instrument a species
    generate(str(tmp_path), domains="O", image_size=32)
    index = read_index(str(tmp_path))
    for split in ("train", "dev", "test"):
        rows = (index.split == split) & (index.session == "3")
        for camera in ("phone1", "phone2", "phone3"):
            found = set(index.instrument[rows & (index.camera == camera)].tolist())
            assert {"print", "replay"} <= {name[:-1] for name in found}
        assert set(index.instrument[rows].tolist()) == {"", "print1", "print2", "replay1", "replay2"}


def test_the_dial_blends_every_number_between_easy_and_hard():
    for name in DOMAIN_NAMES:
        easy, half, hard = (domain_at(name, dial) for dial in (0.0, 0.5, 1.0))
        assert easy.prints[0].exposure_bias == 1.0
        assert half.prints[0].exposure_bias == pytest.approx((1 + hard.prints[0].exposure_bias) / 2)
        assert half.replays[0].colour_bias[0] == pytest.approx((1 + hard.replays[0].colour_bias[0]) / 2)
        assert hard.replays[0].grid <= half.replays[0].grid <= easy.replays[0].grid


def test_the_shortcut_points_in_different_directions():
    biases = {domain_at(n, 1).prints[0].exposure_bias > 1 for n in "OC"}
    colours = {domain_at(n, 1).prints[0].colour_bias[0] > 1 for n in "CI"}
    assert biases == colours == {True, False}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"domains": "OX"}, "domains"),
        ({"domains": "SURF,CeFa"}, "domains"),
        ({"domains": "OO"}, "domains"),
        ({"domains": ""}, "domains"),
        ({"attacks": ("prynt",)}, "attacks"),
        ({"subjects": 0}, "subjects"),
        ({"dial": 1.5}, "dial"),
        ({"dial": float("nan")}, "dial"),
        ({"image_size": 8}, "image_size"),
        ({"processes": 0}, "processes"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(tmp_path, change, where):
    with pytest.raises(SpecError) as caught:
        generate(str(tmp_path / "set"), **change)
    assert caught.value.where == where
    assert not (tmp_path / "set").exists()


def test_a_finished_set_is_refused_before_anything_is_drawn(face_set):
    calls = []
    with pytest.raises(DataError, match="already exists here"):
        generate(str(face_set), progress=lambda done, total: calls.append(done))
    assert calls == []


def test_settings_have_one_text():
    assert DEFAULT.canonical_json() == SyntheticSettings().canonical_json()
    assert SyntheticSettings(dial=1).canonical_json() == SyntheticSettings(dial=1.0).canonical_json()
    assert json.loads(DEFAULT.canonical_json())["seed"] == DEFAULT_SEED


def test_the_card_says_what_is_designed_in_and_what_scores_do_not_show(made_once):
    text = (made_once / CARD_NAME).read_text()
    assert "no evidence about real face anti-spoofing" in text
    assert "designed shortcut" in text
    assert f"dial {DEFAULT_DIAL:g}" in text
    assert all(len(line) <= 120 or line.startswith("|") for line in text.splitlines())


def test_drawing_restores_the_thread_count_of_opencv(tmp_path):
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    generate(str(tmp_path), subjects=1, domains="O", image_size=32, processes=1)
    assert cv2.getNumThreads() == 2
    cv2.setNumThreads(before)
