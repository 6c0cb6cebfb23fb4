"""Pictures of the factory's palms: one call takes one picture of each identity of a batch.

The order is that of a capture: skin (which lines show today), deformation and pose, light and its relief, camera (local
contrast, exposure, blur, noise, JPEG), and what lies before the palm. Every amount has its range in `Ranges`;
`difficulty` 0..1 scales pose and deformation. The true pose comes back with the picture, so that a network can be taught
to find it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F

from .raster import LAYER_REACH_CROPS, Dice, blur

CROP_PX = 128


@dataclass(frozen=True)
class Ranges:
    """What may happen to a picture. Angles in degrees, lengths in sides of the crop, the rest shares of full grey."""

    rotation_deg: float = 20.0
    scale_low: float = 0.8
    scale_high: float = 1.25
    shift_crops: float = 0.2
    perspective: float = 0.12
    bend_crops: float = 0.022
    nir_share: float = 0.25
    local_contrast_share: float = 0.5
    occlusion_share: float = 0.2
    jpeg_share: float = 0.3


@dataclass
class Pictures:
    """`roi` [B, 1, 128, 128] float of whole greys 0..255; `pose` [B, 4]: the similarity from picture to skin,
    (s cos a, s sin a, shift x, shift y), shifts in crops."""

    roi: torch.Tensor
    pose: torch.Tensor


def broad_blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """A wide Gaussian blur, done at a quarter of the size: what it leaves has no finer detail."""
    small = blur(F.avg_pool2d(image, 4), sigma / 4)
    return F.interpolate(small, image.shape[-2:], mode="bilinear", align_corners=False)


@lru_cache(maxsize=32)
def _knot_weights(knots: int, device: torch.device) -> torch.Tensor:
    """[128, knots]: a smooth (cubic) curve through random knots, as a matrix."""
    eye = torch.eye(knots, device=device).view(knots, 1, 1, knots)
    return F.interpolate(eye, (1, CROP_PX), mode="bicubic", align_corners=True).view(knots, CROP_PX).T.contiguous()


def smooth(knots: torch.Tensor) -> torch.Tensor:
    """[..., K, K] random knots to a smooth field [..., 128, 128]."""
    weights = _knot_weights(knots.shape[-1], knots.device)
    return weights @ knots @ weights.T


class Sampler:
    """Takes pictures. The layers are those of `identity.draw`, given per call, one row a picture."""

    def __init__(self, dice: Dice, ranges: Ranges | None = None):
        self.dice = dice
        self.ranges = ranges or Ranges()

    def take(self, lines: torch.Tensor, veins: torch.Tensor, difficulty: float = 1.0) -> Pictures:
        dice, count = self.dice, lines.shape[0]
        pose = self._pose(count, difficulty)
        grid = self._grid(pose, difficulty)
        skin = F.grid_sample(lines.float() / 255, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        vessels = F.grid_sample(veins.float() / 255, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        nir = dice.chance(self.ranges.nir_share, count)[:, None, None, None]
        grey = self._light(self._skin(skin, vessels, nir), nir)
        grey = self._hide(self._contrast(grey))
        return Pictures(self._camera(grey), pose)

    def _pose(self, count: int, difficulty: float) -> torch.Tensor:
        dice, r = self.dice, self.ranges
        angle = dice.uniform(-1, 1, count) * math.radians(r.rotation_deg) * difficulty
        low, high = math.log(r.scale_low) * difficulty, math.log(r.scale_high) * difficulty
        # A hand that looks larger shows less skin: the grid shrinks as the hand grows.
        scale = torch.exp(-dice.uniform(low, high, count))
        shift = dice.uniform(-1, 1, count, 2) * r.shift_crops * difficulty
        return torch.stack([scale * angle.cos(), scale * angle.sin(), shift[:, 0], shift[:, 1]], 1)

    def _grid(self, pose: torch.Tensor, difficulty: float) -> torch.Tensor:
        """Where each pixel looks, in the layers' own -1..1 coordinates: [B, 128, 128, 2]."""
        dice, r, count = self.dice, self.ranges, pose.shape[0]
        axis = (torch.arange(CROP_PX, device=pose.device) + 0.5) / CROP_PX - 0.5
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        tilt = dice.uniform(-1, 1, count, 2, 1, 1) * r.perspective * difficulty
        depth = 1 + 2 * (tilt[:, 0] * x + tilt[:, 1] * y)
        x, y = x / depth, y / depth
        a, b, dx, dy = (pose[:, i].view(-1, 1, 1) for i in range(4))
        place = torch.stack([a * x - b * y + dx, b * x + a * y + dy], -1)
        bend = torch.zeros_like(place)
        for knots, share in ((4, 1.0), (7, 0.45)):
            move = dice.normal(r.bend_crops * share * max(difficulty, 0.3), count, 2, knots, knots)
            bend += smooth(move).permute(0, 2, 3, 1) * dice.uniform(0, 1, count, 1, 1, 1)
        return (place + bend) / LAYER_REACH_CROPS

    def _field(self, count: int, knots: int) -> torch.Tensor:
        """A smooth random field of unit variance, [B, 1, 128, 128]."""
        return smooth(self.dice.normal(1, count, 1, knots, knots))

    def _each(self, count: int, low: float, high: float) -> torch.Tensor:
        return self.dice.uniform(low, high, count, 1, 1, 1)

    def _skin(self, skin: torch.Tensor, vessels: torch.Tensor, nir: torch.Tensor) -> torch.Tensor:
        """Albedo about 0: lines, folds, texture, blood, mottling of the day; and relief from the light's side."""
        count = skin.shape[0]
        creases, wrinkles, texture = skin[:, 0:1], skin[:, 1:2], skin[:, 2:3] - 0.5
        creases = creases ** self._each(count, 0.75, 1.4)
        wrinkles = wrinkles * torch.sigmoid(1.2 + 1.3 * self._field(count, 5))
        body = -creases * self._each(count, 0.10, 0.30) * (1 - 0.6 * nir)
        body = body - wrinkles * self._each(count, 0.06, 0.34) * (1 - 0.5 * nir)
        # Broad shade about a fold comes and goes with how the hand is held.
        body = body - broad_blur(creases, 6.0) * self._each(count, -0.06, 0.5) * torch.sigmoid(self._field(count, 3))
        body = body + texture * self._each(count, 0.02, 0.15) * (1 - 0.5 * nir)
        veins = nir * self._each(count, 0.04, 0.22) + (1 - nir) * self._each(count, 0.0, 0.06)
        body = body - vessels * veins
        body = body + self._field(count, 24) * self._each(count, 0.0, 0.025)
        body = body + self._field(count, 11) * self._each(count, 0.0, 0.03)
        return body + self._relief(creases + 0.6 * wrinkles) * (0.7 + 0.6 * nir)

    def _relief(self, depth: torch.Tensor) -> torch.Tensor:
        """Light from a side: one flank of a line bright, the other dark."""
        angle = self._each(depth.shape[0], 0, 2 * math.pi)
        dx = F.pad(depth[..., 2:] - depth[..., :-2], (1, 1, 0, 0)) * 0.5
        dy = F.pad(depth[..., 2:, :] - depth[..., :-2, :], (0, 0, 1, 1)) * 0.5
        return (dx * angle.cos() + dy * angle.sin()) * self._each(depth.shape[0], 0.0, 0.22)

    def _light(self, body: torch.Tensor, nir: torch.Tensor) -> torch.Tensor:
        """Illumination that falls off to a side and pools over the mounts of the hand."""
        count = body.shape[0]
        axis = torch.linspace(-0.5, 0.5, CROP_PX, device=body.device)
        angle = self._each(count, 0, 2 * math.pi)
        slope = self._each(count, 0.0, 0.5) * (angle.cos() * axis.view(1, 1, 1, -1) + angle.sin() * axis.view(1, 1, -1, 1))
        pools = self._field(count, 4) * self._each(count, 0.0, 0.12) + self._field(count, 6) * self._each(count, 0.0, 0.06)
        light = (slope + pools) * (1 - 0.6 * nir)
        return (1 + body * 1.3) * torch.exp(light)

    def _contrast(self, grey: torch.Tensor) -> torch.Tensor:
        """Local contrast as CLAHE gives it to half of the pictures; then the mean and the spread of the exposure."""
        count = grey.shape[0]
        mean = broad_blur(grey, 12.0)
        detail = grey - mean
        near = broad_blur(detail**2, 16.0).clamp_min(1e-8).sqrt()
        whole = near.mean((1, 2, 3), keepdim=True)
        # How far the gain follows the neighbourhood, as the tiles of CLAHE do.
        gain = near ** self._each(count, 0.2, 0.9)
        gain = gain / gain.mean((1, 2, 3), keepdim=True) * whole
        shade = (mean - mean.mean((1, 2, 3), keepdim=True)) / mean.std((1, 2, 3), keepdim=True).clamp_min(1e-4)
        local = torch.tanh(detail / gain * self._each(count, 0.25, 0.6)) * self._each(count, 0.14, 0.34)
        local = self._each(count, 0.38, 0.68) + local + shade * self._each(count, 0.02, 0.15)
        level = self._each(count, 0.22, 0.75)
        gamma = self._each(count, 0.7, 1.5)
        plain = level * (grey.clamp_min(0.02) / grey.mean((1, 2, 3), keepdim=True)) ** gamma
        equalised = self.dice.chance(self.ranges.local_contrast_share, count)[:, None, None, None]
        return equalised * local + (1 - equalised) * plain

    def _hide(self, grey: torch.Tensor) -> torch.Tensor:
        """Background at a corner, a fold of the thumb, or a bright spot, over a part of the pictures."""
        count = grey.shape[0]
        axis = torch.linspace(-0.5, 0.5, CROP_PX, device=grey.device)
        angle = self._each(count, 0, 2 * math.pi)
        along = angle.cos() * axis.view(1, 1, 1, -1) + angle.sin() * axis.view(1, 1, -1, 1)
        edge = along + 0.03 * self._field(count, 5) - self._each(count, 0.36, 0.6)
        cover = torch.sigmoid(edge * self._each(count, 25, 180))
        cover = cover * self.dice.chance(self.ranges.occlusion_share, count)[:, None, None, None]
        return grey * (1 - cover) + cover * self._each(count, 0.0, 0.6)

    def _camera(self, grey: torch.Tensor) -> torch.Tensor:
        count = grey.shape[0]
        sharp, soft, softer = grey, blur(grey, 0.7), blur(grey, 1.4)
        amount = self._each(count, 0.0, 2.0) * self._each(count, 0.3, 1.0)
        blurred = torch.where(amount < 1, sharp + (soft - sharp) * amount, soft + (softer - soft) * (amount - 1))
        # Some cameras sharpen.
        blurred = blurred + (blurred - softer) * self._each(count, 0.0, 0.8) * self._chance(count, 0.4)
        noise = self.dice.normal(1, *grey.shape)
        grain = torch.where(self._chance(count, 0.5) > 0, noise, F.avg_pool2d(noise, 3, 1, 1) * 2)
        picture = blurred + grain * self._each(count, 0.0, 0.03) * self._each(count, 0.2, 1.0)
        picture = (picture * 255).clamp(0, 255)
        compressed = self.dice.chance(self.ranges.jpeg_share, count) > 0
        if compressed.any():
            picture[compressed] = self._jpeg(picture[compressed])
        return picture.round().clamp(0, 255)

    def _chance(self, count: int, probability: float) -> torch.Tensor:
        return self.dice.chance(probability, count)[:, None, None, None]

    def _jpeg(self, picture: torch.Tensor) -> torch.Tensor:
        """Blocks of 8 by 8, their cosine coefficients rounded to steps that grow with frequency."""
        count, blocks = picture.shape[0], CROP_PX // 8
        k = torch.arange(8, device=picture.device, dtype=torch.float32)
        basis = torch.cos(math.pi * (2 * k[None, :] + 1) * k[:, None] / 16) * 0.5
        basis[0] *= math.sqrt(0.5)
        tiles = picture.view(count, blocks, 8, blocks, 8).permute(0, 1, 3, 2, 4)
        steps = (4 + 2.5 * (k[:, None] + k[None, :])) * self.dice.uniform(0.4, 3.0, count, 1, 1, 1, 1)
        coefficients = ((basis @ tiles @ basis.T) / steps).round() * steps
        return (basis.T @ coefficients @ basis).permute(0, 1, 3, 2, 4).reshape(count, 1, CROP_PX, CROP_PX)
