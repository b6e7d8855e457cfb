"""Names and groups become protocols; wrong names are told apart and answered with a remedy."""

from __future__ import annotations

import pytest

from fasray import protocols
from fasray.errors import ProtocolError, SpecError

ALL = "OCIMY"


def test_groups_are_the_literatures_lists() -> None:
    assert protocols.GROUPS["ocim"] == ("O&C&I->M", "O&M&I->C", "O&C&M->I", "I&C&M->O")
    assert protocols.GROUPS["limited-source"] == ("M&I->C", "M&I->O")
    sizes = {group: len(members) for group, members in protocols.GROUPS.items()}
    assert sizes == {
        "ocim": 4, "limited-source": 2, "single-source": 12, "cimy": 4,
        "oulu-npu": 14, "oulu-npu-3": 6, "oulu-npu-4": 6, "wcs": 3, "one-source-12": 12, "celeba-7": 1,
        "five-shot": 4, "siw-mv2-2": 14, "cefa": 8, "cefa-1": 3, "cefa-2": 2, "cefa-4": 3, "hifimask-2": 3,
        "leave-attack-out": 5,
    }  # fmt: skip
    assert {protocols.parse(name).target for name in protocols.GROUPS["cimy"]} == set("CIMY")
    assert len(set(protocols.names())) == len(protocols.names()) == 70


def test_every_registered_name_parses_to_itself_and_is_listed() -> None:
    assert [protocols.parse(name).name for name in protocols.names()] == protocols.names()
    listed = ["siw-mv2-3", "hifimask-3", "uniattack-1", "uniattack-2.1", "uniattack-2.2"]
    assert [line.name for line in protocols.describe()] == [*protocols.names(), *listed]
    assert all("fasray protocol import" in line.note for line in protocols.describe() if line.name in listed)


def test_resolve_expands_groups_and_names_each_protocol_once() -> None:
    found = protocols.resolve(["O&C&I->M", "ocim", "M & I -> C", "limited-source"], ALL)
    assert [p.name for p in found] == ["O&C&I->M", "O&M&I->C", "O&C&M->I", "I&C&M->O", "M&I->C", "M&I->O"]
    assert [p.group for p in found] == ["ocim"] * 4 + ["limited-source"] * 2


def test_source_order_is_kept_for_domain_ids() -> None:
    assert protocols.parse("M&O->C").sources == ("M", "O")
    assert protocols.parse("M&O->C").group == "custom"


def test_a_protocol_over_other_domains_of_the_data_is_accepted() -> None:
    (found,) = protocols.resolve(["lab-1&lab_2->street"], ["lab-1", "lab_2", "street"])
    assert (found.sources, found.target) == (("lab-1", "lab_2"), "street")


@pytest.mark.parametrize(
    ("name", "remedy"), [("ocmi", "'ocim'"), ("oulu-npu-5", "oulu-npu-"), ("O&C&I-M", "O&C&I->M"), ("", "choose one")]
)
def test_an_unknown_protocol_is_answered_with_a_near_one(name: str, remedy: str) -> None:
    with pytest.raises(ProtocolError, match="no protocol") as error:
        protocols.resolve([name], ALL)
    assert remedy in error.value.remedy


@pytest.mark.parametrize("name", ["O&->M", "->M", "O->", "O&C->M->I", "O&<script>->M", "O&C,I->M"])
def test_a_malformed_name_is_a_spec_error(name: str) -> None:
    with pytest.raises(SpecError, match="not a protocol"):
        protocols.parse(name)


def test_no_names_at_all_is_a_spec_error() -> None:
    with pytest.raises(SpecError, match="no protocol is named"):
        protocols.resolve([], ALL)


@pytest.mark.parametrize(("name", "said"), [("O&O->M", "twice"), ("O&M->M", "among its sources")])
def test_repeated_sources_and_a_seen_target_are_refused(name: str, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        protocols.parse(name)


def test_a_domain_that_the_data_lacks_is_named() -> None:
    with pytest.raises(ProtocolError, match="needs domain 'Y'") as error:
        protocols.resolve(["cimy"], "OCIM")
    assert "C, I, M, O" in error.value.remedy


def test_oulu_runs_of_protocols_3_and_4_aggregate_and_report_acer() -> None:
    found = {p.name: p for p in protocols.resolve(["oulu-npu"], ["O"])}
    assert [p.aggregate for p in found.values()] == ["", ""] + ["oulu-npu-3"] * 6 + ["oulu-npu-4"] * 6
    assert {p.headline for p in found.values()} == {"acer"}
    assert [len(found[name].domains) for name in ("oulu-npu-1", "oulu-npu-3.2", "oulu-npu-4.6")] == [6, 5, 5]


def test_fingerprints_tell_rules_apart_and_nothing_else() -> None:
    prints = {name: protocols.parse(name).fingerprint() for name in protocols.names()}
    assert len(set(prints.values())) == len(prints)
    assert protocols.parse("O&C&I->M").fingerprint() == protocols.parse(" O & C & I -> M ").fingerprint()
    assert protocols.parse("C&O&I->M").fingerprint() != prints["O&C&I->M"]
    assert protocols.parse("O&C&I->M", "all").fingerprint() != prints["O&C&I->M"]
    assert protocols.parse("oulu-npu-1", "all").fingerprint() == prints["oulu-npu-1"]


def test_an_unknown_target_split_is_refused() -> None:
    with pytest.raises(SpecError, match="not a target split"):
        protocols.parse("O->C", "tset")  # type: ignore[arg-type]


def test_means_are_those_of_several_targets_of_groups_that_report_one_and_of_whole_families() -> None:
    runs = protocols.GROUPS["oulu-npu-3"]
    assert protocols.mean_rows(["ocim", "single-source"]) == {}
    assert protocols.mean_rows(["O -> C, I", "M->C"]) == {"O->C,I": ("O->C", "O->I")}
    assert protocols.mean_rows(["wcs"]) == {"wcs": protocols.GROUPS["wcs"]}
    assert protocols.mean_rows(["leave-attack-out"]) == {"leave-attack-out": protocols.GROUPS["leave-attack-out"]}
    assert protocols.mean_rows(runs[:5]) == {}
    assert protocols.mean_rows(["O->C", *runs]) == {"oulu-npu-3": runs}
    assert list(protocols.mean_rows(["oulu-npu"])) == ["oulu-npu-3", "oulu-npu-4"]
    assert protocols.mean_rows(["celeba-7"])["celeba-7"][::3] == ("CA->M", "CA->O", "CA->SURF")
