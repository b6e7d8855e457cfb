"""How protocols are written in a sweep file: what a text means, and what is said of one that means nothing."""

from __future__ import annotations

import pytest

from fasray.errors import ProtocolError, SpecError
from fasray.protocols import outer_name, parse, part_names


def test_a_text_is_read_into_parts_marks_and_a_canonical_name() -> None:
    found = parse(" O & C[ session = 2|1 , attack != mask ] + CA -> M[attack=replay|print] + 5shot ")
    assert found.name == "O&C[attack!=mask,session=1|2]+CA->M[attack=print|replay]+5shot"
    assert found.sources == ("O", "C[attack!=mask,session=1|2]", "CA")
    assert (found.extra, found.target, found.shots) == (("CA",), "M[attack=print|replay]", 5)
    assert found.domains == (*found.sources, "M[attack=print|replay]+5shot")
    assert found.datasets == ("O", "C", "CA", "M")
    assert found.marks == ("+CA", "5-shot")
    assert parse(found.name) == found


def test_an_extra_source_is_neither_the_protocol_without_it_nor_that_of_a_usual_source() -> None:
    kinds = [parse(name) for name in ("O&C&I->M", "O&C&I+CA->M", "O&C&I&CA->M", "O&C+I+CA->M")]
    assert len({kind.fingerprint() for kind in kinds}) == len({kind.source_fingerprint() for kind in kinds}) == 4
    assert [kind.marks for kind in kinds] == [(), ("+CA",), (), ("+I", "+CA")]
    assert parse("O&C+CA->M,I").parts[1].name == "O&C+CA->I"
    inner = parse("O&C+CA->M/CA")
    assert (inner.sources, inner.extra, inner.target) == (("O", "C"), (), "CA")


def test_every_rule_that_changes_roles_changes_the_fingerprint_and_no_spelling_does() -> None:
    names = (
        "O&C->M", "O&C[attack!=mask]->M", "O&C[attack=mask]->M", "O&C->M[attack=mask]", "O&C->M+1shot", "O&C->M+2shot",
        "O&C->M+2shot-videos", "O&C+I->M", "C[attack=print]->C[attack=mask]", "C[attack=print]->M[attack=mask]",
    )  # fmt: skip
    assert len({parse(name).fingerprint() for name in names}) == len(names)
    spelled = parse("O & C[ attack != mask|print ]->M"), parse("O&C[attack!=print|mask]->M")
    assert spelled[0].fingerprint() == spelled[1].fingerprint()


def test_shots_belong_to_what_trains_and_filters_of_the_target_do_not() -> None:
    plain, shots = parse("O&C->M"), parse("O&C->M+5shot")
    assert shots.source_fingerprint() not in (plain.source_fingerprint(), parse("O&C->I+5shot").source_fingerprint())
    assert shots.source_fingerprint() != parse("O&C->M+5shot", "all").source_fingerprint()
    assert parse("O&C->M[attack=mask]").source_fingerprint() == plain.source_fingerprint()
    (joined,) = {parse("C[attack=print]->C[attack=mask],C[attack=replay]").name}
    assert part_names(joined) == ("C[attack=print]->C[attack=mask]", "C[attack=print]->C[attack=replay]")


def test_signs_in_brackets_part_no_names() -> None:
    name = "O[camera=a/b,session=1]&C->I[camera=x&y],M/O[camera=a/b,session=1]"
    assert outer_name(name) == "O[camera=a/b,session=1]&C->I[camera=x&y],M"
    assert [parse(part).name for part in part_names(name)] == list(part_names(name))


@pytest.mark.parametrize(
    ("text", "says", "remedy"),
    [
        ("O&C[attac=print]->M", "malformed at 'attac=print', character 5", "did you mean 'attack'"),
        ("O[attack]->M", "malformed at 'attack', character 3", "key=value"),
        ("O[attack=print|]->M", "malformed at 'attack=print|'", "empty value"),
        ("O[attack=print|print]->M", "malformed", "lists a value twice"),
        ("O[attack=print->M", "malformed at 'O[attack=print', character 1", "ends with ]"),
        ("O[attack=print]]->M", "malformed", "ends with ]"),
        ("O[]->M", "malformed", "key=value"),
        ("O[split=val]->M", "malformed", "choose one of: dev, test, train"),
        ("O&C+CA&X->M", "two sources after one plus", "a plus before each"),
        ("O->M+5shots", "no domain's name", "O&C&I->M"),
        ("O->M+5", "no domain's name", "O&C&I->M"),
        ("O->M+0shot", "0 shots are none", "leave out +0shot"),
        ("O[attack=print]->O[attack=mask]+5shot", "O trains already", "leave out"),
        ("O->C+5shot,I+5shot", "do not train the same", "a protocol for each target"),
        ("O->O[attack=mask],C", "do not train the same", "a protocol for each target"),
        ("O&M->M", "among its sources", "M[split=train|dev]->M[split=test]"),
        ("O->M[attack=print],M[attack=print]", "names a target twice", "once"),
        ("O+O->M", "names a source twice", "once"),
        ("O&C->M+5shot/C", "its target takes part in training", ""),
    ],
)
def test_what_is_wrong_is_shown_with_its_place_and_a_remedy(text: str, says: str, remedy: str) -> None:
    with pytest.raises((SpecError, ProtocolError)) as error:
        parse(text)
    assert says in str(error.value)
    assert remedy in error.value.remedy


@pytest.mark.parametrize("name", ["siw-mv2-3", "hifimask-3", "uniattack-1", "uniattack-2.1", "uniattack-2.2"])
def test_a_protocol_that_only_its_lists_give_says_which_and_how(name: str) -> None:
    with pytest.raises(ProtocolError, match="only the owners of") as error:
        parse(name)
    assert "fasray protocol import" in error.value.remedy
    assert f"{name}.json" in error.value.remedy
