"""The signature network: grey 0..255 of 128x128 in, vector of unit length out.

A stem of oriented line filters (started as Gabor filters, trained on), residual depthwise blocks, attention pooling.
With `aligner` a small network first predicts the similarity between the picture and the skin (the factory knows it, so
it is taught directly), and the crop is taken again. Under two million weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

INPUT_SIZE = 128
DIMENSION = 256
ORIENTATIONS = 12
STEM_SIDE = 11
LOCAL_MEAN_PX = 17


@dataclass(frozen=True)
class Shape:
    widths: tuple[int, ...] = (64, 128, 256)
    depths: tuple[int, ...] = (2, 3, 3)
    aligner: bool = False


def local_mean(x: torch.Tensor) -> torch.Tensor:
    """Mean over a square, rows first: 2 x 17 sums a pixel, not 17 x 17."""
    x = F.pad(x, (LOCAL_MEAN_PX // 2,) * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(x, (1, LOCAL_MEAN_PX), 1), (LOCAL_MEAN_PX, 1), 1)


def normalise(grey: torch.Tensor) -> torch.Tensor:
    """Takes away the light's level and slope and evens the contrast of a neighbourhood."""
    x = grey / 255
    centred = x - local_mean(x)
    power = local_mean(centred * centred)
    return centred / (power + 1e-5 + 0.25 * power.mean((2, 3), keepdim=True)).sqrt()


def line_filters() -> torch.Tensor:
    """Gabor filters of two widths in ORIENTATIONS directions, [2 * ORIENTATIONS, 1, 11, 11]."""
    axis = torch.arange(STEM_SIDE, dtype=torch.float32) - STEM_SIDE // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    filters = []
    for period, sigma in ((6.0, 2.0), (10.0, 3.2)):
        for i in range(ORIENTATIONS):
            angle = i * math.pi / ORIENTATIONS
            across = x * math.cos(angle) + y * math.sin(angle)
            kernel = -torch.exp(-(x**2 + y**2) / (2 * sigma**2)) * torch.cos(2 * math.pi * across / period)
            kernel = kernel - kernel.mean()
            filters.append(kernel / kernel.norm())
    return torch.stack(filters)[:, None]


class Block(nn.Module):
    """Depthwise 5x5, then a pointwise bottleneck that widens; residual."""

    def __init__(self, width: int):
        super().__init__()
        self.spread = nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.widen = nn.Conv2d(width, 2 * width, 1)
        self.narrow = nn.Conv2d(2 * width, width, 1, bias=False)
        self.out = nn.BatchNorm2d(width)
        nn.init.constant_(self.out.weight, 0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.out(self.narrow(F.relu(self.widen(self.norm(self.spread(x))))))


class Aligner(nn.Module):
    """Predicts (s cos a, s sin a, shift x, shift y) from the normalised picture; starts at the identity."""

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width in (16, 32, 64, 96):
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(before * 16, 4)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(F.avg_pool2d(x, 2)).flatten(1))


def straighten(picture: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
    """Takes the picture again as a camera with no pose error would have: the inverse of `pose`."""
    a, b, x, y = pose.unbind(1)
    power = (a * a + b * b).clamp_min(0.25)
    ia, ib = a / power, -b / power
    axis = (torch.arange(INPUT_SIZE, device=picture.device, dtype=picture.dtype) + 0.5) / INPUT_SIZE - 0.5
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    right, down = right - x.view(-1, 1, 1), down - y.view(-1, 1, 1)
    ia, ib = ia.view(-1, 1, 1), ib.view(-1, 1, 1)
    # The grid's unit is half a crop.
    grid = 2 * torch.stack([ia * right - ib * down, ib * right + ia * down], -1)
    return F.grid_sample(picture, grid, padding_mode="zeros", align_corners=False)


class SignatureNet(nn.Module):
    def __init__(self, shape: Shape | None = None):
        super().__init__()
        shape = shape or Shape()
        filters = line_filters()
        self.aligner = Aligner() if shape.aligner else None
        self.stem = nn.Conv2d(1, len(filters), STEM_SIDE, stride=2, padding=STEM_SIDE // 2, bias=False)
        with torch.no_grad():
            self.stem.weight.copy_(filters)
        layers: list[nn.Module] = [nn.BatchNorm2d(len(filters)), nn.ReLU()]
        before = len(filters)
        for width, depth in zip(shape.widths, shape.depths, strict=True):
            layers += [nn.Conv2d(before, width, 2, stride=2, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [Block(width) for _ in range(depth)]
            before = width
        self.body = nn.Sequential(*layers)
        self.glance = nn.Conv2d(before, 4, 1)
        self.head = nn.Linear(before * 5, DIMENSION, bias=False)
        self.norm = nn.BatchNorm1d(DIMENSION)

    def describe(self, grey: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Signatures, and the predicted poses where there is an aligner."""
        x = normalise(grey)
        pose = self.aligner(x) if self.aligner is not None else None
        if pose is not None:
            x = straighten(x, pose)
        x = self.body(self.stem(x))
        weights = self.glance(x).flatten(2).softmax(-1)
        seen = torch.einsum("bkp,bcp->bkc", weights, x.flatten(2)).flatten(1)
        pooled = torch.cat([seen, x.mean((2, 3))], 1)
        return F.normalize(self.norm(self.head(pooled))), pose

    def forward(self, grey: torch.Tensor) -> torch.Tensor:
        return self.describe(grey)[0]
