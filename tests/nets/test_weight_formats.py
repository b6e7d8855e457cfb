"""Files of the libraries, made by them with random weights, load to networks that give what theirs give."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
import torchvision
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fasray.nets import backbones
from fasray.nets.clip import CLIP, GRID, PATCH, ImageTower
from fasray.nets.weight_files.convert import Recognised, convert
from fasray.nets.weights import load_backbone

WIDTH = 0.125
VIT: dict[str, Any] = {"embed_dim": 48, "num_heads": 1, "depth": 4}
"""Small ViT-S, as fasray has it at width 1/8."""
HUGGING_FACE_VIT: dict[str, Any] = {
    "hidden_size": 48, "num_attention_heads": 1, "num_hidden_layers": 4, "intermediate_size": 192
}  # fmt: skip
CLIP_SIZE = GRID * PATCH
TOKENS = torch.tensor([[49406, 320, 1125, 539, 49407, 0, 0], [49406, 589, 533, 49407, 0, 0, 0]])

State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(3)


def shaken(model: nn.Module) -> Any:
    """Make every tensor random: norms, scales and biases start as ones and zeros, which hides mistakes."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.add_(torch.rand_like(buffer), alpha=0.1)
    return model.eval()


def written(state: State, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=path.suffix != ".old")
    return path


def network_of(path: Path, name: str, size: int, width: float = WIDTH) -> tuple[Recognised, Any]:
    """Return what the converter says of a file, and our network with its weights."""
    out = str(path.with_name("converted.safetensors"))
    found = convert(str(path), out, width=width)
    network = backbones.make(name, width=width, image_size=size)
    load_backbone(network, out, architecture=name)
    return found, network.eval()


def agrees(ours: Tensor, theirs: Tensor) -> None:
    largest = float(theirs.abs().max())
    assert largest > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * max(1.0, largest))


@torch.no_grad()
def check(path: Path, name: str, library: str, x: Tensor, theirs: Tensor, width: float = WIDTH) -> None:
    found, network = network_of(path, name, x.shape[-1], width)
    assert (found.architecture, found.format) == (name, library)
    agrees(network(x), theirs)


@pytest.mark.parametrize(
    ("name", "theirs", "patch", "suffix"),
    [
        ("vit_s_16", "vit_small_patch16_224", 16, ".pth"),
        ("vit_s_14", "vit_small_patch14_dinov2", 14, ".old"),
        ("dinov2_vit_s_14_reg", "vit_small_patch14_reg4_dinov2", 14, ".safetensors"),
    ],
)
@torch.no_grad()
def test_vision_transformers_of_timm(name: str, theirs: str, patch: int, suffix: str, tmp_path: Path) -> None:
    model = shaken(timm.create_model(theirs, img_size=2 * patch, num_classes=5, **VIT))
    path, x = written(model.state_dict(), tmp_path / f"w{suffix}"), torch.randn(2, 3, 2 * patch, 2 * patch)
    check(path, name, "timm", x, model.forward_head(model.forward_features(x), pre_logits=True))


@torch.no_grad()
def test_mobilevit_of_timm(tmp_path: Path) -> None:
    model, x = shaken(timm.create_model("mobilevit_s", num_classes=5)), torch.randn(1, 3, 64, 64)
    path = written(model.state_dict(), tmp_path / "w.safetensors")
    theirs = model.forward_head(model.forward_features(x), pre_logits=True)
    check(path, "mobilevit_s", "timm", x, theirs, width=1)


@torch.no_grad()
def test_a_resnet_of_torchvision_in_a_checkpoint_of_a_parallel_training(tmp_path: Path) -> None:
    model, x = shaken(torchvision.models.resnet18()), torch.randn(1, 3, 64, 64)
    parallel = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": parallel, "optimizer": {"lr": [0.1]}}, tmp_path / "w.pth")
    model.fc = nn.Identity()
    check(tmp_path / "w.pth", "resnet18", "torchvision or timm", x, model(x), width=1)


@torch.no_grad()
def test_a_vision_transformer_of_torchvision(tmp_path: Path) -> None:
    model = shaken(torchvision.models.VisionTransformer(32, 16, 4, 1, 48, 192, num_classes=5))
    path, x = written(model.state_dict(), tmp_path / "w.pth"), torch.randn(2, 3, 32, 32)
    model.heads = nn.Identity()
    check(path, "vit_s_16", "torchvision", x, model(x))


@pytest.mark.parametrize(("saved", "suffix"), [(True, ".safetensors"), (False, ".bin")])
@torch.no_grad()
def test_transformers_of_hugging_face(saved: bool, suffix: str, tmp_path: Path) -> None:
    """A model of transformers 5 has other names in memory than in the files that it writes."""
    registers = transformers.Dinov2WithRegistersConfig(**HUGGING_FACE_VIT, image_size=28, patch_size=14)
    plain = transformers.ViTConfig(**HUGGING_FACE_VIT, image_size=32, patch_size=16, layer_norm_eps=1e-6)
    dinov2 = transformers.Dinov2Config(**HUGGING_FACE_VIT, image_size=28, patch_size=14)
    for name, size, network in (
        ("dinov2_vit_s_14_reg", 28, transformers.Dinov2WithRegistersModel(registers)),
        ("vit_s_16", 32, transformers.ViTModel(plain)),
        ("vit_s_14", 28, transformers.Dinov2Model(dinov2)),
    ):
        model, x = shaken(network), torch.randn(2, 3, size, size)
        path = written(state_of_hugging_face(model, saved, tmp_path), tmp_path / f"w{suffix}")
        check(path, name, "Hugging Face", x, model(x).last_hidden_state[:, 0])


def state_of_hugging_face(model: Any, saved: bool, folder: Path) -> State:
    if not saved:
        return dict(model.state_dict())
    model.save_pretrained(folder / model.config.model_type)
    return load_file(folder / model.config.model_type / "model.safetensors")


@pytest.mark.parametrize("blocks", ["blocks", "blocks.0"])
@torch.no_grad()
def test_dinov2_of_meta(blocks: str, tmp_path: Path) -> None:
    """Its class token has a position embedding, which timm adds to the token; its blocks may be in chunks."""
    model = shaken(timm.create_model("vit_small_patch14_reg4_dinov2", img_size=28, num_classes=0, **VIT))
    state, first = dict(model.state_dict()), torch.randn(1, 1, 48)
    state = {name.replace("blocks", blocks): tensor for name, tensor in state.items()}
    state["register_tokens"], state["mask_token"] = state.pop("reg_token"), torch.randn(1, 48)
    state["cls_token"] = state["cls_token"] - first
    state["pos_embed"] = torch.cat([first, state["pos_embed"]], 1)
    x = torch.randn(2, 3, 28, 28)
    check(written(state, tmp_path / "w.pth"), "dinov2_vit_s_14_reg", "Meta's DINOv2", x, model(x))


def small_open_clip(width: float = WIDTH) -> Any:
    heads, layers = (1, 2) if width == WIDTH else (12, 12)
    vision = open_clip.CLIPVisionCfg(layers=layers, width=64 * heads, patch_size=PATCH, image_size=CLIP_SIZE)
    heads = 1 if width == WIDTH else 8
    text = open_clip.CLIPTextCfg(width=64 * heads, heads=heads, layers=layers)
    return shaken(open_clip.CLIP(64 * heads, vision, text, quick_gelu=True))


def as_openai(model: Any, path: Path) -> Any:
    """Write a model as OpenAI did: traced, in half precision, with three constants; return what is in the file."""
    del model.context_length, model.vocab_size
    for name, number in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)):
        model.register_buffer(name, torch.tensor(number))
    x, tokens = torch.randn(1, 3, CLIP_SIZE, CLIP_SIZE), padded(TOKENS)
    torch.jit.trace(model, (x, tokens), check_trace=False).half().save(path)
    return model.half().float()


def padded(tokens: Tensor) -> Tensor:
    return torch.cat([tokens, tokens.new_zeros(len(tokens), 77 - tokens.shape[1])], 1)


def state_file_of_open_clip(model: Any, path: Path) -> Any:
    torch.save({"name": "ViT-B-16-quickgelu", "state_dict": model.state_dict()}, path)
    return model


def safetensors_of_open_clip(model: Any, path: Path) -> Any:
    save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, path)
    return model


@torch.no_grad()
def check_clip(path: Path, library: str, width: float, image: Callable[[Tensor], Tensor], text: Tensor) -> None:
    """Compare both towers, and the image tower by itself, with the features of another library."""
    out, x = str(path.with_name("converted.safetensors")), torch.randn(1, 3, CLIP_SIZE, CLIP_SIZE)
    found = convert(str(path), out, width=width)
    assert (found.architecture, found.format) == ("clip_vit_b_16", library)
    clip, tower = CLIP(width).eval(), ImageTower(width).eval()
    load_backbone(clip, out, architecture="clip_vit_b_16")
    load_backbone(tower, out, architecture="clip_vit_b_16")
    agrees(clip(x), image(x))
    agrees(clip.encode_text(TOKENS), text)
    assert torch.equal(tower(x), clip.visual(x))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize(
    ("library", "save", "name"),
    [
        ("OpenAI", as_openai, "ViT-B-16.pt"),
        ("open_clip", state_file_of_open_clip, "open_clip_pytorch_model.bin"),
        ("open_clip", safetensors_of_open_clip, "open_clip_model.safetensors"),
    ],
)
@pytest.mark.parametrize("width", [WIDTH, pytest.param(1.0, marks=pytest.mark.slow)])
@torch.no_grad()
def test_clip_of_openai_and_open_clip(
    library: str, save: Callable[[Any, Path], Any], name: str, width: float, tmp_path: Path
) -> None:
    model = save(small_open_clip(width), tmp_path / name)
    check_clip(tmp_path / name, library, width, model.encode_image, model.encode_text(padded(TOKENS)))


@pytest.mark.parametrize("width", [WIDTH, pytest.param(1.0, marks=pytest.mark.slow)])
@torch.no_grad()
def test_clip_of_hugging_face(width: float, tmp_path: Path) -> None:
    heads, layers, text_heads = (1, 2, 1) if width == WIDTH else (12, 12, 8)
    model = shaken(
        transformers.CLIPModel(
            transformers.CLIPConfig(
                text_config=hugging_face_tower(text_heads, layers),
                vision_config={**hugging_face_tower(heads, layers), "image_size": CLIP_SIZE, "patch_size": PATCH},
                projection_dim=64 * text_heads,
            )
        )
    )
    path = written(state_of_hugging_face(model, True, tmp_path), tmp_path / "w.safetensors")
    text = model.get_text_features(TOKENS)
    check_clip(path, "Hugging Face", width, lambda x: pooled(model.get_image_features(x)), pooled(text))


def hugging_face_tower(heads: int, layers: int) -> dict[str, int]:
    width = 64 * heads
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
    }


def pooled(features: Any) -> Tensor:
    return features if isinstance(features, Tensor) else features.pooler_output
