"""What belongs to a palm for life: its creases, wrinkles, skin and veins, as four grey layers in skin coordinates.

Layers (uint8, LAYER_SIDE_PX square; the broad ones at half the side): depth of the creases, depth of the wrinkles, skin
texture about 128; darkness of the veins, and about 128 the steps of the mounts along the life line and along heart and
head line. Everything is drawn for a right hand seen from the palm, thumb at the left, fingers up,
then mirrored for left hands, and laid into the frame of a capture convention: crops of some data sets are turned by a
quarter, or closer to the palm. Invariant: a batch follows from (seed, count) alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .raster import (
    LAYER_REACH_CROPS,
    LAYER_SIDE_PX,
    Dice,
    Strokes,
    bezier,
    blur,
    normals,
    rasterise,
    taper,
    wander,
)

BROAD_SIDE_PX = LAYER_SIDE_PX // 2

# Control points of the principal creases, crop units, and how far people differ in them (standard deviation).
PRINCIPALS = {
    "heart": ([(0.75, -0.06), (0.38, -0.10), (0.10, -0.22), (-0.16, -0.52)], (0.09, 0.075)),
    "head": ([(-0.56, -0.22), (-0.22, -0.16), (0.12, -0.02), (0.48, 0.22)], (0.08, 0.085)),
    "life": ([(-0.58, -0.24), (-0.18, -0.26), (0.06, 0.22), (-0.12, 0.78)], (0.08, 0.075)),
}
STRANDS_PER_PRINCIPAL = 4
PRINCIPAL_POINTS = 420
BRANCHES_PER_PRINCIPAL = 14
SECONDARY_CURVES = 22
MESH_FAMILIES = 4
MESH_LINES = 70
BUNDLES = 10
WRINKLES_PER_BUNDLE = 11
LOOSE_WRINKLES = 110
QUARTER_TURN_SHARE = 0.12
# Heart and head are one line in about one hand of 25 (the single transverse crease).
SINGLE_CREASE_SHARE = 0.04


@dataclass
class Layers:
    """`lines` [B, 3, SIDE, SIDE] uint8: creases, wrinkles, texture; `broad` [B, 3, SIDE / 2, SIDE / 2] uint8: veins,
    the step at the life line, the steps at heart and head line."""

    lines: torch.Tensor
    broad: torch.Tensor


@dataclass
class Frame:
    """How skin coordinates of a right hand come to those of the layers: mirror, turn, zoom, shift."""

    matrix: torch.Tensor
    zoom: torch.Tensor
    shift: torch.Tensor

    def place(self, xy: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bij,bkpj->bkpi", self.matrix, xy) + self.shift[:, None, None]


def draw(seed: int, count: int, device: torch.device | str = "cpu") -> Layers:
    """Draws `count` identities."""
    dice = Dice(seed, device)
    frame = _frame(dice, count)
    flow = _flow(dice, count)
    lines = _principal_controls(dice, count)
    creases, spines = _principals(dice, frame, lines)
    creases.append(_branches(dice, frame, spines))
    creases.append(_secondary(dice, frame, flow))
    wrinkles = [_bundles(dice, frame, flow), _loose(dice, frame, flow), _fans(dice, frame, spines)]
    wrinkles.append(_mesh(dice, frame, flow))
    crease_layer = 1 - torch.exp(-rasterise(creases, count, device))
    wrinkle_layer = 1 - torch.exp(-rasterise(wrinkles, count, device))
    texture = _texture(dice, count)
    veins = 1 - torch.exp(-rasterise(_veins(dice, frame), count, device))
    veins = F.avg_pool2d(blur(veins, 1.5), 2)
    grey = torch.cat([crease_layer * 255, wrinkle_layer * 255, 128 + texture * 40], 1)
    steps = 128 + 127 * _steps(dice, frame, spines)
    return Layers(_bytes(grey), _bytes(torch.cat([veins * 255, steps], 1)))


def _bytes(grey: torch.Tensor) -> torch.Tensor:
    return grey.round().clamp(0, 255).to(torch.uint8)


def _frame(dice: Dice, count: int) -> Frame:
    turn = dice.normal(math.radians(7), count)
    quarter = dice.chance(QUARTER_TURN_SHARE, count) * (dice.chance(0.5, count) * 2 - 1)
    angle = turn + quarter * (math.pi / 2)
    zoom = torch.exp(dice.uniform(math.log(0.8), math.log(1.45), count))
    mirror = dice.chance(0.5, count) * 2 - 1
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    matrix = torch.stack([torch.stack([cos * mirror, -sin], 1), torch.stack([sin * mirror, cos], 1)], 1)
    return Frame(matrix, zoom, dice.normal(0.05, count, 2))


def _flow(dice: Dice, count: int):
    """Direction of wrinkles over the skin: a smooth random field of angles about one of a few main ways."""
    base = dice.uniform(-math.pi, math.pi, count, 1, 1)
    tilt = dice.normal(1.3, count, 2, 1, 1)
    phase = dice.uniform(0, 6.3, count, 3, 1, 1)
    amount = dice.normal(0.6, count, 3, 1, 1)
    waves = dice.normal(3.5, count, 3, 2, 1, 1)

    def angle(xy: torch.Tensor) -> torch.Tensor:
        x, y = xy[..., 0], xy[..., 1]
        total = base + tilt[:, 0] * x + tilt[:, 1] * y
        for i in range(3):
            total = total + amount[:, i] * torch.sin(waves[:, i, 0] * x + waves[:, i, 1] * y + phase[:, i])
        return total

    return angle


def _principal_controls(dice: Dice, count: int) -> torch.Tensor:
    """[B, 3, 4, 2]: heart, head, life."""
    rows = []
    for control, (sd_x, sd_y) in PRINCIPALS.values():
        mean = torch.tensor(control, device=dice.device)
        spread = torch.tensor([sd_x, sd_y], device=dice.device)
        whole = dice.normal(0.6, count, 1, 2) * spread
        rows.append(mean + whole + dice.normal(0.85, count, 4, 2) * spread)
    lines = torch.stack(rows, 1)
    # Head and life mostly leave the edge of the hand together.
    together = dice.chance(0.7, count)[:, None]
    lines[:, 1, 0] = together * (lines[:, 2, 0] + dice.normal(0.015, count, 2)) + (1 - together) * lines[:, 1, 0]
    single = dice.chance(SINGLE_CREASE_SHARE, count)[:, None]
    lines[:, 1, 3] = single * (lines[:, 0, 0] + dice.normal(0.02, count, 2)) + (1 - single) * lines[:, 1, 3]
    return lines


def _principals(dice: Dice, frame: Frame, control: torch.Tensor) -> tuple[list[Strokes], torch.Tensor]:
    batch, lines, points = control.shape[0], control.shape[1], PRINCIPAL_POINTS
    spine = bezier(control, points)
    spine = spine + normals(spine) * (wander(dice, batch, lines, points, (1, 9), 1.3) * 0.012)[..., None]
    side = normals(spine)
    strength = dice.uniform(0.35, 1.0, batch, lines, 1)
    strokes = []
    for strand in range(STRANDS_PER_PRINCIPAL):
        first = strand == 0
        apart = (0.0015 if first else 0.010) * wander(dice, batch, lines, points, (1, 6), 1.0)
        fine = 0.0012 * wander(dice, batch, lines, points, (20, 40), 0.5)
        xy = spine + side * (apart + fine)[..., None]
        bias = 1.0 if first else -0.35
        visible = torch.sigmoid(3 * (bias + wander(dice, batch, lines, points, (1, 5), 0.8)))
        beads = (1 + 0.25 * wander(dice, batch, lines, points, (15, 45), 0.3)).clamp(0.1, 2)
        depth = strength * visible * beads * taper(points, 0.25, xy.device) * (1.0 if first else 0.55)
        width = dice.uniform(0.6, 1.1, batch, lines, 1) * (1 + 0.35 * wander(dice, batch, lines, points, (1, 5)))
        strokes.append(Strokes(frame.place(xy), depth, width * frame.zoom[:, None, None]))
    # The fold on both sides of a crease is a broad, faint dip.
    fold = strength * dice.uniform(0.05, 0.22, batch, lines, 1) * taper(points, 0.2, spine.device)
    fold = fold * torch.sigmoid(2 * wander(dice, batch, lines, points, (1, 3)))
    strokes.append(Strokes(frame.place(spine), fold, torch.full_like(fold, 4.5)))
    return strokes, spine


def _short(dice: Dice, start: torch.Tensor, angle: torch.Tensor, length: torch.Tensor, points: int, bend: float):
    """Curves from `start` [B, K, 2] into direction `angle` [B, K], bending a little: [B, K, points, 2]."""
    batch, curves = angle.shape
    turn = dice.normal(bend, batch, curves)
    places = [start]
    for step in range(3):
        way = angle + turn * (step / 2 - 0.5) + dice.normal(bend * 0.4, batch, curves)
        places.append(places[-1] + torch.stack([way.cos(), way.sin()], -1) * (length / 3)[..., None])
    xy = bezier(torch.stack(places, 2), points)
    return xy + normals(xy) * (0.003 * wander(dice, batch, curves, points, (1, 6), 1.0))[..., None]


def _ink(dice: Dice, xy: torch.Tensor, depths: tuple[float, float], widths: tuple[float, float], breaks: float):
    """Depth and width along short curves: few are deep, many are faint; some are broken."""
    batch, curves, points, _ = xy.shape
    level = depths[0] + (depths[1] - depths[0]) * dice.uniform(0, 1, batch, curves, 1) ** 1.7
    visible = torch.sigmoid(3 * (1.3 - breaks + wander(dice, batch, curves, points, (1, 4), 0.9)))
    depth = level * visible * taper(points, 0.4, xy.device)
    return depth, dice.uniform(widths[0], widths[1], batch, curves, 1).expand(-1, -1, points)


def _along(dice: Dice, spine: torch.Tensor, each: int, reach: tuple[float, float]):
    """Random places on the spines [B, L, P, 2] and the spines' directions there: [B, L * each, 2], [B, L * each]."""
    batch, lines, points, _ = spine.shape
    at = (dice.uniform(reach[0], reach[1], batch, lines, each) * (points - 2)).long()
    here = torch.gather(spine, 2, at[..., None].expand(-1, -1, -1, 2))
    ahead = torch.gather(spine, 2, (at + 1)[..., None].expand(-1, -1, -1, 2))
    step = (ahead - here).reshape(batch, -1, 2)
    return here.reshape(batch, -1, 2), torch.atan2(step[..., 1], step[..., 0])


def _branches(dice: Dice, frame: Frame, spines: torch.Tensor) -> Strokes:
    """Feathers: short creases that leave a principal one at an acute angle."""
    start, way = _along(dice, spines, BRANCHES_PER_PRINCIPAL, (0.1, 0.95))
    side = dice.chance(0.5, *way.shape) * 2 - 1
    back = dice.chance(0.35, *way.shape) * math.pi
    length = 0.04 + 0.22 * dice.uniform(0, 1, *way.shape) ** 2
    xy = _short(dice, start, way + back + side * dice.uniform(0.15, 0.8, *way.shape), length, 80, 0.35)
    depth, width = _ink(dice, xy, (0.05, 0.75), (0.6, 1.1), 0.6)
    return Strokes(frame.place(xy), depth, width)


def _fans(dice: Dice, frame: Frame, spines: torch.Tensor) -> Strokes:
    """Wrinkles across the life line's thenar side, in rows: what loose crops show at their thumb edge."""
    start, way = _along(dice, spines[:, 2:3], 34, (0.0, 0.9))
    start = start + dice.normal(0.05, *start.shape)
    length = dice.uniform(0.08, 0.3, *way.shape)
    lean = dice.normal(0.25, way.shape[0], 1)
    xy = _short(dice, start, way + math.pi / 2 + lean + dice.normal(0.2, *way.shape), length, 70, 0.25)
    amount = dice.uniform(0.1, 1.0, way.shape[0], 1, 1)
    depth, width = _ink(dice, xy, (0.05, 0.8), (0.6, 1.0), 0.5)
    return Strokes(frame.place(xy), depth * amount, width)


def _secondary(dice: Dice, frame: Frame, flow) -> Strokes:
    """Long thin creases: fate and sun lines (up and down), girdles, and others that follow no rule."""
    batch = frame.zoom.shape[0]
    start = dice.uniform(-0.75, 0.6, batch, SECONDARY_CURVES, 2)
    upright = dice.normal(0.35, batch, SECONDARY_CURVES) + math.pi / 2
    angle = torch.where(dice.chance(0.45, batch, SECONDARY_CURVES) > 0, upright, flow(start[:, :, None])[:, :, 0])
    length = dice.uniform(0.25, 1.2, batch, SECONDARY_CURVES)
    xy = _short(dice, start, angle, length, 160, 0.4)
    depth, width = _ink(dice, xy, (0.05, 0.9), (0.55, 1.0), 0.4)
    return Strokes(frame.place(xy), depth, width)


def _bundles(dice: Dice, frame: Frame, flow) -> Strokes:
    """Rows of nearly parallel wrinkles."""
    batch = frame.zoom.shape[0]
    centre = dice.uniform(-0.75, 0.75, batch, BUNDLES, 1, 2)
    angle = flow(centre) + dice.chance(0.4, batch, BUNDLES, 1) * (math.pi / 2)
    across = torch.stack([-angle.sin(), angle.cos()], -1)
    pitch = dice.uniform(0.015, 0.045, batch, BUNDLES, 1, 1)
    order = torch.arange(WRINKLES_PER_BUNDLE, device=dice.device) - WRINKLES_PER_BUNDLE / 2
    start = centre + across * (order.view(1, 1, -1, 1) * pitch)
    start = (start + dice.normal(0.02, *start.shape)).flatten(1, 2)
    way = (angle + dice.normal(0.12, batch, BUNDLES, WRINKLES_PER_BUNDLE)).flatten(1, 2)
    xy = _short(dice, start, way, dice.uniform(0.12, 0.55, *way.shape), 64, 0.2)
    depth, width = _ink(dice, xy, (0.05, 0.6), (0.6, 0.95), 0.5)
    amount = dice.uniform(0, 1, batch, BUNDLES, 1).expand(-1, -1, WRINKLES_PER_BUNDLE).flatten(1, 2)
    return Strokes(frame.place(xy), depth * amount[..., None], width)


def _mesh(dice: Dice, frame: Frame, flow) -> Strokes:
    """Families of long fine lines over the whole palm, each of its own direction, dense here and missing there: most of
    what a camera sees between the creases."""
    batch = frame.zoom.shape[0]
    count = MESH_FAMILIES * MESH_LINES
    start = dice.uniform(-0.95, 0.75, batch, count, 2)
    family = dice.uniform(0, math.pi, batch, MESH_FAMILIES, 1).expand(-1, -1, MESH_LINES).flatten(1)
    way = family + 0.35 * flow(start[:, :, None])[:, :, 0] + dice.normal(0.16, batch, count)
    xy = _short(dice, start, way, 0.12 + 0.9 * dice.uniform(0, 1, batch, count) ** 1.4, 110, 0.3)
    depth, width = _ink(dice, xy, (0.04, 0.65), (0.5, 0.85), 0.4)
    amount = dice.uniform(0, 1, batch, MESH_FAMILIES, 1).expand(-1, -1, MESH_LINES).flatten(1)
    where = dice.normal(3.0, batch, MESH_FAMILIES, 2).repeat_interleave(MESH_LINES, 1)
    phase = dice.uniform(0, 6.3, batch, MESH_FAMILIES).repeat_interleave(MESH_LINES, 1)
    dense = torch.sigmoid(1 + 2.5 * torch.sin((where * start).sum(-1) + phase))
    return Strokes(frame.place(xy), depth * (amount * dense)[..., None], width)


def _loose(dice: Dice, frame: Frame, flow) -> Strokes:
    batch = frame.zoom.shape[0]
    start = dice.uniform(-0.85, 0.85, batch, LOOSE_WRINKLES, 2)
    across = dice.chance(0.3, batch, LOOSE_WRINKLES) * (math.pi / 2)
    way = flow(start[:, :, None])[:, :, 0] + across + dice.normal(0.35, batch, LOOSE_WRINKLES)
    xy = _short(dice, start, way, 0.06 + 0.5 * dice.uniform(0, 1, *way.shape) ** 2, 64, 0.4)
    amount = dice.uniform(0.2, 1.0, batch, 1, 1)
    depth, width = _ink(dice, xy, (0.03, 0.7), (0.6, 1.0), 0.6)
    return Strokes(frame.place(xy), depth * amount, width)


STEP_GRID = 40
STEP_SPINE_POINTS = 48


def _steps(dice: Dice, frame: Frame, spines: torch.Tensor) -> torch.Tensor:
    """Skin on the two sides of a principal crease lies at different slopes: a step of -1..1 at the crease that fades
    away from it, [B, 2, SIDE / 2, SIDE / 2]: life line; heart and head line together."""
    batch = spines.shape[0]
    thin = torch.linspace(0, PRINCIPAL_POINTS - 1, STEP_SPINE_POINTS, device=dice.device).long()
    line = frame.place(spines[:, :, thin])
    # Beyond its ends a crease goes on straight, so that the sides stay sides.
    before = 2 * line[:, :, :1] - line[:, :, 4:5]
    after = 2 * line[:, :, -1:] - line[:, :, -5:-4]
    line = torch.cat([line[:, :, :1] + 5 * (before - line[:, :, :1]), line, line[:, :, -1:] + 5 * (after - line[:, :, -1:])], 2)
    line = F.interpolate(line.flatten(0, 1).transpose(1, 2), 4 * STEP_SPINE_POINTS, mode="linear", align_corners=True)
    line = line.transpose(1, 2).view(batch, 3, -1, 2)
    axis = ((torch.arange(STEP_GRID, device=dice.device) + 0.5) / STEP_GRID * 2 - 1) * LAYER_REACH_CROPS
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    place = torch.stack([x, y], -1).view(1, 1, -1, 2)
    near = torch.cdist(place.expand(batch, 3, -1, 2), line).argmin(-1)[..., None].expand(-1, -1, -1, 2)
    away = place - torch.gather(line, 2, near)
    signed = (away * torch.gather(normals(line), 2, near)).sum(-1).view(batch, 3, STEP_GRID, STEP_GRID)
    signed = F.interpolate(signed, (BROAD_SIDE_PX, BROAD_SIDE_PX), mode="bilinear", align_corners=False)
    sharp, reach = dice.uniform(0.006, 0.03, batch, 3, 1, 1), dice.uniform(0.08, 0.4, batch, 3, 1, 1)
    step = torch.tanh(signed / sharp) * torch.exp(-signed.abs() / reach)
    both = step[:, 0:1] * dice.uniform(-0.6, 0.6, batch, 1, 1, 1) + step[:, 1:2] * dice.uniform(-0.6, 0.6, batch, 1, 1, 1)
    return torch.cat([step[:, 2:3], both], 1).clamp(-1, 1)


TEXTURE_ORIENTATIONS = 6


def _texture(dice: Dice, count: int) -> torch.Tensor:
    """Papillary ridges at the limit of resolution, along a flow, and pores and mottling of larger grain."""
    side = LAYER_SIDE_PX
    noise = dice.normal(1, count, 1, side, side)
    period = 3.4
    radius = 5
    grid = torch.arange(-radius, radius + 1, device=dice.device, dtype=torch.float32)
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    angles = torch.arange(TEXTURE_ORIENTATIONS, device=dice.device) * (math.pi / TEXTURE_ORIENTATIONS)
    across = x * angles.cos().view(-1, 1, 1) + y * angles.sin().view(-1, 1, 1)
    kernel = torch.exp(-(x**2 + y**2) / (2 * 2.2**2)) * torch.cos(2 * math.pi * across / period)
    kernel = kernel - kernel.mean((1, 2), keepdim=True)
    kernel = kernel / kernel.norm(dim=(1, 2), keepdim=True)
    bands = F.conv2d(noise, kernel[:, None], padding=radius)
    angle = F.interpolate(dice.normal(1.0, count, 1, 5, 5), (side, side), mode="bicubic", align_corners=True)
    angle = angle + dice.uniform(0, math.pi, count, 1, 1, 1)
    weights = torch.exp(4 * torch.cos(2 * (angle - angles.view(1, -1, 1, 1))))
    ridges = (bands * weights / weights.norm(dim=1, keepdim=True)).sum(1, keepdim=True)
    mottling = blur(dice.normal(1, count, 1, side, side), 1.6) * 5.6
    blotches = blur(F.avg_pool2d(dice.normal(1, count, 1, side, side), 4), 1.3)
    blotches = F.interpolate(blotches, (side, side), mode="bilinear") * 18
    return 0.3 * ridges + 0.5 * mottling + 0.7 * blotches


VEIN_TRUNKS = 6
VEIN_BRANCHES = 14


def _veins(dice: Dice, frame: Frame) -> list[Strokes]:
    """Trunks that rise towards the fingers, and branches that leave them and lean the same way."""
    batch = frame.zoom.shape[0]
    start = torch.stack([dice.uniform(-0.8, 0.8, batch, VEIN_TRUNKS), dice.uniform(0.2, 0.9, batch, VEIN_TRUNKS)], -1)
    way = dice.normal(0.5, batch, VEIN_TRUNKS) - math.pi / 2
    trunk = _short(dice, start, way, dice.uniform(0.7, 1.5, batch, VEIN_TRUNKS), 220, 0.7)
    trunk = trunk + normals(trunk) * (0.025 * wander(dice, batch, VEIN_TRUNKS, 220, (1, 6), 1.0))[..., None]
    strokes = [_vein(dice, frame, trunk, 0.9)]
    at, along = _along(dice, trunk, VEIN_BRANCHES // VEIN_TRUNKS + 1, (0.05, 0.9))
    side = dice.chance(0.5, *along.shape) * 2 - 1
    branch = _short(dice, at, along + side * dice.uniform(0.4, 1.1, *along.shape), dice.uniform(0.2, 0.7, *along.shape), 160, 0.7)
    branch = branch + normals(branch) * (0.015 * wander(dice, batch, along.shape[1], 160, (1, 5), 1.0))[..., None]
    return [*strokes, _vein(dice, frame, branch, 0.6)]


def _vein(dice: Dice, frame: Frame, xy: torch.Tensor, most: float) -> Strokes:
    batch, curves, points, _ = xy.shape
    seen = torch.sigmoid(3 * (0.9 + wander(dice, batch, curves, points, (1, 4), 0.8)))
    depth = dice.uniform(0.1, most, batch, curves, 1) * seen * taper(points, 0.15, xy.device)
    width = dice.uniform(2.3, 5.0, batch, curves, 1) * frame.zoom[:, None, None]
    return Strokes(frame.place(xy), depth, width.expand(-1, -1, points))
