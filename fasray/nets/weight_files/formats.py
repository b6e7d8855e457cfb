"""How published weights files name their tensors, and what these are called in fasray's networks.

fasray has OpenAI's names for CLIP, timm's for vision transformers and MobileViT, and torchvision's for ResNets. A
format is a grammar: each pattern matches names of its files, and the replacement is fasray's name. A replacement may
end in ``@q``, ``@k`` or ``@v`` (these three are joined, in this order) or in ``@t`` (the matrix is transposed).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fasray.errors import DataError

_WB = "(weight|bias)"
_PREFIXES = ("module.", "backbone.")
"""Of networks that were trained in parallel, or as a part of another."""


@dataclass(frozen=True)
class Format:
    """One library's names for the networks of one family."""

    name: str
    """As people call it."""
    family: str
    """Of the backbones whose weights it holds, see :class:`fasray.nets.backbones.Backbone`, or ``clip``."""
    names: Mapping[str, str]
    """Replacements by pattern of the whole name."""
    dropped: str
    """Pattern of names that fasray's networks do not have: classifiers, constants."""
    class_position: bool = False
    """Whether the class token has a position embedding where there are registers too; it is added to the token."""

    def renamed(self, name: str) -> str | None:
        """Return fasray's name; empty for what is dropped, None for a name that the format does not have."""
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        for pattern, replacement in self.names.items():
            if match := re.fullmatch(pattern, name):
                return match.expand(replacement)
        return "" if re.fullmatch(self.dropped, name) else None

    def matches(self, names: Mapping[str, object]) -> int:
        """Return how many of a file's names are the format's."""
        return sum(self.renamed(name) is not None for name in names)

    def convert(self, tensors: Mapping[str, Tensor], where: str) -> tuple[dict[str, Tensor], list[str]]:
        """Return float32 tensors by fasray's names, and the names that the format does not have.

        Raises:
            DataError: a part of a joined tensor is missing or of another shape, two names are one, or a number is not
                finite.
        """
        found: dict[str, Tensor] = {}
        unknown: list[str] = []
        for name, tensor in tensors.items():
            own = self.renamed(name)
            if own is None:
                unknown.append(name)
            elif own in found:
                raise DataError(f"two tensors of the file are {own}, one of them {name}", where=where)
            elif own:
                found[own] = _float32(tensor, name, where)
        found = _joined(found, where)
        if self.class_position and {"reg_token", "cls_token", "pos_embed"} <= set(found):
            found["cls_token"] = found["cls_token"] + found["pos_embed"][:, :1]
            found["pos_embed"] = found["pos_embed"][:, 1:]
        return {name: tensor.contiguous() for name, tensor in found.items()}, unknown


def _float32(tensor: Tensor, name: str, where: str) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.clone()
    if not bool(torch.isfinite(tensor).all()):
        raise DataError(f"{name} has values that are not finite", where=where, remedy="take an undamaged file")
    return tensor.to(torch.float32, copy=True)


def _joined(found: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    joined: dict[str, Tensor] = {}
    for name, tensor in found.items():
        own, _, mark = name.partition("@")
        if mark == "t":
            joined[own] = tensor.T
        elif not mark:
            joined[own] = tensor
        elif own not in joined:
            parts = {letter: found.get(f"{own}@{letter}") for letter in "qkv"}
            shapes = {letter: None if part is None else tuple(part.shape) for letter, part in parts.items()}
            if len(set(shapes.values())) > 1:
                raise DataError(
                    f"queries, keys and values of {own} do not belong together: their shapes are "
                    + ", ".join(f"{letter} {shape or 'missing'}" for letter, shape in shapes.items()),
                    where=where,
                    remedy="the file is incomplete or damaged: take the whole one",
                )
            joined[own] = torch.cat([part for part in parts.values() if part is not None])
    return joined


def _clip_tower(own: str, attention: str, parts: Mapping[str, str]) -> dict[str, str]:
    """Return the names of a Hugging Face tower's blocks."""
    prefix, target = rf"{own}\.encoder\.layers\.(\d+)\.", rf"{attention}transformer.resblocks.\1."
    return {
        **{rf"{prefix}{theirs}\.{_WB}": rf"{target}{ours}.\2" for theirs, ours in parts.items()},
        **{rf"{prefix}self_attn\.{letter}_proj\.{_WB}": rf"{target}attn.in_proj_\2@{letter}" for letter in "qkv"},
    }


_CLIP_BLOCK = {
    "self_attn\\.out_proj": "attn.out_proj", "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp\\.fc1": "mlp.c_fc",
    "mlp\\.fc2": "mlp.c_proj",
}  # fmt: skip

_OPENAI = {
    rf"(?:text\.)?({name})": r"\1"
    for name in (
        r"visual\.(?:conv1\.weight|class_embedding|positional_embedding|proj|ln_(?:pre|post)\.(?:weight|bias))",
        r"(?:visual\.)?transformer\.resblocks\.\d+\.attn\.in_proj_(?:weight|bias)",
        r"(?:visual\.)?transformer\.resblocks\.\d+\.(?:attn\.out_proj|ln_[12]|mlp\.c_(?:fc|proj))\.(?:weight|bias)",
        r"token_embedding\.weight|positional_embedding|ln_final\.(?:weight|bias)|text_projection|logit_scale",
    )
}
_CLIP_DROPPED = r"(?:(?:text\.)?attn_mask|(?:text|vision)_model\.embeddings\.position_ids)"

_TIMM_VIT = {
    rf"({name})": r"\1"
    for name in (
        r"cls_token|reg_token|pos_embed|patch_embed\.proj\.(?:weight|bias)|norm\.(?:weight|bias)",
        r"blocks\.\d+\.(?:norm[12]|attn\.(?:qkv|proj)|mlp\.fc[12])\.(?:weight|bias)|blocks\.\d+\.ls[12]\.gamma",
    )
}
_HUGGING_FACE_VIT = {
    rf"(?:\w+\.)?{theirs}": ours
    for theirs, ours in {
        r"embeddings\.cls_token": "cls_token",
        r"embeddings\.register_tokens": "reg_token",
        r"embeddings\.position_embeddings": "pos_embed",
        rf"embeddings\.patch_embeddings\.projection\.{_WB}": r"patch_embed.proj.\1",
        rf"(?:encoder\.layer|layers)\.(\d+)\.(?:layernorm_before|norm1)\.{_WB}": r"blocks.\1.norm1.\2",
        rf"(?:encoder\.layer|layers)\.(\d+)\.(?:layernorm_after|norm2)\.{_WB}": r"blocks.\1.norm2.\2",
        rf"(?:encoder\.layer|layers)\.(\d+)\.attention\.(?:output\.dense|o_proj)\.{_WB}": r"blocks.\1.attn.proj.\2",
        rf"(?:encoder\.layer|layers)\.(\d+)\.(?:intermediate\.dense|mlp\.fc1)\.{_WB}": r"blocks.\1.mlp.fc1.\2",
        rf"(?:encoder\.layer|layers)\.(\d+)\.(?:output\.dense|mlp\.fc2)\.{_WB}": r"blocks.\1.mlp.fc2.\2",
        r"(?:encoder\.layer|layers)\.(\d+)\.layer_scale([12])\.lambda1": r"blocks.\1.ls\2.gamma",
        rf"layernorm\.{_WB}": r"norm.\1",
        **{
            rf"(?:encoder\.layer|layers)\.(\d+)\.attention\.(?:attention\.{word}|{word[0]}_proj)\.{_WB}":
            rf"blocks.\1.attn.qkv.\2@{word[0]}" for word in ("query", "key", "value")
        },
    }.items()
}  # fmt: skip

FORMATS = (
    Format("OpenAI or open_clip", "clip", _OPENAI, rf"{_CLIP_DROPPED}|input_resolution|context_length|vocab_size"),
    Format(
        "Hugging Face",
        "clip",
        {
            r"vision_model\.embeddings\.class_embedding": "visual.class_embedding",
            r"vision_model\.embeddings\.patch_embedding\.weight": "visual.conv1.weight",
            r"vision_model\.embeddings\.position_embedding\.weight": "visual.positional_embedding",
            rf"vision_model\.pre_layrnorm\.{_WB}": r"visual.ln_pre.\1",
            rf"vision_model\.post_layernorm\.{_WB}": r"visual.ln_post.\1",
            r"visual_projection\.weight": "visual.proj@t",
            r"text_model\.embeddings\.token_embedding\.weight": "token_embedding.weight",
            r"text_model\.embeddings\.position_embedding\.weight": "positional_embedding",
            rf"text_model\.final_layer_norm\.{_WB}": r"ln_final.\1",
            r"text_projection\.weight": "text_projection@t",
            r"(logit_scale)": r"\1",
            **_clip_tower("vision_model", "visual.", _CLIP_BLOCK),
            **_clip_tower("text_model", "", _CLIP_BLOCK),
        },
        _CLIP_DROPPED,
    ),
    Format("timm", "vit", _TIMM_VIT, rf"(?:head|head_dist|fc_norm)\.{_WB}"),
    Format("Hugging Face", "vit", _HUGGING_FACE_VIT, rf"(?:classifier|(?:\w+\.)?pooler\.dense)\.{_WB}|"
           rf"(?:\w+\.)?embeddings\.mask_token", class_position=True),
    Format(
        "Meta's DINOv2",
        "vit",
        {
            rf"(cls_token|pos_embed|patch_embed\.proj\.{_WB}|norm\.{_WB})": r"\1",
            r"register_tokens": "reg_token",
            rf"blocks\.(?:\d+\.)?(\d+)\.((?:norm[12]|attn\.(?:qkv|proj)|mlp\.fc[12])\.{_WB})":
            r"blocks.\1.\2",
            r"blocks\.(?:\d+\.)?(\d+)\.(ls[12]\.gamma)": r"blocks.\1.\2",
        },
        r"mask_token|(?:dino|ibot)_head\..*",
        class_position=True,
    ),
    Format(
        "torchvision",
        "vit",
        {
            r"class_token": "cls_token",
            r"encoder\.pos_embedding": "pos_embed",
            rf"conv_proj\.{_WB}": r"patch_embed.proj.\1",
            rf"encoder\.ln\.{_WB}": r"norm.\1",
            rf"encoder\.layers\.\w+_(\d+)\.ln_([12])\.{_WB}": r"blocks.\1.norm\2.\3",
            rf"encoder\.layers\.\w+_(\d+)\.self_attention\.in_proj_{_WB}": r"blocks.\1.attn.qkv.\2",
            rf"encoder\.layers\.\w+_(\d+)\.self_attention\.out_proj\.{_WB}": r"blocks.\1.attn.proj.\2",
            rf"encoder\.layers\.\w+_(\d+)\.mlp\.(?:0|linear_1)\.{_WB}": r"blocks.\1.mlp.fc1.\2",
            rf"encoder\.layers\.\w+_(\d+)\.mlp\.(?:3|linear_2)\.{_WB}": r"blocks.\1.mlp.fc2.\2",
        },
        r"heads\..*",
    ),
    Format(
        "torchvision or timm",
        "resnet",
        {r"((?:conv1|bn1|layer[1-4]\.\d+\.(?:conv[123]|bn[123]|downsample\.[01]))\.\w+)": r"\1"},
        rf"fc\.{_WB}",
    ),
    Format(
        "timm",
        "mobilevit",
        {r"((?:stem|stages\.\d+|final_conv)\..+)": r"\1"},
        rf"head\.(?:fc\.)?{_WB}",
    ),
)  # fmt: skip
"""In the order in which they are tried; the one that knows most of a file's names is taken."""
