"""One command trains the signature: `python -m model.train --store DIR --checkpoint FILE`.

Palms come from a store of the factory, pictures of them are taken as the training goes. The last HELD_OUT identities
are never trained on; rates are counted on them. The checkpoint holds all that is needed to go on; a run that is started
again with the same file does so. Random numbers of a step follow from (seed, step), so a run that was interrupted sees
the same pictures as one that was not.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..factory.raster import Dice
from ..factory.sample import Sampler
from ..factory.store import Store, open_store
from .loss import ArcMargin, contrast, frame_loss
from .network import DIMENSION, SignatureNet, no_pose, normalise, straighten
from .rates import rates

HELD_OUT = 256
PICTURES_PER_PALM = 4
AVERAGE_DECAY = 0.998
GRADIENT_LIMIT = 5.0
WARM_UP_SHARE = 0.05
# Poses reach their full range, and the margin its full size, after this share of the steps.
FULL_DIFFICULTY_SHARE = 0.3
FULL_MARGIN = 0.2
FRAME_WEIGHT = 10.0
# How far the poses that the body learns with are from the true ones: standard deviations of what aligners reach.
STRAY_RAD = 0.035
STRAY_SCALE = 0.05
STRAY_CROPS = 0.022
PROGRESS_STEPS = 20
CENTRE_BATCH = 32


class Training:
    """The network, its average, the centres, the optimiser, and where they are."""

    def __init__(self, options: argparse.Namespace, store: Store):
        torch.manual_seed(options.seed)
        self.options, self.store, self.step, self.schooled = options, store, 0, False
        self.identities = len(store) - HELD_OUT
        if self.identities < options.palms:
            raise SystemExit(f"the store has {len(store)} identities; {HELD_OUT + options.palms} are needed at least")
        if options.identities:
            self.identities = min(self.identities, options.identities)
        self.device = torch.device(options.device)
        self.net = SignatureNet().to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.net).eval()
        self.centres = ArcMargin(self.identities, DIMENSION).to(self.device)
        decayed, plain = [], []
        for name, parameter in self.net.named_parameters():
            (decayed if name.endswith("weight") and parameter.ndim > 1 else plain).append(parameter)
        groups = [
            {"params": decayed, "weight_decay": 0.05},
            {"params": plain, "weight_decay": 0.0},
            {"params": self.centres.parameters(), "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=options.rate)

    @torch.no_grad()
    def start_from(self, path: str) -> None:
        """Takes the network of another training, and as centres the means of what it says of this store's palms."""
        weights = torch.load(path, map_location=self.device, weights_only=True)["average"]
        self.net.load_state_dict(weights)
        self.average.load_state_dict(weights)
        self.schooled = True
        for first in range(0, self.identities, CENTRE_BATCH):
            rows = np.arange(first, min(first + CENTRE_BATCH, self.identities))
            lines, broad = self.store.layers(rows, self.device)
            roi = Sampler(Dice(800_000 + first, self.device)).take(lines, broad, 0.5, PICTURES_PER_PALM).roi
            means = self.average.summary(self.average(roi)[0]).view(len(rows), PICTURES_PER_PALM, -1).mean(1)
            self.centres.weight[rows] = F.normalize(means)
            if first % (CENTRE_BATCH * 32) == 0:
                print(f"centres: {first} of {self.identities}", flush=True)

    def one_step(self) -> float:
        options, dice = self.options, Dice(options_seed(self.options.seed, self.step), self.device)
        torch.manual_seed(options_seed(options.seed, self.step))
        done = self.step / options.steps
        grown = 1.0 if self.schooled else min(1.0, done / FULL_DIFFICULTY_SHARE)
        difficulty = 0.25 + 0.75 * grown
        palms = np.random.default_rng((options.seed, self.step)).choice(self.identities, options.palms, replace=False)
        labels = torch.from_numpy(np.repeat(palms, PICTURES_PER_PALM)).to(self.device)
        lines, broad = self.store.layers(palms, self.device)
        with torch.no_grad():
            pictures = Sampler(dice).take(lines, broad, difficulty, PICTURES_PER_PALM)
        x = normalise(pictures.roi)
        # The body is shown what a good aligner would give it, so that it need not wait for one.
        places = self.net.places(*straighten(x, astray(dice, pictures.pose)))
        summaries = self.net.summary(places)
        loss = self.centres(summaries, labels, FULL_MARGIN * grown)
        loss = loss + contrast(summaries, labels) + contrast(places, labels)
        # The aligner looks at half of the pictures as they came, at the others as after a first look.
        second = dice.chance(0.5, len(x), 1)
        known = second * astray(dice, pictures.pose, 2) + (1 - second) * no_pose(x)
        loss = loss + FRAME_WEIGHT * frame_loss(self.net.closer(x, known), pictures.pose, PICTURES_PER_PALM)
        for group in self.optimiser.param_groups:
            group["lr"] = options.rate * pace(done)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), GRADIENT_LIMIT)
        self.optimiser.step()
        self.step += 1
        self._average()
        return float(loss.detach())

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(AVERAGE_DECAY, (1 + self.step) / (10 + self.step))
        for mine, theirs in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - keep)
            else:
                mine.copy_(theirs)

    @torch.no_grad()
    def held_out(self) -> str:
        """Rates on palms that are never trained on, two pictures each of full difficulty."""
        views = []
        for view in range(2):
            parts = []
            for first in range(len(self.store) - HELD_OUT, len(self.store), 64):
                lines, broad = self.store.layers(np.arange(first, first + 64), self.device)
                roi = Sampler(Dice(900_000 + 1000 * view + first, self.device)).take(lines, broad).roi
                parts.append(self.average(roi)[0].cpu().numpy())
            views.append(np.concatenate(parts))
        palms = np.arange(HELD_OUT)
        return str(rates(views[0], palms, views[1], palms))

    def save(self) -> None:
        path = self.options.checkpoint
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        state = {
            "step": self.step,
            "identities": self.identities,
            "schooled": self.schooled,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "centres": self.centres.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(state, path + ".part")
        os.replace(path + ".part", path)

    def resume(self) -> None:
        state = torch.load(self.options.checkpoint, map_location=self.device, weights_only=True)
        if state["identities"] != self.identities:
            raise SystemExit(f"{self.options.checkpoint} was made with {state['identities']} identities, not {self.identities}")
        self.step, self.schooled = state["step"], state["schooled"]
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.centres.load_state_dict(state["centres"])
        self.optimiser.load_state_dict(state["optimiser"])


def astray(dice: Dice, pose: torch.Tensor, times: float = 1.0) -> torch.Tensor:
    """Poses [B, 4] as an aligner sees them that errs a little, or so many times as much."""
    count = len(pose)
    error = torch.polar(torch.exp(dice.normal(STRAY_SCALE * times, count)), dice.normal(STRAY_RAD * times, count))
    p, d = torch.complex(pose[:, 0], pose[:, 1]) * error, torch.complex(pose[:, 2], pose[:, 3]) * error
    moved = dice.normal(STRAY_CROPS * times, count, 2)
    return torch.stack([p.real, p.imag, d.real + moved[:, 0], d.imag + moved[:, 1]], 1)


def options_seed(seed: int, step: int) -> int:
    return seed * 1_000_003 + step


def pace(done: float) -> float:
    """Share of the learning rate: rises, then falls along a cosine."""
    if done < WARM_UP_SHARE:
        return max(0.02, done / WARM_UP_SHARE)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (done - WARM_UP_SHARE) / (1 - WARM_UP_SHARE))))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m model.train", description="Trains the palm signature.")
    parser.add_argument("--store", required=True, help="folder made by model.factory.store")
    parser.add_argument("--checkpoint", required=True, help="written every few minutes; continued if it is there")
    parser.add_argument("--start", help="checkpoint of another training, whose network goes on here from full difficulty")
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--palms", type=int, default=16, help=f"palms of a step, {PICTURES_PER_PALM} pictures of each")
    parser.add_argument("--identities", type=int, default=0, help="train on the first N only; 0 for all")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--save-every-s", type=float, default=180.0)
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> Training:
    torch.set_num_threads(options.threads)
    training = Training(options, open_store(options.store))
    if os.path.exists(options.checkpoint):
        training.resume()
    elif options.start:
        training.start_from(options.start)
    weights = sum(p.numel() for p in training.net.parameters())
    print(f"{weights} weights, {training.identities} identities, from step {training.step}", flush=True)
    start, first, saved, losses = time.monotonic(), training.step, time.monotonic(), []
    while training.step < options.steps:
        losses.append(training.one_step())
        if training.step % PROGRESS_STEPS == 0:
            left = (time.monotonic() - start) / (training.step - first) * (options.steps - training.step)
            print(f"step {training.step}/{options.steps} loss {np.mean(losses):.3f}, {left / 60:.1f} min left", flush=True)
            losses = []
        if time.monotonic() - saved > options.save_every_s:
            training.save()
            print(f"saved at step {training.step}; held out: {training.held_out()}", flush=True)
            saved = time.monotonic()
    training.save()
    print(f"done at step {training.step}; held out: {training.held_out()}", flush=True)
    return training


def main() -> None:
    run(parse())
