"""Inner protocols: a source domain is left out and judges, and the target has no part."""

from __future__ import annotations

import numpy as np
import pytest
from protocol_tables import ocim_table
from sweep_fixtures import make_table

from fasray.errors import ProtocolError
from fasray.protocols import outer_name, parse
from fasray.protocols.crossing import TargetSplit


@pytest.mark.parametrize("split", ["train+test", "all", "test"])
def test_the_others_train_and_the_domain_left_out_judges(split: TargetSplit) -> None:
    table = make_table()
    inner = parse("O&C&I->M", split).without("C")
    roles = inner.assign(table)
    assert (inner.name, inner.domains, inner.target) == ("O&C&I->M/C", ("O", "I"), "C")
    assert set(table.domain[roles.train]) == set(table.domain[roles.source_dev]) == {"O", "I"}
    assert set(table.domain[roles.target]) == {"C"}
    plain = parse("O&I->C", split).assign(table)
    for one, other in ((roles.train, plain.train), (roles.source_dev, plain.source_dev), (roles.target, plain.target)):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("name", ["O&C&I->M", "M&I->C", "O&C&I&M->Y"])
def test_no_row_of_the_target_has_a_role(name: str) -> None:
    table = make_table(domains="OCIMY")
    outer = parse(name)
    for domain in outer.sources:
        roles = outer.without(domain).assign(table)
        used = np.concatenate([roles.train, roles.source_dev, roles.target])
        assert outer.target not in set(table.domain[used])
        assert (roles.domain_id[table.domain == outer.target] == -1).all()


def test_what_judges_a_dataset_that_trains_too_has_no_part_where_splits_divide_it() -> None:
    table, outer = ocim_table(), parse("O[split=train|dev]&C->O[split=test]")
    judged = outer.assign(table).target
    for domain in outer.sources:
        roles = outer.without(domain).assign(table)
        assert not np.isin(judged, np.concatenate([roles.train, roles.source_dev, roles.target])).any()


def test_a_name_says_all() -> None:
    inner = parse("O&C&I->M", "test").without("I")
    assert parse(inner.name, "test") == inner
    assert outer_name(inner.name) == "O&C&I->M"
    assert outer_name("O&C->I") == "O&C->I"


def test_each_protocol_has_inner_ones_of_its_own() -> None:
    inner = [parse("O&C&I->M/I"), parse("O&C&I->Y/I"), parse("C&O&I->M/I"), parse("O&C&I->M/I", "all"), parse("O&C->I")]
    assert len({protocol.fingerprint() for protocol in inner}) == len(inner)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("O&C&I->M/M", "is not among the sources"),
        ("O->M/O", "it is the only source"),
        ("oulu-npu-1/phone1", "phones of one dataset"),
        ("O&C&I->M/I/C", "an inner protocol already"),
        ("O[attack!=print]&C->O[attack=print]/C", "people of O are divided"),
        ("O[attack!=print]&C->O[attack=print]/O[attack!=print]", "people of O are divided"),
    ],
)
def test_what_has_none_is_refused(name: str, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        parse(name)
