"""Curves to grey layers, for a whole batch of palms at once.

A curve is a cubic Bezier with a wandering normal offset, cut into points; a point is a splat of its share of the
curve's length. Splats of like width are summed in one plane, and the plane is blurred once, so the price hardly depends
on the number of curves. Invariant: the depth of a line does not depend on how many points it was cut into.

Coordinates: crop units. (0, 0) is the middle of an ideally aligned crop, one unit is its side, y points to the wrist.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

LAYER_SIDE_PX = 192
# The layers reach beyond the crop, for shifts and turns.
LAYER_REACH_CROPS = 0.8
PX_PER_CROP = LAYER_SIDE_PX / (2 * LAYER_REACH_CROPS)
# Half widths (Gaussian sigma) of the planes, layer pixels. Widths between two of them are shared by both.
PLANE_SIGMAS_PX = (0.65, 1.2, 2.3, 5.0)


class Dice:
    """Random numbers of one seed, on one device."""

    def __init__(self, seed: int, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self.generator = torch.Generator(device=self.device).manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=self.generator, device=self.device) * (high - low) + low

    def normal(self, sd: float, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.device) * sd

    def chance(self, probability: float, *shape: int) -> torch.Tensor:
        return (torch.rand(*shape, generator=self.generator, device=self.device) < probability).float()

    def below(self, high: int, *shape: int) -> torch.Tensor:
        return torch.randint(high, shape, generator=self.generator, device=self.device)


@dataclass
class Strokes:
    """Points of curves: `xy` [B, K, P, 2] in crop units, `depth` and `width_px` [B, K, P]."""

    xy: torch.Tensor
    depth: torch.Tensor
    width_px: torch.Tensor


def bezier(control: torch.Tensor, points: int) -> torch.Tensor:
    """[B, K, 4, 2] control points to [B, K, points, 2]."""
    t = torch.linspace(0, 1, points, device=control.device)
    basis = torch.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], 1)
    return torch.einsum("pc,bkcd->bkpd", basis, control)


def normals(xy: torch.Tensor) -> torch.Tensor:
    """Unit normals [B, K, P, 2] of the curves."""
    step = xy[:, :, 1:] - xy[:, :, :-1]
    step = torch.cat([step, step[:, :, -1:]], 2)
    step = step / step.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    return torch.stack([-step[..., 1], step[..., 0]], -1)


def wander(dice: Dice, batch: int, curves: int, points: int, waves: tuple[int, int], slope: float = 1.0) -> torch.Tensor:
    """A smooth random function along every curve: unit variance, `waves` = (fewest, most) periods per length."""
    t = torch.linspace(0, 1, points, device=dice.device)
    total = torch.zeros(batch, curves, points, device=dice.device)
    power = 0.0
    for wave in range(waves[0], waves[1] + 1):
        scale = float(wave) ** -slope
        phase = dice.uniform(0, 2 * math.pi, batch, curves, 1)
        frequency = wave + dice.uniform(-0.4, 0.4, batch, curves, 1)
        total += dice.normal(scale, batch, curves, 1) * torch.sin(2 * math.pi * frequency * t + phase)
        power += 0.5 * scale * scale
    return total / math.sqrt(power)


def taper(points: int, share: float, device: torch.device) -> torch.Tensor:
    """1 in the middle, falling to 0 over `share` of the length at both ends."""
    t = torch.linspace(0, 1, points, device=device)
    return (torch.minimum(t, 1 - t) / share).clamp(0, 1) ** 0.7


def gaussian(sigma: float, device: torch.device | str) -> torch.Tensor:
    radius = max(1, math.ceil(3 * sigma))
    x = torch.arange(-radius, radius + 1, device=device, dtype=torch.float32)
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    return kernel / kernel.sum()


def blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of [B, C, H, W]; the border is continued."""
    kernel = gaussian(sigma, image.device)
    channels, radius = image.shape[1], len(kernel) // 2
    row = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    padded = F.pad(image, (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(padded, row, groups=channels), row.transpose(2, 3), groups=channels)


def rasterise(strokes: list[Strokes], batch: int, device: torch.device | str) -> torch.Tensor:
    """Sums the strokes into one layer [B, 1, SIDE, SIDE]; the middle of a lone line has its depth."""
    side, planes = LAYER_SIDE_PX, len(PLANE_SIGMAS_PX)
    sheet = torch.zeros(batch * planes * side * side, device=device)
    for stroke in strokes:
        _splat(sheet, stroke)
    stack = sheet.view(batch, planes, side, side)
    total = torch.zeros(batch, 1, side, side, device=device)
    for plane, sigma in enumerate(PLANE_SIGMAS_PX):
        total += blur(stack[:, plane : plane + 1], sigma) * (sigma * math.sqrt(2 * math.pi))
    return total


def _splat(sheet: torch.Tensor, stroke: Strokes) -> None:
    side, planes = LAYER_SIDE_PX, len(PLANE_SIGMAS_PX)
    px = (stroke.xy + LAYER_REACH_CROPS) * PX_PER_CROP - 0.5
    step = (px[:, :, 1:] - px[:, :, :-1]).norm(dim=-1)
    mass = stroke.depth * torch.cat([step, step[:, :, -1:]], 2)
    batch = torch.arange(px.shape[0], device=px.device).view(-1, 1, 1)
    corner = px.floor()
    share = px - corner
    for plane, weight in enumerate(_plane_weights(stroke.width_px)):
        for dx in (0, 1):
            for dy in (0, 1):
                x, y = corner[..., 0] + dx, corner[..., 1] + dy
                part = (share[..., 0] if dx else 1 - share[..., 0]) * (share[..., 1] if dy else 1 - share[..., 1])
                inside = (x >= 0) & (x < side) & (y >= 0) & (y < side) & (weight > 0)
                index = ((batch * planes + plane) * side + y.long()) * side + x.long()
                sheet.index_add_(0, index[inside], (mass * part * weight)[inside])


def _plane_weights(width_px: torch.Tensor) -> list[torch.Tensor]:
    """How much of a point goes to each plane: linear between the two planes that are nearest in log width."""
    log = width_px.clamp(PLANE_SIGMAS_PX[0], PLANE_SIGMAS_PX[-1]).log()
    marks = [math.log(sigma) for sigma in PLANE_SIGMAS_PX]
    weights = []
    for i, mark in enumerate(marks):
        below = (log - marks[i - 1]) / (mark - marks[i - 1]) if i > 0 else torch.ones_like(log)
        above = (marks[i + 1] - log) / (marks[i + 1] - mark) if i + 1 < len(marks) else torch.ones_like(log)
        weights.append(torch.minimum(below, above).clamp(0, 1))
    return weights
