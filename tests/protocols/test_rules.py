"""Every named protocol and others of the grammar on random tables: roles against a plain reading of the rule."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from protocol_tables import table_of

from fasray import protocols
from fasray.errors import DataError, ProtocolError
from fasray.faces.face_index import FaceIndex
from fasray.protocols.published import SIW_MV2_ATTACKS

Row = dict[str, Any]
KINDS = {
    "SiW-Mv2": [("other", name) for name in SIW_MV2_ATTACKS],
    "CeFA": [("print", "cloth"), ("replay", "screen"), ("mask", "3d-mask")],
    "HiFiMask": [("mask", "transparent"), ("mask", "plaster"), ("mask", "resin")],
    "O": [("print", "print1"), ("print", "print2"), ("replay", "replay1"), ("replay", "replay2")],
}
OTHER_KINDS = [("print", "print1"), ("replay", "screen1"), ("mask", "")]
TEXTS = (
    "C[attack!=mask]&I->M[attack=print|replay]",
    "C[session=1|2]&I[camera=a,session!=3]->M[session=3]",
    "I[attack!=mask]->I[attack=mask]",
    "I[attack!=replay]&C->I[attack=replay,session=2|3]",
    "C[ethnicity=AF|unknown]&I->M[ethnicity!=AF|unknown]",
    "C[ethnicity=CA,ethnicity!=unknown]->M",
    "C[split=train]&I[split=dev|train]->I[split=test]",
    "C&I+CA->M,O",
    "C[camera=a]&C[camera=b]->M+2shot",
    "C&I+CA->M[attack!=mask]+3shot",
    "C->M+1shot-videos",
)
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 25))]


def random_rows(seed: int) -> list[Row]:
    """People of nine corpora, some with official splits, in an order of no meaning; every attack with every person."""
    rng, rows = np.random.default_rng(seed), []
    for domain in ("O", "C", "I", "M", "Y", "CA", "SURF", "CeFA", "WMCA", "SiW-Mv2", "HiFiMask"):
        always = domain in ("O", "I", "CeFA", "HiFiMask")
        official = always or bool(rng.integers(2))
        has_dev = official and (always or bool(rng.integers(2)))
        splits = ["train", "train", "test", "dev"][: 4 if has_dev else 3] if official else ["train"]
        for person in range(int(rng.integers(12, 16)) if domain != "O" else 8):
            split = splits[person % len(splits)]
            ethnicity = (
                ("AF", "CA", "EA")[person // 4 % 3] if domain == "CeFA" else ("AF", "CA", "EA", "")[person // 2 % 4]
            )
            kinds = [("live", ""), ("live", ""), *KINDS.get(domain, OTHER_KINDS)]
            places = range(18) if domain == "O" else rng.permutation(18)[:5]
            for place in places:
                for number, (attack, instrument) in enumerate(kinds[1:] if domain == "O" else kinds):
                    known = attack != "mask" or domain != "CeFA"
                    rows.append(
                        {
                            "domain": domain,
                            "subject": f"{domain}-{person}",
                            "split": split,
                            "attack_type": attack,
                            "instrument": instrument,
                            "ethnicity": ethnicity if known else "",
                            "camera": f"phone{1 + place % 6}" if domain == "O" else "ab"[place % 2],
                            "session": f"session{1 + place // 6}" if domain == "O" else str(1 + place % 3),
                            "video": f"{domain}-{person}-{place}-{number}",
                        }  # fmt: skip
                    )
    return [rows[place] for place in rng.permutation(len(rows))]


def rank(*words: str) -> str:
    return hashlib.sha256("|".join(words).encode()).hexdigest()


def passes(row: Row, part: str) -> bool:
    """Whether a row is of a part; a condition on attacks lets live rows pass, an empty value is ``unknown``."""
    domain, _, rest = part.partition("[")
    columns = {"attack": "attack_type", "age": "age_group"}
    for condition in filter(None, rest.rstrip("]").split(",")):
        key, values = condition.replace("!=", "=").split("=")
        if row["label"] == 1 and key in ("attack", "instrument"):
            continue
        if ((row.get(columns.get(key, key)) or "unknown") in values.split("|")) == ("!=" in condition):
            return False
    return bool(row["domain"] == domain)


def domain_of(part: str) -> str:
    return part.partition("[")[0]


def read_roles(rows: list[Row], name: str) -> dict[str, set[str]]:
    """The videos of each role, by a loop over the rule as the documentation states it."""
    left, _, right = name.partition("->")
    sources = [part for group in left.split("+") for part in group.split("&")]
    shot = right.rpartition("+")[2] if "shot" in right else ""
    targets = [part for part in (right.removesuffix(f"+{shot}") if shot else right).split(",")]
    if "[" in right:  # the only lists in brackets here have one target
        targets = [",".join(targets)]
    source_rows = [row for row in rows if any(passes(row, part) for part in sources)]
    sourced = {row["subject"] for row in source_rows}
    judged = []
    for part in targets:
        both = domain_of(part) in map(domain_of, sources)
        unseen = kept_from_training(rows, domain_of(part)) | {row["subject"] for row in rows} - sourced
        free = "split" in part
        judged += [
            row
            for row in rows
            if passes(row, part) and (free or (row["subject"] in unseen if both else row["split"] != "dev"))
        ]
    for part in sources:
        if domain_of(part) in map(domain_of, targets) and "split" not in part:
            kept = kept_from_training(rows, domain_of(part))
            source_rows = [row for row in source_rows if row["subject"] not in kept]
    dev = []
    for domain in set(map(domain_of, sources)):
        own = [row for row in source_rows if row["domain"] == domain]
        people = sorted({row["subject"] for row in own}, key=lambda person: rank(domain, person))
        few = people[: max(1, round(len(people) / 5))]
        official = any(row["split"] == "dev" for row in own)
        dev += [row["video"] for row in own if (row["split"] == "dev" if official else row["subject"] in few)]
    train = [row["video"] for row in source_rows if row["video"] not in dev]
    if shot:
        chosen = shots_of(judged, domain_of(targets[0]), int(shot.split("shot")[0]))
        train += [row["video"] for row in chosen]
        key = "video" if "videos" in shot else "subject"
        judged = [row for row in judged if row[key] not in {one[key] for one in chosen}]
    return {"train": set(train), "source-dev": set(dev), "target": {row["video"] for row in judged}}


def kept_from_training(rows: list[Row], domain: str) -> set[str]:
    own = [row for row in rows if row["domain"] == domain]
    if {"train", "test"} <= {row["split"] for row in own}:
        return {row["subject"] for row in own if row["split"] == "test"}
    people = sorted({row["subject"] for row in own}, key=lambda person: rank(domain, person), reverse=True)
    return set(people[: max(1, round(0.3 * len(people)))])


def shots_of(rows: list[Row], domain: str, count: int) -> list[Row]:
    chosen = []
    for label in (1, 0):
        left = [row for row in rows if row["label"] == label]
        taken: dict[str, int] = {}
        for _ in range(count):  # of those with the fewest so far the first person, and the first of its videos
            best = min(
                left,
                key=lambda row: (
                    taken.get(row["subject"], 0),
                    rank(domain, row["subject"]),
                    rank(domain, row["video"]),
                ),  # fmt: skip
            )
            left.remove(best)
            taken[best["subject"]] = taken.get(best["subject"], 0) + 1
            chosen.append(best)
    return chosen


def read_oulu(rows: list[Row], name: str) -> dict[str, set[str]]:
    number, _, phone = name.removeprefix("oulu-npu-").partition(".")

    def seen(row: Row, judged: bool) -> bool:
        instrument = row["instrument"][-1:] or ("2" if judged else "1")
        return all(
            (
                number not in "14" or (row["session"] == "session3") == judged,
                number not in "24" or (instrument == "2") == judged,
                number not in "34" or (row["camera"] == f"phone{phone}") == judged,
            )
        )

    own = [row for row in rows if row["domain"] == "O"]
    return {
        role: {row["video"] for row in own if row["split"] == split and seen(row, role == "target")}
        for role, split in (("train", "train"), ("source-dev", "dev"), ("target", "test"))
    }


def assigned(table: FaceIndex, name: str) -> dict[str, set[str]]:
    roles = protocols.parse(name).assign(table)
    rows = {"train": roles.train, "source-dev": roles.source_dev, "target": roles.target}
    return {role: set(table.video[found].tolist()) for role, found in rows.items()}


@pytest.fixture(scope="module", params=SEEDS)
def made(request: pytest.FixtureRequest) -> tuple[list[Row], FaceIndex]:
    rows = random_rows(request.param)
    rows = [{**row, "label": int(row["attack_type"] == "live")} for row in rows]
    return rows, table_of(rows)


def test_every_registered_protocol_is_its_rule(made: tuple[list[Row], FaceIndex]) -> None:
    rows, table = made
    for name in protocols.names():
        protocol = protocols.parse(name)
        text = f"{'&'.join(protocol.sources)}->{protocol.target}" if "->" not in name else name
        wanted = read_oulu(rows, name) if protocol.oulu else read_roles(rows, text)
        assert assigned(table, name) == wanted, name


@pytest.mark.parametrize("text", TEXTS)
def test_what_the_grammar_writes_is_its_rule(made: tuple[list[Row], FaceIndex], text: str) -> None:
    rows, table = made
    assert assigned(table, text) == read_roles(rows, text)


def test_no_person_has_two_roles_and_no_order_of_rows_counts(made: tuple[list[Row], FaceIndex]) -> None:
    _, table = made
    order = np.random.default_rng(1).permutation(len(table))
    shuffled = table.take(order)
    for name in [*TEXTS, *protocols.names()]:
        roles = protocols.parse(name).assign(table)
        train = np.setdiff1d(roles.train, roles.shots) if "-videos" in name else roles.train
        people = [set(table.subject[rows].tolist()) for rows in (train, roles.source_dev, roles.target)]
        assert all(people)
        assert not people[0] & people[1], name
        assert not (people[0] | people[1]) & people[2], name
        assert not set(table.video[roles.train].tolist()) & set(table.video[roles.target].tolist())
        assert assigned(shuffled, name) == assigned(table, name)


def test_shots_train_as_a_domain_of_their_own_and_choose_nothing(made: tuple[list[Row], FaceIndex]) -> None:
    _, table = made
    roles = protocols.parse("C&I+CA->M[attack!=mask]+3shot").assign(table)
    assert roles.domains == ("C", "I", "CA", "M[attack!=mask]+3shot")
    assert set(roles.domain_id[roles.shots].tolist()) == {3} == set(roles.domain_id.tolist()) - {-1, 0, 1, 2}
    assert set(roles.shots.tolist()) <= set(roles.train.tolist())
    assert [int((table.label[roles.shots] == label).sum()) for label in (1, 0)] == [3, 3]
    assert len(set(table.subject[roles.shots].tolist())) == 3
    assert "mask" not in table.attack_type[roles.shots]
    assert (len(roles.sealed().target), len(roles.sealed().shots)) == (0, 6)


def test_the_people_of_shots_are_judged_only_where_the_name_says_so(made: tuple[list[Row], FaceIndex]) -> None:
    _, table = made
    honest, usual = (protocols.parse(f"C->M+2shot{rule}").assign(table) for rule in ("", "-videos"))
    assert np.array_equal(honest.shots, usual.shots)
    seen = set(table.subject[usual.shots].tolist())
    assert not seen & set(table.subject[honest.target].tolist())
    assert seen <= set(table.subject[usual.target].tolist())
    assert protocols.parse("C->M+2shot").marks == ("2-shot",)
    assert protocols.parse("C+CA->M+2shot-videos").marks == ("+CA", "2-shot, whose people are judged")


UNKNOWN: dict[str, Callable[[Row], bool]] = {
    "C[ethnicity=AF]->M": lambda row: row["ethnicity"] == "",
    "C[ethnicity!=AF]->M": lambda row: row["ethnicity"] == "",
    "C[ethnicity!=AF,session=1]->M": lambda row: row["ethnicity"] == "" and row["session"] == "1",
    "C[instrument=print1]->M": lambda row: row["instrument"] == "" and row["attack_type"] == "mask",
}


@pytest.mark.parametrize("text", UNKNOWN)
def test_an_unknown_value_that_decides_is_refused_with_the_number_of_rows(
    made: tuple[list[Row], FaceIndex], text: str
) -> None:
    rows, table = made
    own = [row for row in rows if row["domain"] == "C"]
    count = sum(map(UNKNOWN[text], own))
    with pytest.raises(DataError, match=f"of {count} of the {len(own)} rows of C is unknown") as error:
        protocols.parse(text).assign(table)
    assert "|unknown" in error.value.remedy
    protocols.parse("C[instrument=print1,attack!=mask]->M").assign(table)  # decided by the other condition


def test_columns_that_a_table_does_not_have_are_unknown() -> None:
    class Bare:
        def __init__(self, table: FaceIndex) -> None:
            columns = table.columns()
            for name in ("label", "domain", "attack_type", "instrument", "subject", "video", "frame"):
                setattr(self, name, columns[name])
            self.camera, self.session, self.split = columns["camera"], columns["session"], columns["split"]

    table: Any = Bare(table_of(random_rows(0)))
    with pytest.raises(ProtocolError, match="no row of C has sex 'male'") as error:
        protocols.parse("C[sex!=male|unknown]&I->M").assign(table)
    assert "unknown in every row" in error.value.remedy
    assert len(protocols.parse("C[sex=unknown]&I->M").assign(table).train)


def test_a_value_that_no_row_has_is_a_slip_and_not_an_empty_filter(made: tuple[list[Row], FaceIndex]) -> None:
    _, table = made
    with pytest.raises(ProtocolError, match="no row of C has attack 'masks'") as error:
        protocols.parse("C[attack!=masks]->M").assign(table)
    assert "'mask'" in error.value.remedy


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("C&C[attack=print]->M", "rows are in both of its sources C and C"),
        ("I[split=train|dev|test]->I[split=test]", "leak in protocol"),
        ("I[split=test]->I[attack=mask]", "leak in protocol"),
        ("C[attack=print]->M[split=dev]", "has no target rows"),
        ("C[attack=print]->I[split=test],M[split=dev]", r"print\]->M\[split=dev\] has no target rows"),
    ],
)
def test_what_would_leak_or_cannot_be_judged_is_refused(text: str, says: str) -> None:
    rows = [row for row in random_rows(0) if not (row["domain"] == "M" and row["split"] == "dev")]
    for row in rows:
        if row["domain"] == "I":
            row["split"] = ("train", "dev", "test")[int(row["subject"].split("-")[1]) % 3]
    with pytest.raises(ProtocolError, match=says):
        protocols.parse(text).assign(table_of(rows))


def test_more_shots_than_there_are_videos_are_refused(made: tuple[list[Row], FaceIndex]) -> None:
    with pytest.raises(DataError, match="1000 live videos of M cannot join"):
        protocols.parse("C->M+1000shot").assign(made[1])
