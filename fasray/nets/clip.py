"""CLIP ViT-B/16: an image tower and a text tower whose features are compared by their cosine.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021 (arXiv 2103.00020).
Names in the state dict are those of OpenAI's file ``ViT-B-16.pt``, less its three constants, so that a converted file
loads as it is. At full size the model has 149,620,737 parameters: 86,192,640 in the image tower, 63,428,096 in the text
tower, and the logit scale.

Shapes: B images, N = 1 + patches tokens of an image, P texts, L tokens of a text, C width of a tower, F features of the
common space (512 at full size).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.errors import SpecError

PATCH = 16
"""Side of a patch, pixels."""
GRID = 14
"""Patches along a side of the images that CLIP was trained on, 224 pixels; the position embedding has this grid."""
CONTEXT = 77
"""Most tokens of a text."""
VOCABULARY = 49408
"""Tokens of OpenAI's byte-pair vocabulary."""
HEAD = 64
"""Features of an attention head."""
TEMPERATURE = 0.07
"""Logits start as cosines divided by this."""
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def tower_shape(heads: int, width: float) -> tuple[int, int]:
    """Return (features, layers) of a tower that has ``heads`` heads and 12 layers at width 1.

    Width and layers shrink together, down to one head of 64 features and two layers.
    """
    return HEAD * max(1, int(heads * width)), max(2, int(12 * width))


class Attention(nn.Module):
    """Multi-head self-attention with the state names, initial values and arithmetic of ``nn.MultiheadAttention``.

    Args:
        features: C, a multiple of 64.
        causal: whether a token sees only itself and those before it.
    """

    def __init__(self, features: int, causal: bool) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * features, features))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * features))
        self.out_proj = nn.Linear(features, features)
        self.causal = causal
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """Return [B, N, C]."""
        count, tokens, features = x_BNC.shape
        qkv = functional.linear(x_BNC, self.in_proj_weight, self.in_proj_bias)
        query, key, value = qkv.view(count, tokens, 3, features // HEAD, HEAD).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(count, tokens, features))
        return out


class MLP(nn.Module):
    """Two linear layers with a sigmoid approximation of GELU between them, x sigmoid(1.702 x)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(features, 4 * features)
        self.c_proj = nn.Linear(4 * features, features)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        hidden = functional.silu(1.702 * self.c_fc(x)) / 1.702  # keeps less for the way back than a product would
        out: Tensor = self.c_proj(hidden)
        return out


class Block(nn.Module):
    """Attention, then the MLP, each on normalised features and added to its input."""

    def __init__(self, features: int, causal: bool) -> None:
        super().__init__()
        self.attn = Attention(features, causal)
        self.ln_1 = nn.LayerNorm(features)
        self.mlp = MLP(features)
        self.ln_2 = nn.LayerNorm(features)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """Return [B, N, C]."""
        x_BNC = x_BNC + self.attn(self.ln_1(x_BNC))
        out: Tensor = x_BNC + self.mlp(self.ln_2(x_BNC))
        return out


class Transformer(nn.Module):
    """Blocks one after the other."""

    def __init__(self, features: int, layers: int, *, causal: bool = False) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(Block(features, causal) for _ in range(layers)))

    def forward(self, x_BNC: Tensor) -> Tensor:
        """Return [B, N, C]."""
        out: Tensor = self.resblocks(x_BNC)
        return out


class ImageTower(nn.Module):
    """Vision transformer, from [B, 3, S, S] normalised images to [B, ``num_features``], the class token.

    The position embedding is that of 14 x 14 patches whatever the image size, so that weights always fit; for other
    sizes it is interpolated (bicubic, antialiased, as timm and open_clip do) by a constant matrix. Only whole patches
    are seen: of an image whose side is no multiple of 16, the last rows and columns are not.

    Args:
        width: multiplier of width and layers; 1 gives 12 layers of 768.
        image_size: S, at least 16.
        embedding: F, of the projection ``proj``, which :class:`CLIP` applies; None: the tower is used alone and has
            no such parameter.

    Raises:
        SpecError: the images are smaller than a patch.
    """

    resample: Tensor | None

    def __init__(self, width: float = 1.0, image_size: int = GRID * PATCH, embedding: int | None = None) -> None:
        super().__init__()
        if image_size < PATCH:
            raise SpecError(
                f"images of {image_size} pixels are smaller than CLIP's patches of {PATCH}",
                where="key training.image_size",
                remedy=f"set it to {PATCH} or more; CLIP's own is {GRID * PATCH}",
            )
        features, layers = tower_shape(12, width)
        self.num_features = features
        self.conv1 = nn.Conv2d(3, features, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(features) * features**-0.5)
        self.positional_embedding = nn.Parameter(torch.randn(1 + GRID**2, features) * features**-0.5)
        self.ln_pre = nn.LayerNorm(features)
        self.transformer = Transformer(features, layers)
        self.ln_post = nn.LayerNorm(features)
        self.proj = None if embedding is None else nn.Parameter(torch.randn(features, embedding) * features**-0.5)
        side = image_size // PATCH
        self.register_buffer("resample", None if side == GRID else _resampling(side), persistent=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return [B, C] features of the class token after the last normalisation, not projected."""
        patch_BNC = self.conv1(x_BCHW).flatten(2).transpose(1, 2)
        start_BNC = self.class_embedding.to(patch_BNC.dtype).expand(patch_BNC.shape[0], 1, -1)
        x_BNC = torch.cat([start_BNC, patch_BNC], 1) + self.positions()
        x_BNC = self.transformer(self.ln_pre(x_BNC))
        out: Tensor = self.ln_post(x_BNC[:, 0])
        return out

    def train_only(self, part: Literal["all", "last_4", "ln_only"]) -> None:
        """Freeze all parameters but those of a part.

        Args:
            part: ``last_4``: the last four blocks, the last normalisation and the projection; ``ln_only``: the layers
                of normalisation.
        """
        trained = {
            "all": [self],
            "last_4": [*self.transformer.resblocks[-4:], self.ln_post],
            "ln_only": [module for module in self.modules() if isinstance(module, nn.LayerNorm)],
        }
        self.requires_grad_(False)
        for module in trained[part]:
            module.requires_grad_(True)
        if self.proj is not None:
            self.proj.requires_grad_(part != "ln_only")

    def positions(self) -> Tensor:
        """Return the [N, C] position embedding of images of the tower's size."""
        own_NC = self.positional_embedding
        return own_NC if self.resample is None else torch.cat([own_NC[:1], self.resample @ own_NC[1:]])


class CLIP(nn.Module):
    """Both towers.

    Args:
        width: multiplier of width and layers of both towers and of F; 1 gives CLIP ViT-B/16.
        image_size: S, see :class:`ImageTower`.
        vocabulary: tokens that the text tower knows; the small forms do with those of the prompts, see
            :class:`fasray.nets.prompts.ClassPrompts`.
    """

    def __init__(self, width: float = 1.0, image_size: int = GRID * PATCH, vocabulary: int = VOCABULARY) -> None:
        super().__init__()
        features, layers = tower_shape(8, width)
        self.num_features = features
        self.visual = ImageTower(width, image_size, features)
        self.transformer = Transformer(features, layers, causal=True)
        self.token_embedding = nn.Embedding(vocabulary, features)
        self.positional_embedding = nn.Parameter(torch.randn(CONTEXT, features) * 0.01)
        self.ln_final = nn.LayerNorm(features)
        self.text_projection = nn.Parameter(torch.randn(features, features) * features**-0.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        self._initialise_text(features, layers)

    def _initialise_text(self, features: int, layers: int) -> None:
        for module in self.transformer.modules():
            if isinstance(module, Attention):
                nn.init.normal_(module.in_proj_weight, std=features**-0.5)
                nn.init.normal_(module.out_proj.weight, std=(features * 2 * layers) ** -0.5)
            elif isinstance(module, MLP):
                nn.init.normal_(module.c_fc.weight, std=(2 * features) ** -0.5)
                nn.init.normal_(module.c_proj.weight, std=(features * 2 * layers) ** -0.5)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the [B, F] features of normalised images in the common space, not of unit length."""
        features: Tensor = self.visual(x_BCHW) @ self.visual.proj
        return features

    def encode_text(self, token_PL: Tensor) -> Tensor:
        """Return the [P, F] features of texts in the common space, not of unit length.

        Args:
            token_PL: int64 token ids, padded with 0 to any L up to 77: the greatest id, which ends a text, is read, and
                what follows it is not seen.
        """
        length = token_PL.shape[1]
        x_PLF = self.token_embedding(token_PL) + self.positional_embedding[:length]
        x_PLF = self.ln_final(self.transformer(x_PLF))
        end_PL = torch.arange(length, device=token_PL.device) == token_PL.argmax(1, keepdim=True)
        features: Tensor = (x_PLF * end_PL[:, :, None]).sum(1) @ self.text_projection
        return features

    def text_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the text tower: all but the image tower's and the logit scale."""
        return [
            parameter
            for name, parameter in self.named_parameters()
            if not name.startswith("visual.") and name != "logit_scale"
        ]


def _resampling(side: int) -> Tensor:
    """Return the [side * side, GRID * GRID] matrix that interpolates a map of the position embedding's grid."""
    one_hot = torch.eye(GRID**2).view(-1, 1, GRID, GRID)
    maps = functional.interpolate(one_hot, (side, side), mode="bicubic", align_corners=False, antialias=True)
    return maps.flatten(1).T.contiguous()
