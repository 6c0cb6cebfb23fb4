"""What training asks for: pictures of a palm near its centre by a margin, and nearer to each other than to any other
palm of the batch; and one frame for all pictures of a palm."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

TEMPERATURE = 0.07


class ArcMargin(nn.Module):
    """Additive angular margin over identities (ArcFace, Deng et al., CVPR 2019)."""

    def __init__(self, identities: int, dimension: int, scale: float = 32.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(identities, dimension) * 0.1)
        self.scale = scale

    def forward(self, signatures: torch.Tensor, labels: torch.Tensor, margin: float) -> torch.Tensor:
        cosine = signatures @ F.normalize(self.weight).T
        own = cosine.gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        moved = torch.cos(own.acos().clamp_max(math.pi - margin) + margin)
        return F.cross_entropy(self.scale * cosine.scatter(1, labels[:, None], moved), labels)


def contrast(signatures: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each mated pair of the batch against all strangers of its first picture (supervised contrast,
    Khosla et al., NeurIPS 2020; one pair at a time, so that a pair that is alike already does not hide one that is
    not)."""
    similarity = signatures @ signatures.T / TEMPERATURE
    same = labels[:, None] == labels[None]
    against = similarity.masked_fill(same, -1e4).logsumexp(1, keepdim=True)
    pairs = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return F.softplus(against - similarity)[pairs].mean()


def frame_loss(predicted: torch.Tensor, true: torch.Tensor, each: int) -> torch.Tensor:
    """How much the frames differ in which pictures of one palm are seen after alignment.

    A pose is a similarity z = p w + d of the plane of complex numbers, `predicted` from picture to the network's frame,
    `true` from picture to skin, both [B, 4], the `each` pictures of a palm being neighbours. From skin to frame leads
    m z + n with m = p' / p, n = d' - m d: which one it is is left to the network, for nothing tells where the middle of
    a palm is; but it must be the same for all pictures of a palm, and on the whole that of the skin. What is compared is
    the logarithm of m (scale and turn) and n / m (where the frame's middle lies on the skin): a network that makes its
    frame small does not make its error small.
    """
    p, d = torch.complex(true[:, 0], true[:, 1]), torch.complex(true[:, 2], true[:, 3])
    seen_p, seen_d = torch.complex(predicted[:, 0], predicted[:, 1]), torch.complex(predicted[:, 2], predicted[:, 3])
    m = seen_p / p
    both = torch.view_as_real(torch.stack([m.log(), seen_d / m - d], 1)).flatten(1).view(-1, each, 4)
    middle = both.mean(1, keepdim=True)
    apart = F.smooth_l1_loss(both, middle.expand_as(both), beta=0.03)
    return apart + 0.1 * F.smooth_l1_loss(middle, torch.zeros_like(middle), beta=0.3)
