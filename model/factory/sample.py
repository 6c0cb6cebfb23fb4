"""Pictures of the factory's palms: one call takes some pictures of each identity of a batch.

The order is that of a capture: pose and deformation, skin (which lines show today), light and its relief, camera
(exposure, contrast, blur, noise, JPEG), and what lies before the palm. Every amount has its range in `Ranges`. The true
pose comes back with the picture, so that a network can be taught to find it.

Training on a CPU waits for this file, so the price of a picture is counted: all channels of skin are looked up once,
whatever is smooth is mixed as a few knots before it becomes pixels, and what few pictures have is done to those alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F

from .raster import LAYER_REACH_CROPS, Dice

CROP_PX = 128


@dataclass(frozen=True)
class Ranges:
    """What may happen to a picture. Angles in degrees, lengths in sides of the crop, the rest shares of full grey.

    A stance is what the pictures of a palm have in common: a place of capture cuts all left hands turned one way and all
    right hands the other, and a person holds the hand as always. Rotation, scale and shift are what differs besides."""

    stance_deg: float = 20.0
    stance_scale: float = 1.12
    stance_crops: float = 0.08
    rotation_deg: float = 20.0
    scale_low: float = 0.8
    scale_high: float = 1.25
    shift_crops: float = 0.2
    perspective: float = 0.12
    bend_crops: float = 0.018
    nir_share: float = 0.25
    local_contrast_share: float = 0.5
    occlusion_share: float = 0.3
    jpeg_share: float = 0.15


@dataclass
class Pictures:
    """`roi` [B, 1, 128, 128] float of whole greys 0..255; `pose` [B, 4]: the similarity from picture to skin,
    (s cos a, s sin a, shift x, shift y), shifts in crops. The pictures of an identity are neighbours."""

    roi: torch.Tensor
    pose: torch.Tensor


@lru_cache(maxsize=32)
def _knot_weights(knots: int, device: torch.device) -> torch.Tensor:
    """[128, knots]: a smooth (cubic) curve through random knots, as a matrix."""
    eye = torch.eye(knots, device=device).view(knots, 1, 1, knots)
    return F.interpolate(eye, (1, CROP_PX), mode="bicubic", align_corners=True).view(knots, CROP_PX).T.contiguous()


def smooth(knots: torch.Tensor) -> torch.Tensor:
    """[..., K, K] random knots to a smooth field [..., 128, 128]."""
    weights = _knot_weights(knots.shape[-1], knots.device)
    return weights @ knots @ weights.T


def soften(image: torch.Tensor) -> torch.Tensor:
    """Blur by the binomial 1 2 1 in both directions, a Gaussian of 0.7 pixels; the border is continued."""
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    pairs = padded[..., 1:] + padded[..., :-1]
    rows = pairs[..., 1:] + pairs[..., :-1]
    pairs = rows[..., 1:, :] + rows[..., :-1, :]
    return (pairs[..., 1:, :] + pairs[..., :-1, :]) / 16


class Sampler:
    """Takes pictures. The layers are those of `identity.draw`, given per call, one row an identity."""

    def __init__(self, dice: Dice, ranges: Ranges | None = None):
        self.dice = dice
        self.ranges = ranges or Ranges()

    def take(self, lines: torch.Tensor, broad: torch.Tensor, difficulty: float = 1.0, each: int = 1) -> Pictures:
        """`each` pictures of every row. `difficulty` 0..1 is the largest share of pose, perspective and bending that
        a picture may have; some pictures have less."""
        count = lines.shape[0] * each
        strain = difficulty * self.dice.uniform(0, 1, count)
        pose = self._pose(lines.shape[0], each, difficulty, strain)
        grid = self._grid(pose, strain)
        skin = self._look(lines, grid, each)
        nir = self._chance(count, self.ranges.nir_share)
        under = self._look(broad, grid, each)
        body = self._skin(skin, nir)
        body -= under[:, 0:1] * (nir * self._each(count, 0.06, 0.35))
        body += (2 * under[:, 1:2] - 1) * self._slope(count) + (2 * under[:, 2:3] - 1) * self._slope(count)
        grey = self._camera(self._hide(self._expose(self._light(body, nir))))
        return Pictures(grey, pose)

    @staticmethod
    def _look(layers: torch.Tensor, grid: torch.Tensor, each: int) -> torch.Tensor:
        """Layers [N, C, S, S] of uint8 seen through `each` grids a row: [N * each, C, 128, 128], 0..1."""
        count, channels = layers.shape[0], layers.shape[1]
        tall = grid.view(count, each * CROP_PX, CROP_PX, 2)
        seen = F.grid_sample(layers.float() / 255, tall, padding_mode="border", align_corners=False)
        seen = seen.view(count, channels, each, CROP_PX, CROP_PX).transpose(1, 2)
        return seen.reshape(count * each, channels, CROP_PX, CROP_PX)

    def _pose(self, palms: int, each: int, difficulty: float, strain: torch.Tensor) -> torch.Tensor:
        dice, r, count = self.dice, self.ranges, palms * each
        stance = difficulty * dice.uniform(-1, 1, palms, 4).repeat_interleave(each, 0)
        angle = math.radians(r.stance_deg) * stance[:, 0]
        angle = angle + dice.uniform(-1, 1, count) * math.radians(r.rotation_deg) * strain
        # A hand that looks larger shows less skin: the grid shrinks as the hand grows.
        scale = -dice.uniform(math.log(r.scale_low), math.log(r.scale_high), count) * strain
        scale = torch.exp(scale + math.log(r.stance_scale) * stance[:, 1])
        shift = r.stance_crops * stance[:, 2:] + dice.uniform(-1, 1, count, 2) * r.shift_crops * strain[:, None]
        return torch.stack([scale * angle.cos(), scale * angle.sin(), shift[:, 0], shift[:, 1]], 1)

    def _grid(self, pose: torch.Tensor, strain: torch.Tensor) -> torch.Tensor:
        """Where each pixel looks, in the layers' own -1..1 coordinates: [B, 128, 128, 2]."""
        dice, r, count = self.dice, self.ranges, pose.shape[0]
        axis = (torch.arange(CROP_PX, device=pose.device) + 0.5) / CROP_PX - 0.5
        across, down = axis.view(1, 1, -1), axis.view(1, -1, 1)
        tilt = dice.uniform(-2, 2, count, 2, 1, 1) * r.perspective * strain.view(-1, 1, 1, 1)
        near = 1 / (LAYER_REACH_CROPS * (1 + tilt[:, 0] * across + tilt[:, 1] * down))
        a, b, dx, dy = (pose[:, i].view(-1, 1, 1) for i in range(4))
        bend = smooth(dice.normal(r.bend_crops / LAYER_REACH_CROPS, count, 2, 5, 5) * self._bent(count, strain))
        grid = torch.empty(count, CROP_PX, CROP_PX, 2, device=pose.device)
        torch.addcmul(bend[:, 0] + dx / LAYER_REACH_CROPS, a * across - b * down, near, out=grid[..., 0])
        torch.addcmul(bend[:, 1] + dy / LAYER_REACH_CROPS, b * across + a * down, near, out=grid[..., 1])
        return grid

    def _bent(self, count: int, strain: torch.Tensor) -> torch.Tensor:
        return self._each(count, 0, 1) * (0.3 + 0.7 * strain.view(-1, 1, 1, 1))

    def _each(self, count: int, low: float, high: float) -> torch.Tensor:
        return self.dice.uniform(low, high, count, 1, 1, 1)

    def _chance(self, count: int, probability: float) -> torch.Tensor:
        return self.dice.chance(probability, count)[:, None, None, None]

    def _knots(self, count: int, knots: int) -> torch.Tensor:
        return self.dice.normal(1, count, 1, knots, knots)

    def _slope(self, count: int) -> torch.Tensor:
        """How differently the light falls on the two sides of a crease: mostly a little."""
        return self.dice.normal(0.13, count, 1, 1, 1)

    def _skin(self, skin: torch.Tensor, nir: torch.Tensor) -> torch.Tensor:
        """Albedo about 0: lines, folds, texture, mottling of the day; and relief from the light's side."""
        count = skin.shape[0]
        creases, wrinkles, texture = skin[:, 0:1], skin[:, 1:2], skin[:, 2:3]
        plain = 1 - 0.5 * nir
        shown = torch.sigmoid(1.5 + 1.3 * self._knots(count, 6)) * self._each(count, 0.2, 0.9) * plain
        wrinkles = wrinkles * smooth(shown)
        deep = torch.sigmoid(1.8 + 1.2 * self._knots(count, 5)) * self._each(count, 0.15, 0.7) * plain
        lines = torch.addcmul(wrinkles, creases, smooth(deep))
        body = texture * (self._each(count, 0.02, 0.16) * plain) - lines
        # Broad shade about a fold comes and goes with how the hand is held.
        fold = F.avg_pool2d(F.avg_pool2d(creases, 8), 3, 1, 1, count_include_pad=False)
        shade = self._each(count, -0.05, 0.45) * torch.sigmoid(F.interpolate(self._knots(count, 4), 16, mode="bilinear"))
        body = body - smooth(fold * shade)
        body = body + smooth(self._knots(count, 48) * self._each(count, 0.0, 0.03))
        body = body + smooth(self._knots(count, 22) * self._each(count, 0.0, 0.04))
        body = body + smooth(self._knots(count, 10) * self._each(count, 0.0, 0.03))
        return body + self._relief(lines) * (1 + nir)

    def _relief(self, depth: torch.Tensor) -> torch.Tensor:
        """Light from a side: one flank of a line bright, the other dark."""
        angle = self._each(depth.shape[0], 0, 2 * math.pi)
        strength = self._each(depth.shape[0], 0.0, 0.7)
        relief = torch.zeros_like(depth)
        relief[..., 1:-1] = (depth[..., 2:] - depth[..., :-2]) * (angle.cos() * strength)
        relief[..., 1:-1, :] += (depth[..., 2:, :] - depth[..., :-2, :]) * (angle.sin() * strength)
        return relief

    def _light(self, body: torch.Tensor, nir: torch.Tensor) -> torch.Tensor:
        """Illumination that falls off to a side and pools over the mounts of the hand."""
        count = body.shape[0]
        axis = torch.linspace(-0.5, 0.5, 6, device=body.device)
        angle = self._each(count, 0, 2 * math.pi)
        slope = self._each(count, 0.0, 0.6) * (angle.cos() * axis.view(1, 1, 1, -1) + angle.sin() * axis.view(1, 1, -1, 1))
        pools = self._knots(count, 6) * self._each(count, 0.0, 0.12)
        return (1 + body).clamp_min_(0.05) * smooth(torch.exp((slope + pools) * (1 - 0.6 * nir)))

    def _expose(self, grey: torch.Tensor) -> torch.Tensor:
        """Level, contrast about it, and the bend of the tone curve, as cameras and equalisers give them."""
        count = grey.shape[0]
        away = grey / grey.mean((1, 2, 3), keepdim=True) - 1
        local = self.dice.chance(self.ranges.local_contrast_share, count) > 0
        if local.any():
            away[local] = self._equalise(away[local])
        gain = torch.exp(self._each(count, math.log(0.8), math.log(4.0)))
        bend = self._each(count, -0.5, 0.5)
        level = self._each(count, 0.25, 0.7)
        away = away.clamp_(-1.5, 1.5)
        return level * (1 + gain * away * (1 + bend * away))

    def _equalise(self, away: torch.Tensor) -> torch.Tensor:
        """Contrast evened between the neighbourhoods of a picture, as the tiles of CLAHE do, more or less."""
        count = away.shape[0]
        even = away - smooth(F.avg_pool2d(away, 16)) * self._each(count, 0.2, 0.9)
        power = F.avg_pool2d(even.square(), 16) + 1e-4
        power = F.avg_pool2d(F.pad(power, (1, 1, 1, 1), mode="replicate"), 3, 1)
        whole = power.mean((1, 2, 3), keepdim=True)
        return even * smooth((whole / power).pow(0.5 * self._each(count, 0.2, 0.9)))

    def _hide(self, grey: torch.Tensor) -> torch.Tensor:
        """Background at a side or a corner, or a bright spot, over a part of the pictures."""
        covered = self.dice.chance(self.ranges.occlusion_share, grey.shape[0]) > 0
        count = int(covered.sum())
        if count == 0:
            return grey
        axis = torch.linspace(-0.5, 0.5, CROP_PX, device=grey.device)
        angle = self._each(count, 0, 2 * math.pi)
        along = angle.cos() * axis.view(1, 1, 1, -1) + angle.sin() * axis.view(1, 1, -1, 1)
        edge = along + smooth(0.04 * self._knots(count, 5)) - self._each(count, 0.3, 0.6)
        cover = torch.sigmoid(edge * self._each(count, 20, 180))
        grey[covered] = torch.lerp(grey[covered], self._each(count, 0.0, 0.6).expand_as(cover), cover)
        return grey

    def _camera(self, grey: torch.Tensor) -> torch.Tensor:
        """Blur (below zero: sharpening), noise, clipping, compression, whole greys."""
        count = grey.shape[0]
        picture = torch.lerp(grey, soften(grey), self._each(count, -0.6, 1.0))
        soft = self.dice.chance(0.2, count) > 0
        if soft.any():
            picture[soft] = soften(soften(picture[soft]))
        noise = self.dice.uniform(-0.5, 0.5, *grey.shape)
        # Noise is told by the contrast that is left: a picture that shows nothing teaches nothing.
        contrast = grey.std((1, 2, 3), keepdim=True)
        grain = contrast * self._each(count, 0.05, 2.0) * self._each(count, 0.0, 1.0) ** 3
        picture = torch.addcmul(picture, noise, grain).mul_(255).clamp_(0, 255)
        compressed = self.dice.chance(self.ranges.jpeg_share, count) > 0
        if compressed.any():
            picture[compressed] = self._jpeg(picture[compressed])
        return picture.round_().clamp_(0, 255)

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
