"""Error rates of a comparison: gallery of one session against probes of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Rates:
    eer: float
    tar_at_fmr_1e3: float
    rank1: float
    genuine: int
    impostor: int

    def __str__(self) -> str:
        return (
            f"EER {100 * self.eer:.2f} %  TAR@1e-3 {100 * self.tar_at_fmr_1e3:.1f} %  rank-1 {100 * self.rank1:.1f} %"
            f"  ({self.genuine} genuine, {self.impostor} impostor pairs)"
        )


def rates(gallery: np.ndarray, gallery_of: np.ndarray, probes: np.ndarray, probe_of: np.ndarray) -> Rates:
    scores = probes @ gallery.T
    same = probe_of[:, None] == gallery_of[None]
    genuine, impostor = np.sort(scores[same]), np.sort(scores[~same])
    at = np.unique(np.concatenate([genuine, impostor]))
    missed = np.searchsorted(genuine, at) / len(genuine)
    taken = 1 - np.searchsorted(impostor, at) / len(impostor)
    cross = int(np.argmin(np.abs(missed - taken)))
    limit = impostor[min(len(impostor) - 1, int(np.ceil(len(impostor) * (1 - 1e-3))))]
    return Rates(
        eer=float(missed[cross] + taken[cross]) / 2,
        tar_at_fmr_1e3=float((genuine > limit).mean()),
        rank1=float((gallery_of[scores.argmax(1)] == probe_of).mean()),
        genuine=len(genuine),
        impostor=len(impostor),
    )
