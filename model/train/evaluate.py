"""Rates of the vectors alone, the first stage of a search, of an ONNX signature on folders of crops:

    python -m model.train.evaluate --model FILE --data DIR [DIR ...]

A folder holds <palm>/<session>_<sample>.png; the first session is the gallery, the others are the probes. Real crops
are for measuring only: nothing here writes one or learns from one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from .rates import rates

BATCH_CROPS = 32


def crops(folder: Path, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crops [n, 1, side, side], their palms and their sessions."""
    pictures, palms, sessions = [], [], []
    for path in sorted(p for p in folder.glob("*/*") if p.suffix.lower() in (".png", ".jpg")):
        image = Image.open(path).convert("L")
        if image.size != (side, side):
            image = image.resize((side, side), Image.Resampling.BILINEAR)
        pictures.append(np.asarray(image))
        palms.append(path.parent.name)
        sessions.append(path.name.split("_")[0])
    if not pictures:
        raise SystemExit(f"{folder}: no <palm>/<session>_<sample>.png there")
    return np.stack(pictures)[:, None], np.array(palms), np.array(sessions)


def main() -> None:
    parser = argparse.ArgumentParser(description="EER, TAR and rank-1 of a signature file on folders of crops.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, nargs="+", type=Path)
    options = parser.parse_args()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(options.model, settings)
    side = session.get_inputs()[0].shape[2]
    for folder in options.data:
        roi, palms, sessions = crops(folder, side)
        parts = [session.run(None, {"roi": roi[i : i + BATCH_CROPS]})[0] for i in range(0, len(roi), BATCH_CROPS)]
        signatures = np.concatenate(parts)
        first = sessions == sorted(set(sessions))[0]
        if first.all():
            raise SystemExit(f"{folder}: one session only, so there is nothing to compare it with")
        print(f"{folder.name:16s} {rates(signatures[first], palms[first], signatures[~first], palms[~first])}")


if __name__ == "__main__":
    main()
