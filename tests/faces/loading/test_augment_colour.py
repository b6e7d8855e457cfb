"""Colours, blur, cutout and bicubic crops against torchvision, Pillow and colorsys."""

import colorsys
import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as reference

from fasray.faces.loading.augment import Augment, apply, evaluation, sample_parameters
from fasray.faces.loading.augment_colour import (
    UNIFORMS,
    blur,
    cut_out,
    grey_of,
    recolour,
    sample_look,
    saturate,
    turn_hue,
)
from fasray.seeds import stream

SIZE = 48
JITTER = (
    reference.adjust_brightness,
    reference.adjust_contrast,
    reference.adjust_saturation,
    reference.adjust_hue,
)
EVERYTHING = Augment(
    crop="scale", scale=(0.2, 1.0), ratio=(0.75, 4 / 3), interpolation="bicubic", contrast=(0.5, 1.5), brightness=0.15,
    saturation=(0.8, 1.2), saturation_probability=0.5, jitter=(0.4, 0.4, 0.4, 0.1), jitter_probability=0.8, grey=0.2,
    blur=(0.0005, 0.01), blur_probability=0.5, cutout=0.5, cutout_size=(0.0, 1.0), cutout_law="area",
    cutout_fill="mean",
)  # fmt: skip


def images(count=6, size=SIZE):
    """Blobs of colour, some of them saturated, grey or black."""
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.3
    x = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear").clamp(0, 1)
    x[-1] = x[-1].mean(0)
    return x


def faces(count=6, size=64):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def drawn(spec, count=6, seed=0):
    return sample_parameters(stream(seed, "augment", 0), count, spec, 64, SIZE)


def each(values):
    return torch.tensor(values, dtype=torch.float32)[:, None, None, None]


def test_jitter_is_torchvisions_in_the_drawn_order():
    spec, x = Augment(jitter=(0.4, 0.5, 0.6, 0.2)), images(96)
    uniforms = np.random.default_rng(0).random((UNIFORMS, len(x)))
    orders = list(permutations(JITTER))
    uniforms[6] = (np.arange(len(x)) % 24 + 0.5) / 24
    found = recolour(x, torch.from_numpy(sample_look(uniforms, spec)), spec)
    for image, changed, order, drawn_numbers in zip(x, found, np.arange(len(x)) % 24, uniforms[7:11].T, strict=True):
        brightness, contrast, saturation, hue = 2 * drawn_numbers - 1
        amounts = (1 + 0.4 * brightness, 1 + 0.5 * contrast, 1 + 0.6 * saturation, 0.2 * hue)
        wanted = image
        for adjust in orders[order]:
            wanted = adjust(wanted, float(amounts[JITTER.index(adjust)]))
        torch.testing.assert_close(changed, wanted, rtol=0, atol=1e-4)


def test_grey_and_blur_are_torchvisions():
    x = images()
    torch.testing.assert_close(grey_of(x), reference.rgb_to_grayscale(x), rtol=0, atol=1e-6)
    reach = math.ceil(4 * 0.05 * SIZE)
    for sigma in (0.004, 0.02, 0.05):
        wanted = reference.gaussian_blur(x, [2 * reach + 1] * 2, [sigma * SIZE] * 2)
        torch.testing.assert_close(blur(x, each([sigma] * len(x)), 0.05), wanted, rtol=0, atol=1e-5)
    assert torch.equal(blur(x, each([0.0] * len(x)), 0.05), x)


def test_saturation_and_hue_are_those_of_colorsys():
    x, factor, turn = images(4, 8), [0.5, 1.2, 3.0, 0.0], [0.25, -0.1, 0.5, 0.0]
    saturated, turned = saturate(x, each(factor)), turn_hue(x, each(turn))
    for number in range(len(x)):
        for y, across in np.ndindex(8, 8):
            hue, saturation, value = colorsys.rgb_to_hsv(*x[number, :, y, across].tolist())
            wanted = colorsys.hsv_to_rgb(hue, min(1, saturation * factor[number]), value)
            assert saturated[number, :, y, across].tolist() == pytest.approx(wanted, abs=1e-5)
            wanted = colorsys.hsv_to_rgb((hue + turn[number]) % 1, saturation, value)
            assert turned[number, :, y, across].tolist() == pytest.approx(wanted, abs=1e-5)


def test_contrast_then_brightness():
    spec, x = Augment(contrast=(0.5, 1.5), brightness=0.2), images(3)
    uniforms = np.full((UNIFORMS, 3), 0.5)
    uniforms[1], uniforms[2] = [0, 0.5, 1], [0.5, 1, 0]
    found = recolour(x, torch.from_numpy(sample_look(uniforms, spec)), spec)
    wanted = [x[0] * 0.5, x[1] + 0.2, x[2] * 1.5 - 0.2]
    torch.testing.assert_close(found, torch.stack(wanted).clamp(0, 1), rtol=0, atol=1e-6)


def test_a_cutout_fills_its_square_and_nothing_else():
    x = images(3, 8)
    y, across, side = each([0.5, 0.0, 0.5]), each([0.25, 0.5, 0.5]), each([0.5, 0.5, -1.0])
    squares = [(slice(2, 6), slice(0, 4)), (slice(0, 2), slice(2, 6))]
    for mean in (False, True):
        wanted = x.clone()
        for number, (rows, columns) in enumerate(squares):
            part = x[number, :, rows, columns]
            wanted[number, :, rows, columns] = part.mean((1, 2), keepdim=True) if mean else 0
        torch.testing.assert_close(cut_out(x, y, across, side, mean=mean), wanted, rtol=0, atol=1e-6)


def test_the_cutouts_size_is_of_the_side_or_of_the_area():
    uniforms = np.random.default_rng(0).random((UNIFORMS, 4000))
    side = sample_look(uniforms, Augment(cutout=0.5, cutout_size=(0.1, 0.3)))[:, -1]
    assert np.mean(side >= 0) == pytest.approx(0.5, abs=0.03)
    assert (side[side >= 0].min(), side.max()) == pytest.approx((0.1, 0.3), abs=1e-3)
    area = sample_look(uniforms, Augment(cutout=1, cutout_size=(0.0, 1.0), cutout_law="area"))[:, -1] ** 2
    assert np.quantile(area, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.03)


def test_bicubic_crops_are_near_those_of_pillow():
    """Pillow's kernel is another one (a = -0.5, not -0.75): on smooth images they differ by less than 3 of 255."""
    smooth = (images(4, 64).permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    smooth = np.stack([np.asarray(Image.fromarray(image).resize((8, 8)).resize((64, 64), 3)) for image in smooth])
    spec = Augment(flip=0.0, crop="scale", scale=(0.2, 0.5), ratio=(0.75, 4 / 3), interpolation="bicubic")
    parameters = drawn(spec, 4)
    for image, found, theta in zip(smooth, apply(smooth, parameters, SIZE), parameters.theta, strict=True):
        half, middle = np.array([theta[0, 0], theta[1, 1]]) * 32, (theta[:, 2] + 1) * 32
        (left, top), (right, bottom) = middle - half, middle + half
        box = (float(left), float(top), float(right), float(bottom))
        wanted = np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=box))
        error = np.abs(found.permute(1, 2, 0).numpy() * 255 - wanted)
        assert error[2:-2, 2:-2].max() < 3
        assert error.mean() < 0.5


def test_stretched_crops_have_the_stated_areas_and_ratios_and_fit():
    spec = Augment(flip=0.0, crop="scale", scale=(0.08, 1.0), ratio=(0.75, 4 / 3))
    theta = drawn(spec, 4000).theta
    wide, tall = theta[:, 0, 0], theta[:, 1, 1]
    assert max(wide.max(), tall.max()) <= 1 + 1e-6
    assert (np.abs(theta[:, 0, 2]) + wide).max() <= 1 + 1e-6
    assert (np.abs(theta[:, 1, 2]) + tall).max() <= 1 + 1e-6
    square = drawn(replace(spec, ratio=(1.0, 1.0)), 4000).theta
    assert wide * tall == pytest.approx(square[:, 0, 0] ** 2, rel=1e-5)
    small = wide * tall < 0.5
    stretch = np.log(wide / tall)[small] / np.log(4 / 3)
    assert (stretch.min(), stretch.max()) == pytest.approx((-1, 1), abs=0.01)
    assert np.quantile(stretch, [0.25, 0.75]) == pytest.approx([-0.5, 0.5], abs=0.06)


def test_probabilities_are_those_asked_for():
    uniforms = np.random.default_rng(0).random((UNIFORMS, 4000))
    look = sample_look(uniforms, EVERYTHING)
    shares = {2: 0.5, 9: 0.8, 11: 0.2, 12: 0.5}
    plain = {2: 1.0, 9: 0.0, 11: 0.0, 12: 0.0}
    for column, share in shares.items():
        assert np.mean(look[:, column] != plain[column]) == pytest.approx(share, abs=0.03)


def test_what_a_recipe_does_to_colours_leaves_every_other_draw_alone():
    """Configurations that share a seed differ only where they mean to: the geometry, and each other operation."""
    plain, coloured = drawn(replace(EVERYTHING, jitter=(0, 0, 0, 0), grey=0.0), 50), drawn(EVERYTHING, 50)
    assert (plain.theta == coloured.theta).all()
    same = [0, 1, 2, 12, 13, 14, 15]
    assert (plain.look[:, same] == coloured.look[:, same]).all()
    geometry = drawn(Augment(crop="scale", scale=(0.2, 1.0)), 50)
    assert (geometry.theta == drawn(replace(geometry.spec, grey=1.0), 50).theta).all()
    assert geometry.look is None


def test_a_workers_share_and_every_image_alone_have_the_bits_of_the_whole():
    shown, parameters = faces(12), drawn(EVERYTHING, 12)
    whole = apply(shown, parameters, SIZE)
    assert torch.equal(apply(shown[[1, 4, 5]], parameters[np.array([1, 4, 5])], SIZE), whole[[1, 4, 5]])
    for number in range(12):
        alone = slice(number, number + 1)
        assert torch.equal(apply(shown[alone], parameters[alone], SIZE), whole[alone])


def test_images_stay_in_range_and_constant_ones_finite():
    for level in (0, 128, 255):
        x = apply(np.full((50, 64, 64, 3), level, dtype=np.uint8), drawn(EVERYTHING, 50), SIZE)
        assert x.isfinite().all()
        assert x.min() >= 0
        assert x.max() <= 1
    x = apply(faces(50), drawn(EVERYTHING, 50), SIZE)
    assert x.min() >= 0
    assert x.max() <= 1


def test_evaluation_knows_no_colours():
    given = faces()
    plain = Augment(crop="scale", scale=(0.2, 1.0))
    assert torch.equal(evaluation(given, EVERYTHING, SIZE), evaluation(given, plain, SIZE))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_numbers_of_a_cpu():
    shown, parameters = faces(24), drawn(EVERYTHING, 24)
    found, wanted = apply(shown, parameters, SIZE, "cuda"), apply(shown, parameters, SIZE)
    torch.testing.assert_close(found.cpu(), wanted, rtol=0, atol=2e-5)
    assert torch.equal(apply(shown, parameters, SIZE, "cuda"), found)
