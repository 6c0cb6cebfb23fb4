"""The signature network: grey 0..255 of 128x128 in, vector of unit length out.

Three parts, each with one task:
- fixed oriented line filters (Gabor) of two widths turn a picture into pictures of lines: what is learned on drawn palms
  then starts from lines, not from the look of drawn skin.
- the aligner says how the palm lies in the picture (turn, scale, shift); the picture is then taken again as if the palm
  lay as always. This is the answer to crops that are cut badly.
- a residual network describes each of 8 by 8 places, and one matrix makes 256 numbers of them. Places stay apart until
  there: after alignment, where a line lies is what tells palms apart.

Fewer than two million weights; the price of a training step on a CPU shaped it as much as that of inference.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

INPUT_SIZE = 128
DIMENSION = 256
ORIENTATIONS = 8
STEM_SIDE = 9
LOCAL_MEAN_PX = 20
# Grey levels squared; below, an image counts as empty.
LEAST_VARIANCE = 0.25
PLACE_WIDTH = 64
PLACES = 8 * 8


def local_mean(x: torch.Tensor) -> torch.Tensor:
    """Mean of about LOCAL_MEAN_PX squared about each pixel. Done at a quarter of the size: it has no finer detail."""
    small = F.avg_pool2d(x, 4)
    reach = LOCAL_MEAN_PX // 8
    small = F.avg_pool2d(F.pad(small, (reach,) * 4, mode="replicate"), 2 * reach + 1, 1)
    return F.interpolate(small, x.shape[-2:], mode="bilinear", align_corners=False)


def normalise(grey: torch.Tensor) -> torch.Tensor:
    """Takes away the light's level and slope and evens the contrast of a neighbourhood."""
    x = grey / 255
    centred = x - local_mean(x)
    power = local_mean(centred * centred)
    return centred / (power + 1e-5 + 0.25 * power.mean((2, 3), keepdim=True)).sqrt()


def line_filters() -> torch.Tensor:
    """Gabor filters of two widths in ORIENTATIONS directions, [2 * ORIENTATIONS, 1, 9, 9]; a dark line answers > 0."""
    axis = torch.arange(STEM_SIDE, dtype=torch.float32) - STEM_SIDE // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    filters = []
    for period, sigma in ((5.0, 1.7), (9.0, 2.8)):
        for i in range(ORIENTATIONS):
            angle = i * math.pi / ORIENTATIONS
            across = x * math.cos(angle) + y * math.sin(angle)
            kernel = -torch.exp(-(x**2 + y**2) / (2 * sigma**2)) * torch.cos(2 * math.pi * across / period)
            kernel = kernel - kernel.mean()
            filters.append(kernel / kernel.norm())
    return torch.stack(filters)[:, None]


def step(before: int, after: int, stride: int = 2) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, width: int):
        super().__init__()
        self.first = step(width, width, 1)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        nn.init.constant_(self.norm.weight, 0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.norm(self.second(self.first(x))))


class Aligner(nn.Module):
    """Predicts (s cos a, s sin a, shift x, shift y) from the lines of the picture as it came; starts at no pose."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            step(2 * ORIENTATIONS, 32),
            step(32, 64, 1),
            step(64, 64),
            step(64, 64, 1),
            nn.Flatten(),
            nn.Linear(64 * 64, 128),
            nn.BatchNorm1d(128),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(128, 4)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))

    def forward(self, lines: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(F.avg_pool2d(lines, 2)))


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
    def __init__(self):
        super().__init__()
        filters = line_filters()
        self.register_buffer("filters", filters)
        self.aligner = Aligner()
        self.body = nn.Sequential(
            step(len(filters), 32),
            step(32, 64),
            Block(64),
            step(64, 96),
            Block(96),
            nn.Conv2d(96, PLACE_WIDTH, 1, bias=False),
            nn.BatchNorm2d(PLACE_WIDTH),
            nn.Flatten(),
            nn.Dropout(0.2),
        )
        self.head = nn.Linear(PLACE_WIDTH * PLACES, DIMENSION, bias=False)
        self.norm = nn.BatchNorm1d(DIMENSION)

    def lines(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 1, 128, 128] to the answers of the line filters, [B, 16, 64, 64]."""
        answers = F.conv2d(x, self.filters, stride=2, padding=STEM_SIDE // 2).relu()
        return answers.contiguous(memory_format=torch.channels_last)

    def describe(self, grey: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Signatures [B, 256], and the poses [B, 4] that the aligner saw. No gradient runs from one to the other: the
        aligner is taught the truth, which the factory knows."""
        x = normalise(grey)
        pose = self.aligner(self.lines(x))
        lines = self.lines(straighten(x, pose.detach()))
        return F.normalize(self.norm(self.head(self.body(lines)))), pose

    def forward(self, grey: torch.Tensor) -> torch.Tensor:
        """Signatures alone; an image all of one grey has none: its vector is shorter than one, callers refuse it."""
        structure = (grey - grey.mean((1, 2, 3), keepdim=True)).square().mean((1, 2, 3)) / LEAST_VARIANCE
        return self.describe(grey)[0] * structure.clamp_max(1)[:, None]
