"""The signature network: grey 0..255 of 128x128 in, what 8 by 8 places look like out, a vector of unit length.

Three parts, each with one task:
- fixed oriented line filters (Gabor) of two widths turn a picture into pictures of lines: what is learned on drawn palms
  then starts from lines, not from the look of drawn skin.
- the aligner says how the palm lies in the picture (turn, scale, shift); the picture is then taken again as if the palm
  lay as always. This is the answer to crops that are cut badly. It looks for landmarks and lays them on where they belong:
  when the picture moves, the landmarks move, and so does the answer, whether or not it has seen such a palm before. It
  looks twice: the second time at what the first straightened, where landmarks are nearer to where they belong.
- a residual network describes each of 8 by 8 places, 64 numbers each. Places stay apart: after alignment, where a line
  lies is what tells palms apart. A place that the picture does not show says nothing.

In training a matrix makes 256 numbers of the places, for the centres that palms are drawn to. It is not kept: it learns
what tells drawn palms apart; `fuse.py` makes 256 numbers in another way, with which real palms were told apart better.

The price of a training step on a CPU shaped it as much as that of inference.
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
# How far a line filter reaches, in halves of a picture.
BORDER = (STEM_SIDE // 2 + 1) * 2 / INPUT_SIZE
LOCAL_MEAN_PX = 20
LANDMARKS = 32
LANDMARK_CELLS = 16
# Before anything is learned a landmark is expected so near to its place in the frame, in crops.
LANDMARK_REACH = 0.3
# Mean entropy of the landmarks' maps at which an aligner is trusted by half, and how sharply trust falls about it. One
# landmark anywhere in the picture would have 5.5, in a quarter of it 4.2.
SURE_NATS = 4.2
SURE_WITHIN_NATS = 0.1
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


def step(before: int, after: int, stride: int = 2, apart: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride, padding=apart, dilation=apart, bias=False)
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


def no_pose(like: torch.Tensor) -> torch.Tensor:
    """The pose of pictures [B, ...] that lie as always, [B, 4]."""
    return torch.tensor([[1.0, 0.0, 0.0, 0.0]], device=like.device).expand(like.shape[0], -1)


class Aligner(nn.Module):
    """Predicts the pose (s cos a, s sin a, shift x, shift y) from the lines of a picture.

    Landmarks are learned: nothing says what they are, only that they must be found again. Each has a map of where in the
    picture it may be (softmax over 16 by 16 cells; its middle is where the landmark is seen), a place in the frame, and
    how much it counts in this picture. The pose is the similarity that brings the seen places to those of the frame
    with least squares (Umeyama, PAMI 1991, in the plane).

    In use, not in training, an aligner that is not sure leaves the picture more or less as it came: where maps are broad
    (veins alone, crops turned by a quarter) a pose would be noise, and such crops are mostly cut by a machine that holds
    the hand.
    """

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            step(2 * ORIENTATIONS, 32),
            step(32, 48, 1),
            step(48, 48, 1, 2),
            step(48, 48, 1, 4),
            step(48, 48, 1),
        )
        self.where = nn.Conv2d(48, LANDMARKS, 1)
        self.trust = nn.Conv2d(48, LANDMARKS, 1)
        axis = (torch.arange(LANDMARK_CELLS) + 0.5) / LANDMARK_CELLS - 0.5
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        cells = torch.stack([x.flatten(), y.flatten()], 1)
        frame = (torch.rand(LANDMARKS, 2) - 0.5) * 0.8
        near = -(cells - frame[:, None]).square().sum(-1) / (2 * LANDMARK_REACH**2)
        self.register_buffer("cells", cells)
        self.frame = nn.Parameter(frame)
        self.expected = nn.Parameter(near)

    def forward(self, lines: torch.Tensor) -> torch.Tensor:
        features = self.features(F.avg_pool2d(lines, 2))
        where = (self.where(features).flatten(2) + self.expected).softmax(-1)
        trust = (where * self.trust(features).flatten(2).sigmoid()).sum(-1, keepdim=True) + 1e-3
        trust = trust / trust.sum(1, keepdim=True)
        seen = where @ self.cells
        seen_middle, frame_middle = (trust * seen).sum(1), (trust * self.frame).sum(1)
        u, v = (seen - seen_middle[:, None]).unbind(-1)
        x, y = (self.frame - frame_middle[:, None]).unbind(-1)
        trust = trust[..., 0]
        # The small number holds the answer at "no pose" while the landmarks all lie in one place.
        spread = (trust * (u * u + v * v)).sum(1) + 1e-3
        a = ((trust * (u * x + v * y)).sum(1) + 1e-3) / spread
        b = (trust * (u * y - v * x)).sum(1) / spread
        middle_x, middle_y = seen_middle.unbind(1)
        shift_x = frame_middle[:, 0] - a * middle_x + b * middle_y
        shift_y = frame_middle[:, 1] - b * middle_x - a * middle_y
        pose = torch.stack([a, b, shift_x, shift_y], 1)
        if self.training:
            return pose
        breadth = -(where * (where + 1e-9).log()).sum(-1).mean(1, keepdim=True)
        sure = ((SURE_NATS - breadth) / SURE_WITHIN_NATS).sigmoid()
        return no_pose(pose) + sure * (pose - no_pose(pose))


def after(second: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """The pose that is `first` and then `second`, both [B, 4]: products and sums of complex numbers."""
    a, b, x, y = second.unbind(1)
    c, d, u, v = first.unbind(1)
    return torch.stack([a * c - b * d, a * d + b * c, a * u - b * v + x, a * v + b * u + y], 1)


def straighten(picture: torch.Tensor, pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Takes the picture again as a camera with no pose error would have: the inverse of `pose`. With it, for every second
    pixel, 1 where line filters see nothing but the picture and 0 at its border and beyond, [B, 1, 64, 64]."""
    a, b, x, y = pose.unbind(1)
    power = (a * a + b * b).clamp_min(0.25)
    ia, ib = a / power, -b / power
    axis = (torch.arange(INPUT_SIZE, device=picture.device, dtype=picture.dtype) + 0.5) / INPUT_SIZE - 0.5
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    right, down = right - x.view(-1, 1, 1), down - y.view(-1, 1, 1)
    ia, ib = ia.view(-1, 1, 1), ib.view(-1, 1, 1)
    # The grid's unit is half a crop.
    grid = 2 * torch.stack([ia * right - ib * down, ib * right + ia * down], -1)
    shown = (grid[:, ::2, ::2].abs().amax(-1) < 1 - BORDER).to(picture.dtype)[:, None]
    return F.grid_sample(picture, grid, padding_mode="zeros", align_corners=False), shown


class SignatureNet(nn.Module):
    def __init__(self):
        super().__init__()
        # Filters of every second pixel as filters of the picture's four interleaved quarters: the same numbers, thrice as fast.
        filters = F.pixel_unshuffle(F.pad(line_filters(), (0, 1, 0, 1)), 2)
        self.register_buffer("filters", filters.contiguous(memory_format=torch.channels_last))
        nothing = torch.zeros(1, 1, INPUT_SIZE, INPUT_SIZE)
        self.register_buffer("edge", straighten(nothing, no_pose(nothing))[1], persistent=False)
        self.aligner = Aligner()
        self.body = nn.Sequential(
            step(len(filters), 32),
            step(32, 64),
            Block(64),
            step(64, 96),
            Block(96),
            nn.Conv2d(96, PLACE_WIDTH, 1, bias=False),
            nn.BatchNorm2d(PLACE_WIDTH),
        )
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(PLACE_WIDTH * PLACES, DIMENSION, bias=False)
        self.norm = nn.BatchNorm1d(DIMENSION)

    def lines(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 1, 128, 128] to the answers of the line filters, [B, 16, 64, 64]."""
        quarters = F.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)
        return F.conv2d(quarters, self.filters, padding=STEM_SIDE // 4).relu()

    def closer(self, x: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        """The pose after another look at the pictures, straightened by the one that is known."""
        straight, shown = straighten(x, pose)
        return after(self.aligner(self.lines(straight) * shown), pose)

    def pose(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised pictures to the poses that the aligner sees, [B, 4]: a first look at them as they came, a second."""
        return self.closer(x, self.aligner(self.lines(x) * self.edge))

    def places(self, straight: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        """What each place of normalised pictures looks like that `straighten` gave: unit length, [B, 64 * 8 * 8]."""
        return F.normalize((self.body(self.lines(straight) * shown) * F.avg_pool2d(shown, 8)).flatten(1))

    def summary(self, places: torch.Tensor) -> torch.Tensor:
        """256 numbers of the places, in training only: [B, 256] of unit length."""
        return F.normalize(self.norm(self.head(self.dropout(places * PLACES))))

    def forward(self, grey: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Grey 0..255 to places, [B, 4096], to the picture as it was straightened, its mean grey beyond the border, and
        to where that shows the palm, [B, 1, 64, 64]. Nothing is to be made of an image all of one grey: see `fuse.py`."""
        mean = grey.mean((1, 2, 3), keepdim=True)
        x = normalise(grey)
        # Both are straightened at once: where to look is most of the price.
        straight, shown = straighten(torch.cat([x, grey - mean], 1), self.pose(x))
        return self.places(straight[:, :1], shown), straight[:, 1:] + mean, shown
