"""A contact sheet of synthetic palms: `python -m model.factory.sheet --out docs/synthetic-palms-factory.png`.

Rows of identities, four pictures of each: nearly aligned in visible light, the same in NIR, and two loose ones with
local contrast. Made to be held beside real crops, which are never committed.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from PIL import Image

from .identity import draw
from .raster import Dice
from .sample import CROP_PX, Ranges, Sampler

GAP_PX = 4
LOOKS = (
    (0.15, {"nir_share": 0.0, "local_contrast_share": 0.0, "occlusion_share": 0.0}),
    (0.15, {"nir_share": 1.0, "local_contrast_share": 0.0, "occlusion_share": 0.0}),
    (1.0, {"nir_share": 0.0, "local_contrast_share": 1.0}),
    (1.0, {"nir_share": 0.0, "local_contrast_share": 1.0}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws a contact sheet of synthetic palms.")
    parser.add_argument("--out", default="docs/synthetic-palms-factory.png")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--columns", type=int, default=3, help="identities in a row")
    parser.add_argument("--rows", type=int, default=6)
    options = parser.parse_args()
    count = options.columns * options.rows
    layers = draw(options.seed, count)
    pictures = []
    for look, (difficulty, changes) in enumerate(LOOKS):
        sampler = Sampler(Dice(options.seed * 1000 + look), replace(Ranges(), **changes))
        pictures.append(sampler.take(layers.lines, layers.broad, difficulty).roi)
    cell = CROP_PX + GAP_PX
    sheet = torch.zeros(options.rows * cell - GAP_PX, options.columns * len(LOOKS) * cell - GAP_PX, dtype=torch.uint8)
    for identity in range(count):
        row, column = divmod(identity, options.columns)
        for look, roi in enumerate(pictures):
            x = (column * len(LOOKS) + look) * cell
            sheet[row * cell : row * cell + CROP_PX, x : x + CROP_PX] = roi[identity, 0].to(torch.uint8)
    Image.fromarray(sheet.numpy()).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
