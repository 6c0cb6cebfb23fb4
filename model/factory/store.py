"""Layers of many identities on disk: `python -m model.factory.store --out DIR --identities 10000 --seed 1`.

Two .npy files of uint8, read by memory map: lines.npy [N, 3, 192, 192] and broad.npy [N, 3, 96, 96], 0.14 MB an
identity. Identities are drawn in batches of a fixed size, each from its own seed, so an interrupted run goes
on where it stopped and ends in the same bytes; done.txt counts the finished ones.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.lib.format import open_memmap

from .identity import BROAD_SIDE_PX, draw
from .raster import LAYER_SIDE_PX

# Part of the meaning of a seed: another size draws other identities.
BATCH_IDENTITIES = 16
# Seeds of batches of two stores never meet while no store has more batches than this.
MAX_BATCHES_PER_SEED = 1_000_000
# Fields of `Layers`, a file each, and their shapes per identity.
SHAPES = {
    "lines": (3, LAYER_SIDE_PX, LAYER_SIDE_PX),
    "broad": (3, BROAD_SIDE_PX, BROAD_SIDE_PX),
}


@dataclass
class Store:
    """Identities ready for sampling."""

    lines: np.ndarray
    broad: np.ndarray

    def __len__(self) -> int:
        return len(self.lines)

    def layers(self, identities: np.ndarray, device: torch.device | str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
        """Line layers and broad layers of the given identities, one row each."""
        rows = np.asarray(identities)
        return torch.from_numpy(self.lines[rows]).to(device), torch.from_numpy(self.broad[rows]).to(device)


def open_store(folder: str) -> Store:
    """Opens what is finished of a store, read only."""
    ready = _done(folder)
    if ready == 0:
        raise SystemExit(f"{folder}: no identities there. Draw them: python -m model.factory.store --out {folder}")
    return Store(**{name: np.load(os.path.join(folder, f"{name}.npy"), mmap_mode="r")[:ready] for name in SHAPES})


def fill(folder: str, identities: int, seed: int, device: str = "cpu", report: bool = True) -> None:
    """Draws what is missing of `identities` identities."""
    os.makedirs(folder, exist_ok=True)
    ready = _done(folder)
    mode = "r+" if ready else "w+"
    files = {name: _file(folder, f"{name}.npy", mode, (identities, *shape)) for name, shape in SHAPES.items()}
    start = time.monotonic()
    for first in range(ready, identities, BATCH_IDENTITIES):
        part = min(BATCH_IDENTITIES, identities - first)
        drawn = draw(seed * MAX_BATCHES_PER_SEED + first // BATCH_IDENTITIES, BATCH_IDENTITIES, device)
        for name, file in files.items():
            file[first : first + part] = getattr(drawn, name)[:part].cpu().numpy()
        with open(os.path.join(folder, "done.txt"), "w", encoding="ascii") as note:
            note.write(str(first + part))
        if report and (first // BATCH_IDENTITIES) % 20 == 0:
            each = (time.monotonic() - start) / (first + part - ready)
            print(f"{first + part}/{identities} identities, {each * (identities - first - part):.0f} s left", flush=True)
    for file in files.values():
        file.flush()


def _done(folder: str) -> int:
    note = os.path.join(folder, "done.txt")
    if not os.path.exists(note):
        return 0
    with open(note, encoding="ascii") as file:
        return int(file.read())


def _file(folder: str, name: str, mode: str, shape: tuple[int, ...]) -> np.memmap:
    path = os.path.join(folder, name)
    if mode == "w+":
        return open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    file = open_memmap(path, mode="r+")
    if file.shape != shape:
        raise SystemExit(f"{path} holds {file.shape[0]} identities, not {shape[0]}: give another --out")
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws identities of palms into a folder.")
    parser.add_argument("--out", required=True)
    parser.add_argument("--identities", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    fill(options.out, options.identities, options.seed, options.device)


if __name__ == "__main__":
    main()
