"""Frames in HDF5 files, as WMCA and 3DMAD are published."""

import h5py
import numpy as np
import pytest

from fasray.faces.extraction.arrays import map_arrays
from fasray.faces.extraction.frames import FrameRule, UnreadableError

FRAMES = np.random.default_rng(7).integers(0, 256, (5, 3, 24, 32), dtype=np.uint8)
FRAMES[:, 0, :12] = 255  # red is the first plane, the upper half is bright


def as_3dmad(path):
    with h5py.File(path, "w") as file:
        file["Color_Data"] = FRAMES
        file["Depth_Data"] = np.zeros((5, 1, 24, 32), np.uint16)
        file["Eye_Pos"] = np.zeros((5, 4), np.int16)


def as_wmca(path):
    with h5py.File(path, "w") as file:
        for number in (0, 1, 2, 10, 20):
            planes = FRAMES[(0, 1, 2, 10, 20).index(number)]
            file.create_dataset(f"Frame_{number}/array", data=planes, compression="gzip")
            file[f"Frame_{number}"].attrs["index"] = number


def read(path, rule=None, **more):
    said: list[str] = []
    found = map_arrays(str(path), rule or FrameRule(every=1), said.append, lambda frame: frame, **more)
    return found, said


@pytest.mark.parametrize("write", [as_3dmad, as_wmca])
def test_frames_come_in_order_with_blue_first(write, tmp_path):
    write(tmp_path / "v.hdf5")
    found, said = read(tmp_path / "v.hdf5")
    assert [number for number, _ in found] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal([frame for _, frame in found], FRAMES[:, ::-1].transpose(0, 2, 3, 1))
    assert (found[0][1][:12, :, 2] == 255).all()
    assert said == []


def test_the_rule_the_part_and_the_share_decide_which(tmp_path):
    as_wmca(tmp_path / "v.hdf5")
    taken = [number for number, _ in read(tmp_path / "v.hdf5", FrameRule(count=2))[0]]
    assert taken == FrameRule(count=2).takes(5)
    shares = [[number for number, _ in read(tmp_path / "v.hdf5", share=(which, 2))[0]] for which in (0, 1)]
    assert shares == [[0, 2, 4], [1, 3]]
    assert [number for number, _ in read(tmp_path / "v.hdf5", part=(2, 4))[0]] == [2, 3]
    assert read(tmp_path / "v.hdf5", FrameRule(count=9))[1] == ["only 5 frames, 9 were asked for"]


def broken(path):
    as_3dmad(path)
    path.write_bytes(path.read_bytes()[:2000])


def linked(path):
    as_3dmad(path.with_name("other.hdf5"))
    with h5py.File(path, "w") as file:
        file["Color_Data"] = h5py.ExternalLink("other.hdf5", "Color_Data")


def outside(path):
    path.with_name("raw").write_bytes(FRAMES.tobytes())
    with h5py.File(path, "w") as file:
        size = FRAMES.nbytes
        file.create_dataset("Color_Data", FRAMES.shape, np.uint8, external=[(str(path.with_name("raw")), 0, size)])


def virtual(path):
    as_3dmad(path.with_name("other.hdf5"))
    layout = h5py.VirtualLayout(FRAMES.shape, np.uint8)
    layout[:] = h5py.VirtualSource(str(path.with_name("other.hdf5")), "Color_Data", FRAMES.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("Color_Data", layout)


def depth_only(path):
    with h5py.File(path, "w") as file:
        file["Depth_Data"] = np.zeros((5, 1, 24, 32), np.uint16)


def text(path):
    path.write_text("no HDF5")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (broken, "cut short or damaged"),
        (linked, "is a link"),
        (outside, "stored in another file"),
        (virtual, "stored in another file"),
        (depth_only, "without frames of a known form"),
        (text, "cut short or damaged"),
    ],
)
def test_what_is_not_in_the_file_itself_is_refused(write, said, tmp_path):
    write(tmp_path / "v.hdf5")
    with pytest.raises(UnreadableError, match=said):
        read(tmp_path / "v.hdf5")
