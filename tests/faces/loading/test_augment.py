import numpy as np
import pytest
import torch

from fasray.errors import SpecError
from fasray.faces.loading.augment import (
    Augment,
    apply,
    apply_depth,
    apply_parsing,
    evaluation,
    evaluation_parameters,
    sample_parameters,
)
from fasray.seeds import stream

STORED, SIZE = 128, 96


def faces(count=6, size=STORED):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def drawn(spec, count=6, image_size=SIZE, seed=0, stored=STORED):
    return sample_parameters(stream(seed, "augment", 0), count, spec, stored, image_size)


def ramp(size=STORED, count=1):
    """Red grows to the right, green downwards: a pixel's colour tells where it came from."""
    place = np.round(np.linspace(0, 255, size)).astype(np.uint8)
    image = np.zeros((count, size, size, 3), dtype=np.uint8)
    image[..., 0], image[..., 1] = place[None, :], place[:, None]
    return image


def test_a_window_copies_pixels_without_resampling():
    images, parameters = faces(), drawn(Augment(flip=0.5))
    batch = apply(images, parameters, SIZE)
    assert batch.shape == (6, 3, SIZE, SIZE)
    assert batch.dtype == torch.float32
    assert parameters.flipped.any()
    assert not parameters.flipped.all()
    for image, got, (top, left), flip in zip(images, batch, parameters.corner, parameters.flipped, strict=True):
        window = image[top : top + SIZE, left : left + SIZE]
        expected = window[:, ::-1] if flip else window
        assert (got.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8).tolist() == expected.tolist()


def test_windows_are_the_same_from_arrays_tensors_and_read_only_memory():
    images, parameters = faces(), drawn(Augment())
    sealed = images.copy()
    sealed.setflags(write=False)
    expected = apply(images, parameters, SIZE)
    assert torch.equal(apply(torch.from_numpy(images), parameters, SIZE), expected)
    assert torch.equal(apply(sealed, parameters, SIZE), expected)
    resampled = drawn(Augment(crop="resize"))
    assert torch.equal(apply(sealed, resampled, SIZE), apply(images, resampled, SIZE))


def test_the_sampled_map_of_a_window_is_the_window():
    """What depth and parsing follow is the same map that the pixels were copied by."""
    images, parameters = faces(), drawn(Augment())
    copied = apply(images, parameters, SIZE)
    sampled = apply(images, type(parameters)(parameters.theta, parameters.corner, parameters.flipped, False), SIZE)
    torch.testing.assert_close(sampled, copied, rtol=0, atol=2e-3)


def test_all_windows_occur_and_no_other():
    corner = drawn(Augment(), count=4000, image_size=124).corner
    assert set(map(tuple, corner.tolist())) == {(y, x) for y in range(5) for x in range(5)}


def test_a_window_larger_than_the_crop_is_refused():
    with pytest.raises(SpecError, match="does not fit"):
        drawn(Augment(), image_size=STORED + 1)
    with pytest.raises(SpecError, match="does not fit"):
        evaluation(faces(), Augment(), STORED + 1)


def test_evaluation_takes_the_middle_window():
    images = faces()
    expected = torch.from_numpy(images[:, 16:112, 16:112].copy()).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(evaluation(images, Augment(flip=1.0, rotation=90.0), SIZE), expected)


def test_evaluation_shows_the_stated_part_of_the_area():
    batch = evaluation(ramp(), Augment(crop="scale", scale=(0.2, 1.0), eval_scale=0.81), SIZE)
    red = batch[0, 0, SIZE // 2] * 255
    edge = 255 * 0.05  # 90 % of the side, in the middle
    assert red[0].item() == pytest.approx(edge, abs=2)
    assert red[-1].item() == pytest.approx(255 - edge, abs=2)


def test_resize_at_the_stored_size_changes_nothing():
    images = faces(size=64)
    batch = apply(images, drawn(Augment(flip=0.0, crop="resize"), image_size=64, stored=64), 64)
    torch.testing.assert_close(batch, torch.from_numpy(images).permute(0, 3, 1, 2) / 255, rtol=0, atol=1e-4)


def test_scaled_crops_stay_inside_and_have_the_stated_areas():
    parameters = drawn(Augment(flip=0.0, crop="scale", scale=(0.2, 1.0)), count=2000)
    side, middle = parameters.theta[:, 0, 0], parameters.theta[:, :, 2]
    assert (np.abs(middle) + side[:, None] <= 1 + 1e-6).all()
    assert 0.2 <= (side**2).min() < 0.22
    assert 0.98 < (side**2).max() <= 1
    assert np.mean(side**2) == pytest.approx(0.6, abs=0.02)


def test_a_quarter_turn_is_exact_and_labels_turn_with_the_image():
    spec = Augment(flip=0.0, rotation=90.0, crop="resize")
    parameters = drawn(spec, count=1)
    quarter = type(parameters)(
        np.array([[[0, -1, 0], [1, 0, 0]]], dtype=np.float32), parameters.corner, parameters.flipped, False
    )
    image = faces(1, 64)
    turned = apply(image, quarter, 64)[0]
    expected = torch.rot90(torch.from_numpy(image[0]).permute(2, 0, 1) / 255, 1, (1, 2))
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-4)
    parsing = np.random.default_rng(1).integers(0, 11, (1, 64, 64), dtype=np.uint8)
    assert torch.equal(apply_parsing(parsing, quarter)[0], torch.rot90(torch.from_numpy(parsing[0]).long(), 1))
    depth = np.random.default_rng(2).integers(0, 256, (1, 32, 32), dtype=np.uint8)
    expected = torch.rot90(torch.from_numpy(depth[0]) / 255, 1)
    torch.testing.assert_close(apply_depth(depth, quarter, 256)[0, 0], expected, rtol=0, atol=1e-4)


def test_what_a_rotation_brings_in_from_outside_is_black_flat_and_background():
    spec = Augment(flip=0.0, rotation=45.0, crop="resize")
    parameters = drawn(spec, count=50)
    angle = np.degrees(np.arctan2(parameters.theta[:, 1, 0], parameters.theta[:, 0, 0]))
    assert np.abs(angle).max() <= 45
    assert angle.min() < -35
    assert angle.max() > 35
    wide = parameters[np.flatnonzero(np.abs(angle) > 30)]
    count = len(wide)
    white = apply(np.full((count, 64, 64, 3), 255, dtype=np.uint8), wide, 64)
    assert (white[:, :, 0, 0] == 0).all()
    assert (white[:, :, 32, 32] > 0.99).all()
    assert (apply_parsing(np.full((count, 64, 64), 3, dtype=np.uint8), wide)[:, 0, 0] == 0).all()
    assert (apply_depth(np.full((count, 32, 32), 255, dtype=np.uint8), wide, 64)[:, 0, 0, 0] == 0).all()


@pytest.mark.parametrize(
    "spec",
    [
        Augment(),
        Augment(rotation=20.0),
        Augment(crop="scale", scale=(0.5, 1.0)),
        Augment(crop="scale", scale=(0.2, 1.0), rotation=180.0),
    ],
)
def test_depth_and_parsing_show_the_same_part_of_the_face_as_the_image(spec):
    """All three hold the same ramp; after augmentation they still agree wherever they look inside the crop."""
    count, stored = 8, 128
    parameters = drawn(spec, count=count, image_size=64)
    image = apply(ramp(stored, count), parameters, 64)[:, 0]
    depth_cells = np.round((np.arange(32) + 0.5) / 32 * 255).astype(np.uint8)
    depth = np.broadcast_to(depth_cells, (count, 32, 32)).copy()
    inside = apply(np.full((count, stored, stored, 3), 255, dtype=np.uint8), parameters, 64)[:, 0] > 0.99
    pooled = torch.nn.functional.avg_pool2d(image[:, None], 8)
    seen = apply_depth(depth, parameters, 64)
    whole = torch.nn.functional.avg_pool2d(inside[:, None].float(), 8) == 1
    assert whole.float().mean() > 0.5
    assert (seen - pooled)[whole].abs().max() < 0.02
    cells = np.broadcast_to(np.arange(64, dtype=np.uint8), (count, 64, 64)).copy()
    parsing = apply_parsing(cells, parameters)
    assert ((parsing + 0.5) / 64 - image)[inside].abs().max() < 0.02


def test_depth_has_an_eighth_of_the_images_side():
    depth = np.zeros((6, 32, 32), dtype=np.uint8)
    for size, cells in ((64, 8), (96, 12), (128, 16)):
        assert apply_depth(depth, drawn(Augment(), image_size=size), size).shape == (6, 1, cells, cells)
    with pytest.raises(SpecError, match="multiple of 8"):
        apply_depth(depth, drawn(Augment(), image_size=100), 100)


def test_depth_at_full_size_is_the_stored_map():
    depth = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    parameters = evaluation_parameters(2, Augment(), 256, 256)
    torch.testing.assert_close(apply_depth(depth, parameters, 256)[:, 0], torch.from_numpy(depth) / 255)


def test_depth_is_averaged_where_it_shrinks():
    checker = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)[None]
    depth = apply_depth(checker, evaluation_parameters(1, Augment(crop="resize"), 128, 128), 128)
    torch.testing.assert_close(depth, torch.full((1, 1, 16, 16), 0.5))


def test_the_same_stream_gives_the_same_bits():
    spec = Augment(crop="scale", scale=(0.2, 1.0), rotation=180.0)
    assert torch.equal(apply(faces(), drawn(spec), SIZE), apply(faces(), drawn(spec), SIZE))
    assert not torch.equal(apply(faces(), drawn(spec), SIZE), apply(faces(), drawn(spec, seed=1), SIZE))


@pytest.mark.parametrize("spec", [Augment(), Augment(crop="scale", scale=(0.2, 1.0), rotation=180.0)])
def test_a_workers_share_has_the_bits_of_the_whole(spec):
    images, parameters = faces(), drawn(spec)
    share = np.array([1, 3, 4])
    assert torch.equal(apply(images[share], parameters[share], SIZE), apply(images, parameters, SIZE)[share])


def test_settings_change_only_what_they_are_about():
    plain = drawn(Augment(flip=0.5), count=100)
    turned = drawn(Augment(flip=0.5, rotation=10.0), count=100)
    assert (plain.flipped == turned.flipped).all()
    assert (plain.corner == turned.corner).all()
