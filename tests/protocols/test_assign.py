"""Rows get the role that the published lists give them, and no person has two roles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_tables import domain_rows, ocim_table, oulu_table, table_of

from fasray import protocols
from fasray.errors import DataError, ProtocolError
from fasray.faces.face_index import FaceIndex


@pytest.fixture(scope="module")
def oulu() -> FaceIndex:
    return oulu_table()


def counts(table: FaceIndex, rows: np.ndarray[Any, Any]) -> tuple[int, int]:
    label = table.label[rows]
    return int((label == 1).sum()), int((label == 0).sum())


OFFICIAL = {
    "oulu-npu-1": ((240, 960), (180, 720), (120, 480)),
    "oulu-npu-2": ((360, 720), (270, 540), (360, 720)),
    **{f"oulu-npu-3.{k}": ((300, 1200), (225, 900), (60, 240)) for k in range(1, 7)},
    **{f"oulu-npu-4.{k}": ((200, 400), (150, 300), (20, 40)) for k in range(1, 7)},
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_oulu_runs_have_the_published_video_counts(name: str, oulu: FaceIndex) -> None:
    roles = protocols.parse(name).assign(oulu)
    assert tuple(counts(oulu, rows) for rows in (roles.train, roles.source_dev, roles.target)) == OFFICIAL[name]


def test_oulu_protocol_4_leaves_phone_session_and_instruments_out(oulu: FaceIndex) -> None:
    roles = protocols.parse("oulu-npu-4.3").assign(oulu)
    seen = np.concatenate([roles.train, roles.source_dev])
    assert "phone3" not in oulu.camera[seen]
    assert set(oulu.session[seen]) == {"session1", "session2"}
    assert set(oulu.instrument[seen]) == {"", "print1", "replay1"}
    assert set(oulu.camera[roles.target]) == {"phone3"}
    assert set(oulu.session[roles.target]) == {"session3"}
    assert set(oulu.instrument[roles.target]) == {"", "print2", "replay2"}
    assert roles.domains == ("O/phone1", "O/phone2", "O/phone4", "O/phone5", "O/phone6")
    for row in seen[::37]:
        assert roles.domains[roles.domain_id[row]].endswith(str(oulu.camera[row]))
    assert set(roles.domain_names(oulu)[roles.train]) == set(roles.domains)


def test_other_data_under_the_letter_o_cannot_run_oulu_protocols() -> None:
    with pytest.raises(DataError, match="camera 'webcam'"):
        protocols.parse("oulu-npu-1").assign(
            table_of([{**row, "camera": "webcam"} for row in domain_rows("O", {"train": 2, "dev": 2, "test": 2})])
        )


def test_official_dev_splits_choose_and_are_left_out_of_training_and_target() -> None:
    table = ocim_table()
    roles = protocols.parse("O&C&M->I").assign(table)
    from_o = roles.source_dev[table.domain[roles.source_dev] == "O"]
    assert set(table.split[from_o]) == {"dev"}
    assert len(from_o) == 6
    assert set(table.split[roles.train[table.domain[roles.train] == "O"]]) == {"train", "test"}
    assert set(table.split[roles.target]) == {"train", "test"}
    assert len(protocols.parse("O&C&M->I", "all").assign(table).target) == 20
    assert set(table.split[protocols.parse("O&C&M->I", "test").assign(table).target]) == {"test"}


def test_a_fifth_of_the_subjects_chooses_where_there_is_no_official_dev() -> None:
    table = ocim_table()
    roles = protocols.parse("O&C&I->M").assign(table)
    chosen = set(table.subject[roles.source_dev[table.domain[roles.source_dev] == "C"]].tolist())
    assert len(chosen) == 2
    other_target = protocols.parse("C&M->I").assign(table)
    rows = other_target.source_dev
    assert set(table.subject[rows[table.domain[rows] == "C"]].tolist()) == chosen


def test_domain_ids_follow_the_order_of_the_sources() -> None:
    table = ocim_table()
    roles = protocols.parse("M&O->C").assign(table)
    assert roles.domains == ("M", "O")
    for position, domain in enumerate(roles.domains):
        assert set(roles.domain_id[table.domain == domain]) == {position}
    assert set(roles.domain_id[np.isin(table.domain, ["C", "I"])]) == {-1}


def test_the_order_of_rows_does_not_decide_roles() -> None:
    table = ocim_table()
    order = np.random.default_rng(0).permutation(len(table))
    shuffled = table.take(order)
    one, other = protocols.parse("M&C->O").assign(table), protocols.parse("M&C->O").assign(shuffled)
    for name in ("train", "source_dev", "target"):
        assert set(table.video[getattr(one, name)]) == set(shuffled.video[getattr(other, name)])
        assert (np.diff(getattr(other, name)) > 0).all()


splits = st.fixed_dictionaries(
    {"train": st.integers(2, 7)}, optional={"dev": st.integers(1, 4), "test": st.integers(1, 4)}
)


@given(
    domains=st.fixed_dictionaries({letter: splits for letter in "OCIM"}),
    name=st.sampled_from(protocols.GROUPS["ocim"] + protocols.GROUPS["single-source"] + ("M&I->C",)),
    videos=st.integers(1, 3),
)
@settings(max_examples=60)
def test_no_person_ever_has_two_roles(domains: dict[str, dict[str, int]], name: str, videos: int) -> None:
    table = table_of([row for letter, count in domains.items() for row in domain_rows(letter, count, videos)])
    protocol = protocols.parse(name)
    roles = protocol.assign(table)
    people = [set(table.subject[rows].tolist()) for rows in (roles.train, roles.source_dev, roles.target)]
    assert all(people)
    assert not people[0] & people[1]
    assert not (people[0] | people[1]) & people[2]
    used = np.concatenate([roles.train, roles.source_dev])
    assert len(used) == np.isin(table.domain, protocol.sources).sum()
    assert set(table.domain[roles.target]) == {protocol.target}


def test_a_subject_in_two_splits_is_bad_data() -> None:
    rows = domain_rows("C", {"train": 3, "test": 3}) + domain_rows("M", {"train": 3})
    rows[1] = {**rows[1], "split": "test"}
    with pytest.raises(DataError, match="subject 'C-s00' of domain 'C' in two splits"):
        protocols.parse("C->M").assign(table_of(rows))


@pytest.mark.parametrize("domain", ["C", "M"])
def test_a_domain_with_one_class_is_bad_data(domain: str) -> None:
    rows = domain_rows("C", {"train": 3}) + domain_rows("M", {"train": 3})
    kept = [row for row in rows if row["domain"] != domain or row["attack_type"] != "live"]
    with pytest.raises(DataError, match=f"domain '{domain}' has no live faces"):
        protocols.parse("C->M").assign(table_of(kept))


def test_one_class_in_source_dev_only_is_bad_data() -> None:
    rows = domain_rows("C", {"train": 3, "dev": 2}) + domain_rows("M", {"train": 3})
    kept = [row for row in rows if row["split"] != "dev" or row["attack_type"] == "live"]
    with pytest.raises(DataError, match="source-dev rows of domain 'C' have no attack faces"):
        protocols.parse("C->M").assign(table_of(kept))


def test_a_person_in_source_and_target_is_a_leak() -> None:
    rows = domain_rows("C", {"train": 4}) + domain_rows("M", {"train": 4})
    rows = [{**row, "subject": row["subject"].split("-")[1]} for row in rows]
    with pytest.raises(ProtocolError, match=r"leak in protocol C->M: subjects 's0."):
        protocols.parse("C->M").assign(table_of(rows))


@pytest.mark.parametrize("role", ["train", "source-dev"])
def test_one_shared_person_is_enough_for_a_leak(role: str) -> None:
    rows = domain_rows("C", {"train": 3, "dev": 3}) + domain_rows("M", {"train": 4})
    shared = "C-s00" if role == "train" else "C-s03"
    rows = [{**row, "subject": shared} if row["subject"] == "M-s01" else row for row in rows]
    with pytest.raises(ProtocolError, match=f"leak in protocol C->M: subject '{shared}' in both {role} and target"):
        protocols.parse("C->M").assign(table_of(rows))


def test_a_target_without_rows_in_the_asked_split_is_refused() -> None:
    table = table_of(domain_rows("C", {"train": 4}) + domain_rows("M", {"train": 4}))
    with pytest.raises(ProtocolError, match="no target rows"):
        protocols.parse("C->M", "test").assign(table)


def test_a_source_with_one_subject_is_refused() -> None:
    table = table_of(domain_rows("C", {"train": 1}) + domain_rows("M", {"train": 4}))
    with pytest.raises(DataError, match="one subject only"):
        protocols.parse("C->M").assign(table)


def test_a_missing_domain_and_strange_values_are_named() -> None:
    rows = domain_rows("C", {"train": 3}) + domain_rows("M", {"train": 3})
    with pytest.raises(ProtocolError, match="needs domain 'O'"):
        protocols.parse("C->O").assign(table_of(rows))
    with pytest.raises(DataError, match="split 'val'"):
        protocols.parse("C->M").assign(table_of([{**row, "split": "val"} for row in rows]))
    with pytest.raises(DataError, match="neither 1"):
        protocols.parse("C->M").assign(table_of([{**row, "label": 2} for row in rows]))
