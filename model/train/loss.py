"""What training asks for: a picture of a palm nearer to each other picture of it than to those of any other palm; and
one frame for all pictures of a palm."""

from __future__ import annotations

import torch
import torch.nn.functional as F

TEMPERATURE = 0.07


class Memory:
    """Signatures of the last steps, to be strangers to those of the next (cross-batch memory, Wang et al., CVPR 2020).

    Class centres would do as well if each palm came by often; in a training of a few hours it does not. State of fixed
    size: the oldest are overwritten.
    """

    def __init__(self, size: int, dimension: int, device: torch.device | str = "cpu"):
        self.signatures = torch.zeros(size, dimension, device=device)
        self.labels = torch.full((size,), -1, dtype=torch.long, device=device)
        self.next = 0

    def push(self, signatures: torch.Tensor, labels: torch.Tensor) -> None:
        rows = (self.next + torch.arange(len(labels), device=labels.device)) % len(self.labels)
        self.signatures[rows] = signatures.detach()
        self.labels[rows] = labels
        self.next = (self.next + len(labels)) % len(self.labels)

    def state(self) -> dict[str, torch.Tensor | int]:
        return {"signatures": self.signatures, "labels": self.labels, "next": self.next}

    def restore(self, state: dict[str, torch.Tensor | int]) -> None:
        self.signatures.copy_(state["signatures"])
        self.labels.copy_(state["labels"])
        self.next = int(state["next"])


def contrast(signatures: torch.Tensor, labels: torch.Tensor, memory: Memory, margin: float) -> torch.Tensor:
    """Cross-entropy of each mated pair of the batch, less `margin`, against all strangers of its first picture, in the
    batch and in the memory (additive margin: Wang et al., CosFace, CVPR 2018; one pair at a time, so that a pair that
    is alike already does not hide one that is not)."""
    similarity = signatures @ signatures.T
    same = labels[:, None] == labels[None]
    strangers = torch.cat([similarity.masked_fill(same, -1e4), _remembered(signatures, labels, memory)], 1)
    against = (strangers / TEMPERATURE).logsumexp(1, keepdim=True)
    pairs = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return F.softplus(against - (similarity - margin) / TEMPERATURE)[pairs].mean()


def _remembered(signatures: torch.Tensor, labels: torch.Tensor, memory: Memory) -> torch.Tensor:
    known = (memory.labels[None] >= 0) & (memory.labels[None] != labels[:, None])
    return (signatures @ memory.signatures.T).masked_fill(~known, -1e4)


def frame_loss(predicted: torch.Tensor, true: torch.Tensor, each: int) -> torch.Tensor:
    """How much the frames differ in which pictures of one palm are seen after alignment.

    A pose is a similarity z = p w + d of the plane of complex numbers, `predicted` from picture to the network's frame,
    `true` from picture to skin, both [B, 4], the `each` pictures of a palm being neighbours. From skin to frame leads
    m z + n with m = p' / p, n = d' - m d: which one it is is left to the network, for nothing tells where the middle of
    a palm is; but it must be the same for all pictures of a palm, and on the whole that of the skin.
    """
    p, d = torch.complex(true[:, 0], true[:, 1]), torch.complex(true[:, 2], true[:, 3])
    seen_p, seen_d = torch.complex(predicted[:, 0], predicted[:, 1]), torch.complex(predicted[:, 2], predicted[:, 3])
    m = seen_p / p
    n = seen_d - m * d
    both = torch.view_as_real(torch.stack([m, n], 1)).flatten(1).view(-1, each, 4)
    middle = both.mean(1, keepdim=True)
    apart = F.smooth_l1_loss(both, middle.expand_as(both), beta=0.05)
    skin = torch.tensor([1.0, 0.0, 0.0, 0.0], device=true.device)
    return apart + 0.1 * F.smooth_l1_loss(middle, skin.expand_as(middle), beta=0.3)
