"""Published split lists become protocols: what is wrong in them is named line by line, and videos keep their roles."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from protocol_tables import table_of
from sweep_fixtures import SWEEP, plan_of

from fasray.errors import DataError, FasrayError, ProtocolError, SpecError
from fasray.execution.messages import TrialOrder
from fasray.faces.face_index import FaceIndex
from fasray.protocols import parse
from fasray.protocols.list_import import Imported, KnownVideo, ListFile, import_lists, role_of
from fasray.protocols.lists import FixedLists, copies_in, copy_of, keep_copies, load_named, read_lists
from fasray.sweep.forecast import images_per_step
from fasray.sweep.sweep_file import load_sweep, parse_sweep


def clips() -> dict[str, tuple[str, str, str]]:
    """Path in a copy -> (video, subject, attack type): people 1 to 9, each live, on cloth and on a screen."""
    found = {}
    for person in range(1, 10):
        for kind, attack in (("1", "live"), ("2", "print"), ("4", "replay")):
            folder = f"AF/AF-{person:03d}/1_{person:03d}_3_1_{kind}"
            found[f"{folder}/color"] = (f"CeFA/{folder}", f"AF{person:03d}", attack)
    return found


def videos() -> list[KnownVideo]:
    return [
        KnownVideo(video, int(attack == "live"), subject, tuple(f"{path}/{frame:04d}.jpg" for frame in (1, 2)))
        for path, (video, subject, attack) in clips().items()
    ]


def table() -> FaceIndex:
    return table_of(
        [
            {"domain": "CeFA", "subject": subject, "attack_type": attack, "video": video, "frame": frame}
            for video, subject, attack in clips().values()
            for frame in (1, 2)
        ]
    )


def lines(*people: int, images: bool = False, separator: str = " ", prefix: str = "CASIA_CeFA/Ethnicity/") -> list[str]:
    """The lines of a published list; live is 0, as in CeFA's."""
    made = []
    for path, (_, subject, attack) in clips().items():
        if int(subject[-3:]) in people:
            label = {"live": 0, "print": 1, "replay": 2}[attack]
            paths = [f"{path}/{frame:04d}.jpg" for frame in (1, 2)] if images else [path]
            made += [f"{prefix}{each}{separator}{label}" for each in paths]
    return made


def run(train: list[str], test: list[str], dev: list[str] | None = None, **options: bool) -> Imported:
    wanted = {"train": train, "test": test} | ({"dev": dev} if dev is not None else {})
    files = [ListFile(f"p1_{role}.txt", role, "\n".join(text) + "\n") for role, text in wanted.items()]  # type: ignore[arg-type]
    return import_lists("cefa-1.1", files, videos(), **options)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"images": True},
        {"separator": ","},
        {"prefix": ""},
        {"images": True, "separator": ", ", "prefix": "./Data/"},
        {"prefix": "D:\\copy\\"},
    ],
)
def test_lists_of_every_published_form_give_the_same_protocol(form: dict[str, Any]) -> None:
    found = run(lines(1, 2, 3, 4, **form), lines(7, 8, 9, **form), lines(5, 6, **form))
    assert found.lists.full_name == run(lines(4, 3, 2, 1), lines(9, 8, 7), lines(6, 5)).lists.full_name
    assert found.remarks == ()
    roles = parse(found.lists.full_name, lists={found.lists.full_name: found.lists}).assign(table())
    people = [set(table().subject[rows].tolist()) for rows in (roles.train, roles.source_dev, roles.target)]
    assert people == [{f"AF{person:03d}" for person in side} for side in ((1, 2, 3, 4), (5, 6), (7, 8, 9))]
    assert (roles.domains, set(roles.domain_id.tolist())) == (("CeFA",), {0, -1})


def test_an_image_list_may_join_the_video_list_of_its_role() -> None:
    both = [
        ListFile(f"{images}-{role}", role_of(f"{images}-{role}"), "\n".join(lines(*people, images=images)))
        for role, people in (("train", (1, 2)), ("test", (3, 4)))
        for images in (True, False)
    ]
    assert import_lists("cefa-1.1", both, videos()).lists.full_name == run(lines(1, 2), lines(3, 4)).lists.full_name


def test_without_a_dev_list_a_fifth_of_the_people_choose() -> None:
    lists = run(lines(1, 2, 3, 4, 5, 6), lines(7, 8)).lists
    roles = parse(lists.full_name, lists={lists.full_name: lists}).assign(table())
    chosen = set(table().subject[roles.source_dev].tolist())
    assert len(chosen) == 1
    assert not chosen & set(table().subject[roles.train].tolist())


def damaged() -> dict[str, tuple[list[str], list[str], str]]:
    good, test = lines(1, 2, 3), lines(7, 8)
    return {
        "wrong name": (
            [good[0].replace("1_001", "1_001x"), *good[1:]], test,
            "p1_train.txt, line 1: no video of the data is 'CASIA_CeFA/Ethnicity/AF/AF-001/1_001x_3_1_1/color'; did",
        ),
        "missing file": ([*good, "AF/AF-099/1_099_3_1_1/color 0"], test, "p1_train.txt, line 10: no video of the"),
        "doubled": ([*good, good[2]], test, "p1_train.txt, line 10: "),
        "doubled in another spelling": ([*good, good[2].partition("/")[2]], test, "is on line 3 already"),
        "on two sides": (good, [*test, good[4]], "is for train, too (p1_train.txt, line 5)"),
        "other class": ([good[0][:-1] + "1", *good[1:]], test, "line 1: label 1 means attack in this list, and"),
        "a name of no video": ([*good, "color 0"], test, "p1_train.txt, line 10: no video of the data is 'color'"),
    }  # fmt: skip


@pytest.mark.parametrize("kind", damaged())
def test_what_is_wrong_is_named_with_its_line(kind: str) -> None:
    train, test, says = damaged()[kind]
    with pytest.raises(DataError) as error:
        run(train, test)
    assert says in error.value.what
    assert error.value.what.startswith("1 entries cannot be used")


def test_switches_leave_out_what_is_missing_and_count_doubled_entries_once() -> None:
    good, test = lines(1, 2, 3), lines(7, 8)
    found = run([*good, good[2], "AF/AF-099/1_099_3_1_1/color 0"], test, skip_missing=True, drop_doubled=True)
    assert found.lists.full_name == run(good, test).lists.full_name
    assert found.remarks[0] == "1 entries are not in the data and were left out"
    assert "videos are in no list" in found.remarks[-1]


def test_the_remedy_is_that_of_the_fault_whatever_its_path_says() -> None:
    with pytest.raises(DataError) as error:
        run([*lines(1, 2, 3), "already/clip, too (1) 0"], lines(7, 8))
    assert error.value.remedy == "--skip-missing leaves out what the data does not have"


def test_a_path_that_several_videos_end_with_is_no_name() -> None:
    known = [*videos(), KnownVideo("CeFA/other/AF/AF-001/1_001_3_1_1", 1, "x", ("other/AF/AF-001/1_001_3_1_1/a.avi",))]
    files = [ListFile("train", "train", "1_001_3_1_1 0\n"), ListFile("test", "test", lines(7)[0])]
    with pytest.raises(DataError, match="may be any of 2 videos"):
        import_lists("x", files, known)


def test_a_dev_list_that_repeats_the_train_list_is_refused_with_the_way_out() -> None:
    with pytest.raises(DataError, match="is for train, too") as error:
        run(lines(1, 2), lines(7, 8), lines(1, 2))
    assert "leave out a dev list" in error.value.remedy


def test_people_on_both_sides_are_refused_unless_asked_for_and_then_said() -> None:
    train, test = [line for line in lines(1, 2, 3) if "_4/color" not in line], [*lines(7, 8), lines(1)[2]]
    with pytest.raises(ProtocolError, match="1 people are in both train and test, 'AF001'") as error:
        run(train, test)
    assert "--shared-people" in error.value.remedy
    found = run(train, test, shared_people=True)
    assert "1 people are in both train and test" in found.remarks[0]
    full = found.lists.full_name
    assert parse(full).marks == ("shared people",)
    assert "same people" in parse(full).in_words
    assert "AF001" in table().subject[parse(full, lists={full: found.lists}).assign(table()).target]
    strict = found.lists.model_copy(update={"shared_people": False})
    assert strict.full_name != full
    with pytest.raises(ProtocolError, match="leak"):
        parse(strict.full_name, lists={strict.full_name: strict}).assign(table())


def test_a_name_of_no_file_and_lists_of_other_data_altogether_are_refused() -> None:
    files = [ListFile(role, role_of(role), "elsewhere/clip 0\n") for role in ("train", "test")]
    with pytest.raises(SpecError, match="videos that train"):
        import_lists("x", files, videos(), skip_missing=True)
    with pytest.raises(SpecError, match="a name is letters"):
        import_lists(
            "a b", [ListFile(role, role_of(role), lines(n)[0]) for n, role in ((1, "train"), (2, "test"))], videos()
        )


def test_a_list_needs_a_role() -> None:
    names = {"CASIA_CeFA@p1.1_video_train.txt": "train", "x/SiW@p1_video_val.txt": "dev", "test_B_spoof.txt": "test"}
    assert {name: role_of(name) for name in names} == names
    for name in ("trainlist.txt", "train_and_test.txt"):
        with pytest.raises(SpecError, match="does not say"):
            role_of(name)
    with pytest.raises(SpecError, match="no list is for test"):
        import_lists("x", [ListFile("train", "train", "")], videos())


def written(folder: Path) -> tuple[Path, FixedLists]:
    lists = run(lines(1, 2, 3, 4), lines(7, 8, 9), lines(5, 6)).lists
    file = folder / "cefa-1.1.json"
    file.write_text(lists.to_json())
    return file, lists


def test_a_file_is_read_back_and_one_that_was_changed_is_refused(tmp_path: Path) -> None:
    file, lists = written(tmp_path)
    assert read_lists(str(file)).full_name == lists.full_name
    values = json.loads(file.read_text())
    for changed in ({"train": values["train"][1:]}, {"shared_people": True}, {"dev": values["test"]}, {"more": 1}):
        file.write_text(json.dumps(values | changed))
        with pytest.raises(SpecError):
            read_lists(str(file))
    for text in ("[]", "{", '{"name": "x"}'):
        file.write_text(text)
        with pytest.raises(SpecError, match="not a file of"):
            read_lists(str(file))


def test_a_sweep_names_the_file_and_its_content_decides_the_hash(tmp_path: Path) -> None:
    file, lists = written(tmp_path)
    text = SWEEP.replace("[ocim]", f"[{file}]")
    spec = parse_sweep(text)
    assert spec.protocols == (lists.full_name,)
    assert str(file) not in json.dumps(spec.identity())
    moved = file.rename(tmp_path / "elsewhere.json")
    assert parse_sweep(text.replace(str(file), str(moved))).hash() == spec.hash()
    plan = plan_of(text.replace(str(file), str(moved)), table(), "methods={erm: {}}")
    assert [cell.protocol.name for cell in plan.cells] == [lists.full_name]
    assert plan.lists[lists.full_name].train == lists.train
    assert images_per_step(plan.cells[0]) == 4 * 2, "four live and four attack images of its one training domain"
    assert plan.cells[0].protocol.fingerprint() == parse(lists.full_name).fingerprint()


def test_an_order_to_a_worker_brings_the_lists_along(tmp_path: Path) -> None:
    file, lists = written(tmp_path)
    plan = plan_of(SWEEP.replace("[ocim]", f"[{file}]"), table(), "methods={erm: {}}")
    file.unlink()
    trial = plan.trial(plan.cells[0], plan.cells[0].configuration({}), 0)
    order = TrialOrder(trial, "", "", "", "train+test", -1, lists=plan.lists)
    roles = order.roles(table())
    assert set(table().video[roles.target].tolist()) == set(lists.test)
    assert parse(lists.full_name).target_parts == parse(lists.full_name).datasets == ()


def test_a_run_keeps_a_copy_that_does_when_the_file_is_gone(tmp_path: Path) -> None:
    import yaml

    file, lists = written(tmp_path)
    spec = parse_sweep(SWEEP.replace("[ocim]", f"[{file}]"))
    run = tmp_path / "run"
    keep_copies(str(run), {lists.full_name: lists})
    (run / "sweep.yaml").write_text(yaml.safe_dump({"hash": spec.hash(), "sweep": spec.identity()}))
    file.unlink()
    again = load_sweep(run / "sweep.yaml")
    assert again.hash() == spec.hash()
    assert load_named(again.protocols, again.lists)[lists.full_name] == read_lists(copy_of(str(run), lists.full_name))
    with pytest.raises(SpecError, match="has a copy"):
        load_named(spec.protocols, spec.lists)
    assert copies_in(str(tmp_path), spec.protocols) == {}


def test_videos_of_a_dataset_that_does_not_train_do_not_choose() -> None:
    lists = run(lines(1, 2, 3), lines(7, 8), lines(4, 5)).lists
    index = table()
    domain = np.where(np.isin(index.subject, ["AF004"]), "SURF", index.domain)
    protocol = parse(lists.full_name, lists={lists.full_name: lists})
    with pytest.raises(DataError, match="chooses on videos of 'SURF', of which none trains"):
        protocol.assign(dataclasses.replace(index, domain=domain))


def test_lists_of_other_data_are_refused() -> None:
    lists = run(lines(1, 2, 3, 4), lines(7, 8, 9)).lists
    protocol = parse(lists.full_name, lists={lists.full_name: lists})
    with pytest.raises(DataError, match="3 videos of protocol cefa-1.1@.* are not in the data"):
        protocol.assign(table().take(np.flatnonzero(table().subject != "AF007")))
    for wrong in (lambda: parse(lists.full_name).assign(table()), lambda: protocol.without("CeFA")):
        with pytest.raises(FasrayError):
            wrong()
