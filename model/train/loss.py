"""What training asks for: pictures of a palm near one of its centres by a margin, and nearer to each other than to any
other palm of the batch; and, with an aligner, the true pose."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn


class SubCentreArc(nn.Module):
    """Additive angular margin over identities; each has several centres and the nearest counts."""

    def __init__(self, identities: int, dimension: int, centres: int = 2, scale: float = 32.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(identities * centres, dimension) * 0.1)
        self.centres, self.scale = centres, scale

    def forward(self, signatures: torch.Tensor, labels: torch.Tensor, margin: float) -> torch.Tensor:
        cosine = (signatures @ F.normalize(self.weight).T).view(len(labels), -1, self.centres).amax(-1)
        own = cosine.gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        moved = torch.cos(own.acos().clamp_max(math.pi - margin) + margin)
        return F.cross_entropy(self.scale * cosine.scatter(1, labels[:, None], moved), labels)


def contrast(signatures: torch.Tensor, labels: torch.Tensor, temperature: float = 0.07) -> torch.Tensor:
    """Supervised contrastive loss inside the batch."""
    self_pair = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    logits = (signatures @ signatures.T / temperature).masked_fill(self_pair, -1e4)
    same = (labels[:, None] == labels[None]) & ~self_pair
    chance = logits.log_softmax(1)
    return -((chance * same).sum(1) / same.sum(1).clamp_min(1)).mean()


def pose_loss(predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    return F.smooth_l1_loss(predicted, true, beta=0.05)
