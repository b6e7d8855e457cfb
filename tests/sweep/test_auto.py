"""What a sweep file leaves open with ``auto`` is decided once, and a decided file is one that names the values."""

from typing import Any

import pytest
from sweep_fixtures import make_table

from fasray.errors import SpecError
from fasray.sweep.auto import Resolved, needs_hardware, resolve_auto, run_directory
from fasray.sweep.plan import make_plan
from fasray.sweep.sweep_file import parse_sweep

OPEN = """
name: open
data: auto
protocols: [ocim]
methods: [erm, safas]
scheduler: {asha: {grace: 0.25}}
training: {profile: auto}
"""
GENERATED_256 = "{synthetic: {image_size: 256}}"


def resolved(*overrides: str, has_gpus: bool | None = False, recorded: Any = None, **environ: str) -> Resolved:
    return resolve_auto(
        parse_sweep(OPEN, "open.yaml", overrides), has_gpus=has_gpus, environ=environ, recorded=recorded
    )


@pytest.mark.parametrize(
    ("has_gpus", "environ", "profile", "data"),
    [
        (True, {"FASRAY_DATA": "s3://faces/ocim"}, "full", "s3://faces/ocim"),
        (True, {}, "full", GENERATED_256),
        (False, {"FASRAY_DATA": "faces/ocim"}, "small", "faces/ocim"),
        (False, {}, "small", "synthetic"),
    ],
)
def test_a_decided_sweep_is_the_one_whose_file_names_the_values(
    has_gpus: bool, environ: dict[str, str], profile: str, data: str
) -> None:
    written = parse_sweep(OPEN, overrides=[f"data={data}", f"training.profile={profile}"])
    spec = resolved(has_gpus=has_gpus, **environ).spec
    assert spec.canonical() == written.canonical()
    assert spec.hash() == written.hash()
    trials = [
        [plan.trial(cell, cell.configuration({}), 0) for cell in plan.cells]
        for plan in (make_plan(each, "0" * 64, make_table()) for each in (spec, written))
    ]
    assert trials[0] == trials[1]


def test_generated_faces_are_as_large_as_the_largest_window() -> None:
    assert resolved("training.image_size=320").spec.data.synthetic.image_size == 320
    assert resolved("training.image_size=128", has_gpus=True).spec.data == "synthetic"


@pytest.mark.parametrize(("gpus", "profile"), [(0, "small"), (0.5, "full")])
def test_a_number_of_gpus_in_the_file_decides_whatever_the_machine_has(gpus: float, profile: str) -> None:
    for has_gpus in (True, False, None):
        decided = resolved(f"resources.gpus_per_worker={gpus}", has_gpus=has_gpus)
        assert decided.choices[0] == f"profile {profile}: resources.gpus_per_worker is {gpus}"


def test_each_choice_is_said_with_its_reason() -> None:
    profile, data = resolved(has_gpus=True).choices
    assert profile == "profile full: there are GPUs"
    assert data.startswith("data synthetic of 256 px: GENERATED faces, which are no evidence about real ones")
    assert "FASRAY_DATA" in data
    assert resolved("data=synthetic", "training.profile=quick").choices == ()


@pytest.mark.parametrize("has_gpus", [True, None, False])
def test_a_run_goes_on_with_what_was_decided_when_it_was_started(has_gpus: bool | None) -> None:
    for started in (
        resolved(has_gpus=True).spec,
        resolved(has_gpus=False).spec,
        resolved("training.profile=smoke").spec,
    ):
        assert not needs_hardware(parse_sweep(OPEN), started.canonical())
        again = resolved(has_gpus=has_gpus, recorded=started.canonical())
        assert again.spec.hash() == started.hash()
        assert all("this run was started with it" in line for line in again.choices)


def test_data_that_has_moved_is_looked_for_where_the_variable_says() -> None:
    started = resolved(FASRAY_DATA="/old/ocim").spec.canonical()
    assert resolved(recorded=started, FASRAY_DATA="/new/ocim").spec.data == "/new/ocim"
    assert resolved(recorded=started).spec.data == "/old/ocim"


def test_a_run_on_generated_faces_does_not_go_on_in_silence_where_others_are_named() -> None:
    with pytest.raises(SpecError, match="FASRAY_DATA names s3://faces/ocim, but this run was started with generated"):
        resolved(recorded=resolved().spec.canonical(), FASRAY_DATA="s3://faces/ocim")


def test_an_error_in_the_file_is_found_whichever_profile_it_gets() -> None:
    with pytest.raises(SpecError, match="training.image_sise"):
        parse_sweep(OPEN, overrides=["training.image_sise=64"])
    with pytest.raises(SpecError, match="did you mean 'auto'"):
        parse_sweep(OPEN, overrides=["training.profile=autp"])


@pytest.mark.parametrize(
    ("out", "environ", "run"),
    [
        (None, {}, "runs/open"),
        (None, {"FASRAY_RUNS": "s3://bucket/runs/"}, "s3://bucket/runs/open"),
        (None, {"FASRAY_RUNS": "file:///shared/runs/"}, "/shared/runs/open"),
        ("here", {"FASRAY_RUNS": "s3://bucket/runs"}, "here"),
    ],
)
def test_where_a_run_is_kept(out: str | None, environ: dict[str, str], run: str) -> None:
    assert run_directory("open", out, environ) == run
