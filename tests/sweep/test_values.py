"""A value enters in its field's type, or is refused where it is written; what is equal is one."""

import json
import random
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError
from sweep_fixtures import SWEEP, make_table, plan_of

from fasray.errors import SpecError
from fasray.methods import registry
from fasray.sweep.forecast import forecast
from fasray.sweep.sweep_file import option_value, parse_sweep
from fasray.validation import Settings
from fasray.yaml_lines import read_yaml

ONE_METHOD = """
name: one
data: synthetic
protocols: ["M&I->C"]
methods:
  ssdg: {}
search: {algorithm: random, trials_per_cell: 6, seed: 100}
scheduler: fifo
confirm: {seeds: [0, 1]}
training: {profile: quick}
"""


def refusal(text: str, *overrides: str) -> str:
    with pytest.raises(SpecError) as error:
        parse_sweep(text, "sweep.yaml", overrides)
    assert error.value.exit_code == 2
    return str(error.value)


def changed(old: str, new: str) -> str:
    assert old in ONE_METHOD
    return ONE_METHOD.replace(old, new)


class Fields(Settings):
    """One field of each kind that a sweep file or a method has."""

    whole: int = Field(1, ge=-(2**62), lt=2**63)
    number: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    switch: bool = False
    word: Literal["sgd", "adam", "no"] = "sgd"
    text: str = "a"


def spellings(rng: random.Random) -> Iterator[tuple[str, Any]]:
    """YAML texts without end, each with what a person reads: a number, yes or no, a word, or None if unclear."""
    while True:
        sign, digits = rng.choice(["", "", "", "-", "+"]), str(rng.choice([rng.randrange(10), rng.randrange(10**6)]))
        point = "." + "".join(rng.choices("0123456789", k=rng.choice([1, 2, 3, 6])))
        power = rng.choice("eE") + rng.choice(["", "-", "+"]) + str(rng.randrange(1, 30))
        zeros, quote = "0" * rng.randrange(1, 3), rng.choice(["", "", "'", '"'])
        large = rng.randrange(2**63, 2**70)
        factor = -1 if sign == "-" else 1
        yes, no = rng.choice(["yes", "Yes", "YES", "on", "true", "True"]), rng.choice(["no", "No", "off", "false"])
        text, meaning = rng.choice(
            [
                (f"{sign}{digits}", factor * int(digits)),
                (f"{sign}{digits}{point}", factor * float(digits + point)),
                (f"{sign}{digits}{power}", factor * float(digits + power)),
                (f"{sign}{digits}{point}{power}", factor * float(digits + point + power)),
                (f"{sign}{point}", factor * float(point)),
                (f"{sign}{zeros}{digits}", None),
                (f"{sign}{zeros}{digits}{point}", None),
                (f"{digits}:{rng.randrange(60):02d}", None),
                (f"{digits}:{rng.randrange(60):02d}.5", None),
                (rng.choice([".nan", ".inf", "-.inf", "nan", "Infinity"]), None),
                (rng.choice(["2026-01-05", "1e", "1.2.3", "0x", "1,5", "1 000", "~", "null", "3 %", "ten"]), None),
                (str(large), large),
                (yes, True),
                (no, False),
                (rng.choice(["sgd", "adam"]), None),
            ]
        )  # fmt: skip
        yield f"{quote}{text}{quote}", meaning


REFUSED = object()


def entered(field: str, text: str) -> Any:
    """What a field takes a YAML text for, or ``REFUSED``; whatever refuses it names its line."""
    documents, problems = read_yaml(f"# a comment\n{field}: {text}\n", refuse_misread=True)
    if problems:
        line: int | None = problems[0].line
    else:
        try:
            return getattr(Fields.model_validate(documents[0].value), field)
        except ValidationError as refused:
            line = documents[0].line(refused.errors()[0]["loc"])
    assert line == 2, text
    return REFUSED


def test_ten_thousand_spellings_enter_as_their_fields_type_or_are_refused_with_their_line() -> None:
    kinds = dict(zip(Fields.model_fields, (int, float, bool, str, str), strict=True))
    counts = {(field, fate): 0 for field in kinds for fate in (True, False)}
    for number, (text, meaning) in zip(range(10_000), spellings(random.Random(1)), strict=False):
        field = list(kinds)[number % len(kinds)]
        value, bare = entered(field, text), text.strip("'\"")
        counts[field, value is not REFUSED] += 1
        if value is REFUSED:
            fits = {
                "whole": type(meaning) is int and abs(meaning) < 2**62,
                "number": type(meaning) in (int, float),
                "switch": type(meaning) is bool,
                "word": bare in ("sgd", "adam"),
                "text": text != bare,
            }[field]
            assert not fits, (field, text)
        elif field == "switch":
            assert value is meaning or bare in ("1", "0", "+1", "+0", "-0"), text
        else:
            assert type(value) is kinds[field], (field, text)
            assert value == kinds[field](bare if kinds[field] is str else meaning), (field, text)
    assert min(counts.values()) > 20, counts


def test_numbers_that_yaml_takes_for_words_are_numbers_and_equal_ones_are_one() -> None:
    texts = ["[1e-3, 5e-3, 1e-2]", "[0.001, 0.005, 0.01]", "['0.001', 5.0e-3, \"1e-2\"]"]
    for algorithm, trials in (("grid", 3), ("random", 3), ("hyperopt", 3)):
        found = set()
        for text in texts:
            sweep = changed("ssdg: {}", f"ssdg: {{space: {{learning_rate: {{choice: {text}}}}}}}")
            plan = plan_of(sweep, make_table(), f"search.algorithm={algorithm}")
            (cell,) = plan.cells
            ids = [plan.trial(cell, cell.configuration(point), 100).id for point in cell.points]
            assert len(set(ids)) == len(ids)
            assert plan.search_trials == trials  # the published rate, 0.01, is among them
            found.add((plan.spec.hash(), tuple(ids), forecast(plan, 2).trials))
        assert len(found) == 1


@pytest.mark.parametrize("values", ["[0.1, '0.1', 1.0e-1]", "[1, 1.0, '1']", "[0, -0.0, 0.0]"])
def test_one_value_spelled_three_ways_is_one_point(values: str) -> None:
    for kind in ("grid", "choice"):
        sweep = changed("ssdg: {}", f"ssdg: {{space: {{triplet_weight: {{{kind}: {values}}}}}}}")
        plan = plan_of(sweep, make_table())
        points = {json.dumps(dict(point), sort_keys=True) for point in plan.cells[0].points}
        assert len(points) == plan.cells[0].searcher.total <= 2  # it, and the published setting


def test_a_setting_of_whole_numbers_takes_each_of_them_once() -> None:
    sweep = changed("ssdg: {}", "hfn_mp: {space: {inner_loops: {choice: [1, '1', 2]}}}")
    plan = plan_of(sweep, make_table(), 'protocols=["O&M&I->C"]')
    assert {point["inner_loops"] for point in plan.cells[0].points} == {1, 2}


@pytest.mark.parametrize("algorithm", ["random", "grid", "hyperopt"])
@pytest.mark.parametrize(
    ("method", "entry", "remedy"),
    [
        ("hfn_mp", "inner_loops: {uniform: [1, 3]}", "{integers: [1, 3]}"),
        ("hfn_mp", "inner_loops: {loguniform: [1, 3]}", "{integers: [1, 3]}"),
        ("ssdg", "distance: {uniform: [0, 1]}", "{choice: [...]}"),
        ("ssdg", "distance: {integers: [0, 1]}", "{choice: [...]}"),
    ],
)
def test_a_range_whose_draws_the_setting_cannot_have_is_refused_when_the_file_is_read(
    algorithm: str, method: str, entry: str, remedy: str
) -> None:
    key = entry.split(":")[0]
    said = refusal(changed("ssdg: {}", f"{method}:\n    space:\n      {entry}"), f"search.algorithm={algorithm}")
    assert remedy in said
    assert f"sweep.yaml, line 8, key methods.{method}.space.{key}" in said


def test_every_yes_or_no_setting_refuses_a_continuous_range() -> None:
    for name in registry.names():
        for key, field in registry.get(name).Config.model_fields.items():
            if field.annotation in (bool, int):
                assert "choice: [...]" in refusal(
                    changed("ssdg: {}", f"{name}: {{space: {{{key}: {{uniform: [0, 1]}}}}}}")
                ), key


def test_what_is_fixed_is_not_searched() -> None:
    fixed = plan_of(changed("ssdg: {}", "ssdg: {config: {triplet_weight: 0.0}}"), make_table()).cells[0]
    free = plan_of(ONE_METHOD, make_table()).cells[0]
    assert {fixed.configuration(point)["triplet_weight"] for point in fixed.points} == {0.0}
    assert set(free.searched) - set(fixed.searched) == {"triplet_weight"}
    assert len(fixed.points) == 6


def test_what_is_fixed_and_searched_at_once_is_refused() -> None:
    text = changed("ssdg: {}", "ssdg:\n    config: {margin: 0.2}\n    space:\n      margin: {choice: [0.1, 0.2]}")
    said = refusal(text)
    assert "line 9, key methods.ssdg.space.margin" in said
    assert "fixed under config and searched under space" in said


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("seeds: [0, 1]", "seeds: [007, 010]", ["line 9", "007", "write 7"]),
        ("seed: 100", "seed: 0100", ["line 7", "0100", "write 100", "base 8"]),
        ("profile: quick", "profile: quick, steps: 1:30", ["line 10", "1:30", "base 60"]),
        ("profile: quick", "profile: quick, steps: 6.000", ["line 10", "training.steps", "without a point"]),
        ("profile: quick", "profile: quick, steps: '6.000'", ["line 10", "training.steps", "without a point"]),
        ("profile: quick", "profile: quick, steps: '0100'", ["line 10", "training.steps", "leading zeros"]),
        ("profile: quick", "profile: quick, steps: yes", ["line 10", "training.steps", "not numbers"]),
        ("profile: quick", "profile: quick, augment: {flip: yes}", ["line 10", "augment.flip", "not numbers"]),
        ("ssdg: {}", "ssdg: {config: {triplet_weight: on}}", ["line 6", "config.triplet_weight", "not numbers"]),
        ("ssdg: {}", "ssdg: {space: {margin: {uniform: [no, 1]}}}", ["line 6", "space.margin", "not numbers"]),
        ("ssdg: {}", "ssdg: {ablations: {a: {margin: 08}}}", ["line 6", "ablations.a", "leading zeros"]),
        ("name: one", "name: 2026-01-05", ["line 2", "as a date"]),
        ("seeds: [0, 1]", f"seeds: [{2**63}]", ["line 9", "confirm.seeds", "2^63"]),
        ("seed: 100", f"seed: {2**63}", ["line 7", "search.seed", "less than 9223372036854775808"]),
        ("ssdg: {}", "ssdg: {space: {margin: {uniform: [0, 1], choice: [1]}}}", ["line 6", "2: choice, uniform"]),
        ("ssdg: {}", "ssdg: {space: {margin: {}}}", ["line 6", "space.margin", "none"]),
        ("name: one", "name: 0x_", ["line 2", "0x_"]),
    ],
)  # fmt: skip
def test_a_value_that_is_not_what_it_looks_like(old: str, new: str, parts: list[str]) -> None:
    said = refusal(changed(old, new))
    for part in ["sweep.yaml", *parts]:
        assert part in said, said


def test_an_override_is_named_instead_of_a_line() -> None:
    assert "--set search.seed" in (said := refusal(SWEEP, "search.seed=yes"))
    assert "line" not in said
    assert "--set search.seed" in refusal(SWEEP, "search.seed=0100")
    assert "--set methods.safas.config.batch" in refusal(SWEEP, "methods.safas.config.batch=1.5")


@pytest.mark.parametrize("text", ["/x/a #1", "a # b # c", "~/x #", "50 %"])
def test_a_hash_sign_in_an_option_belongs_to_the_value(text: str) -> None:
    assert option_value(text, "--set data") == text
    assert option_value(f"'{text}'", "--set data") == text


def test_a_hash_sign_behind_another_value_is_refused() -> None:
    with pytest.raises(SpecError, match=re.escape("[1] # x")):
        option_value("[1] # x", "--set confirm.seeds")
    assert "--set search.seed" in refusal(SWEEP, "search.seed=7 # x")
