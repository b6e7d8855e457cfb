import pytest
import torch
from torchvision.models import resnet18

from fasray.nets.normalize import ImageNetNormalize
from fasray.nets.resnet import ResNet18


def test_it_is_torchvisions_resnet18_without_its_classifier():
    torch.manual_seed(0)
    theirs = resnet18()
    ours = ResNet18()
    state = {name: value for name, value in theirs.state_dict().items() if not name.startswith("fc.")}
    ours.load_state_dict(state)
    theirs.fc = torch.nn.Identity()
    images = torch.rand(2, 3, 64, 64)
    for train in (True, False):
        torch.testing.assert_close(ours.train(train)(images), theirs.train(train)(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("width", "features"), [(0.125, 64), (0.25, 128), (0.5, 256), (2.0, 1024)])
def test_width_multiplies_the_features(width, features):
    backbone = ResNet18(width).eval()
    assert backbone.num_features == features
    assert backbone(torch.rand(1, 3, 32, 32)).shape == (1, features)


def test_the_four_maps_shrink_by_two():
    maps = ResNet18(0.125).eval().maps(torch.rand(1, 3, 96, 96))
    assert [tuple(one.shape[1:]) for one in maps] == [(8, 24, 24), (16, 12, 12), (32, 6, 6), (64, 3, 3)]


def test_normalisation_is_torchvisions_and_no_part_of_the_state():
    images = torch.rand(2, 3, 8, 8)
    normalize = ImageNetNormalize()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(normalize(images)[:, 1], (images[:, 1] - mean[1]) / std[1])
    assert not normalize.state_dict()
