"""The backbones by name. A new one is one function and one entry here; listing names imports neither torch nor timm.

A backbone of another package has a line in that package's entry points of group ``fasray.nets.backbones`` instead,
which names a :class:`Backbone`, so that it is found in every process and on every node where the package is installed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fasray.plugins import Plugins, load

if TYPE_CHECKING:
    from torch import nn

    from fasray.nets.normalize import Normalize

    class Network(nn.Module):
        """A backbone's network."""

        num_features: int


GROUP = "fasray.nets.backbones"
"""Entry points of installed packages: name = ``module:constant``, the constant a :class:`Backbone`."""

RGB = tuple[float, float, float]
_IMAGENET: tuple[RGB, RGB] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HALF: tuple[RGB, RGB] = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
_NONE: tuple[RGB, RGB] = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Backbone:
    """What is known of a backbone without building it.

    Args:
        name: as a sweep file gives it.
        title: for people.
        family: ``resnet``, ``vit``, ``clip`` or ``mobilevit``; networks of a family share their state-dict names.
        build: ``module:function`` of ``function(width, image_size)``, which returns the network.
        num_features: F at width 1.
        parameters: at width 1 and ``image_size``.
        learning_rate: recommended for pretrained weights.
        scratch_learning_rate: recommended for random weights.
        source: paper, and whose published weights fit.
        image_size: recommended side of the images, pixels: that of the published weights.
        mean: of the RGB channels in [0, 1], subtracted before the network.
        std: by which they are then divided.
        patch: side of a patch in pixels; None for convolutional networks.
        optimizer: recommended optimizer; the learning rates are meant for it.
        weight_decay: recommended for that optimizer; None: the method's own.
    """

    name: str
    title: str
    family: str
    build: str
    num_features: int
    parameters: int
    learning_rate: float
    scratch_learning_rate: float
    source: str
    image_size: int = 224
    mean: RGB = _IMAGENET[0]
    std: RGB = _IMAGENET[1]
    patch: int | None = None
    optimizer: str = "adamw"
    weight_decay: float | None = 0.05


def _resnet(name: str, title: str, num_features: int, parameters: int) -> Backbone:
    source = "He et al., CVPR 2016; weights of torchvision"
    build = f"fasray.nets.resnet:make_{name}"
    return Backbone(
        name, title, "resnet", build, num_features, parameters, 0.01, 0.01, source, optimizer="sgd", weight_decay=None
    )


def _vit(
    name: str, title: str, parameters: int, source: str, norm: tuple[RGB, RGB] = _IMAGENET, image_size: int = 224
) -> Backbone:
    small = "_s_" in name
    return Backbone(
        name=name,
        title=title,
        family="vit",
        build=f"fasray.nets.backbones.vit:{name}",
        num_features=384 if small else 768,
        parameters=parameters,
        learning_rate=3e-5 if small else 1e-5,
        scratch_learning_rate=5e-4 if small else 3e-4,
        source=source,
        image_size=image_size,
        mean=norm[0],
        std=norm[1],
        patch=int(name.split("_")[-1 if name[-1].isdigit() else -2]),
    )


_VIT = "Dosovitskiy et al., ICLR 2021; weights of timm (vit_{}_patch16_224)"
_DINOV2 = "Oquab et al., TMLR 2024; weights of Meta, Hugging Face or timm (vit_{}_patch14_dinov2)"
_REG = "Darcet et al., ICLR 2024; weights of Meta, Hugging Face or timm (vit_{}_patch14_reg4_dinov2)"

_BACKBONES = (
    _resnet("resnet18", "ResNet-18", 512, 11_176_512),
    _resnet("resnet50", "ResNet-50", 2048, 23_508_032),
    _vit("vit_s_16", "ViT-S/16", 21_665_664, _VIT.format("small"), _HALF),
    _vit("vit_b_16", "ViT-B/16", 85_798_656, _VIT.format("base"), _HALF),
    _vit("vit_s_14", "ViT-S/14 of DINOv2", 22_056_192, _DINOV2.format("small"), image_size=518),
    _vit("vit_b_14", "ViT-B/14 of DINOv2", 86_579_712, _DINOV2.format("base"), image_size=518),
    _vit("dinov2_vit_s_14_reg", "ViT-S/14 of DINOv2 with registers", 22_057_344, _REG.format("small"), image_size=518),
    _vit("dinov2_vit_b_14_reg", "ViT-B/14 of DINOv2 with registers", 86_582_016, _REG.format("base"), image_size=518),
    Backbone(
        name="clip_vit_b_16",
        title="CLIP ViT-B/16, image tower",
        family="clip",
        build="fasray.nets.backbones.clip:clip_vit_b_16",
        num_features=768,
        parameters=85_799_424,
        learning_rate=1e-5,
        scratch_learning_rate=3e-4,
        source="Radford et al., ICML 2021; weights of OpenAI, Hugging Face or open_clip",
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        patch=16,
    ),
    Backbone(
        name="mobilevit_s",
        title="MobileViT-S",
        family="mobilevit",
        build="fasray.nets.backbones.mobilevit:mobilevit_s",
        num_features=640,
        parameters=4_937_632,
        learning_rate=1e-4,
        scratch_learning_rate=1e-3,
        source="Mehta and Rastegari, ICLR 2022; weights of timm (mobilevit_s)",
        image_size=256,
        mean=_NONE[0],
        std=_NONE[1],
    ),
)
BACKBONES = {backbone.name: backbone for backbone in _BACKBONES}
"""The built-in backbones."""

_OTHERS: Plugins[Backbone] = Plugins(GROUP, "backbone", BACKBONES)


def names() -> tuple[str, ...]:
    """Return the names of all backbones: built-in ones, then those of other packages.

    Raises:
        SpecError: another package gives its backbone a name that is taken.
    """
    return (*BACKBONES, *_OTHERS.names())


def get(name: str) -> Backbone:
    """Return what is known of a backbone.

    Raises:
        SpecError: there is no backbone of that name, or the package that provides it cannot be imported.
    """
    return BACKBONES.get(name) or _OTHERS.get(name, "key backbone")


def registered(backbone: Backbone) -> AbstractContextManager[None]:
    """Register a backbone inside a ``with`` block, in this process; for tests and notebooks.

    Raises:
        SpecError: its name is taken.
    """
    return _OTHERS.registered(backbone.name, backbone, "Backbone.name")


def make(name: str, *, width: float = 1.0, image_size: int) -> Network:
    """Return a network with random weights from torch's global generator.

    It takes normalised images, [B, 3, S, S] (see :func:`normalizer`), and returns [B, F] features; its attribute
    ``num_features`` is F. It draws no random numbers when it runs, and its batch normalisation is
    :class:`fasray.nets.batchnorm.BatchNorm2d`.

    Args:
        name: of the backbone.
        width: 1 is the published network. A smaller one has so much fewer channels; all but ``resnet18`` then also have
            fewer blocks, by the square root of ``width``.
        image_size: S. A transformer's position embeddings are made for it. Where it is no multiple of the patch, images
            are first resized to the nearest one (64 pixels are 70 with patches of 14).

    Raises:
        SpecError: there is no backbone of that name.
    """
    network: Network = load(get(name).build)(width, image_size)
    return network


def normalizer(name: str) -> Normalize:
    """Return the module that makes RGB images in [0, 1] what the backbone's weights expect; it has no state.

    Raises:
        SpecError: there is no backbone of that name.
    """
    from fasray.nets.normalize import Normalize

    backbone = get(name)
    return Normalize(backbone.mean, backbone.std)


def recommended(name: str, *, pretrained: bool) -> dict[str, str | float]:
    """Return the settings recommended for a backbone; none for what SGD trains, where the method's own hold.

    Args:
        name: of the backbone.
        pretrained: whether it starts from weights.

    Raises:
        SpecError: there is no backbone of that name.
    """
    backbone = get(name)
    if backbone.optimizer == "sgd":
        return {}
    rate = backbone.learning_rate if pretrained else backbone.scratch_learning_rate
    found: dict[str, str | float] = {"optimizer": backbone.optimizer, "learning_rate": rate}
    return found if backbone.weight_decay is None else {**found, "weight_decay": backbone.weight_decay}


def least_scratch_rate(name: str, optimizer: str) -> float:
    """Return the learning rate below which random weights hardly move in any usual budget.

    It is a tenth of the recommended one, or a hundredth with SGD, whose rates vary more; 1e-5 where another optimizer
    than the recommended one is used.

    Args:
        name: of the backbone.
        optimizer: ``sgd``, ``adam`` or ``adamw``.

    Raises:
        SpecError: there is no backbone of that name.
    """
    backbone = get(name)
    if (optimizer == "sgd") != (backbone.optimizer == "sgd"):
        return 1e-5
    return backbone.scratch_learning_rate / (100 if optimizer == "sgd" else 10)
