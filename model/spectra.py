"""Spectra of a palm's line field, to find it by: python -m model.spectra --signature FILE --store DIR --out FILE

Takes a signature file as `frames.py` writes it and adds an output:

    spectra [n, 2, 9, 512]: for both frames, for nine looks at each, 512 numbers of which the signs are kept (palm/codes)

A look is the field turned and scaled as an aligner may have erred. How strong a frequency of a field is does not change
when the field moves, nor does the product of its values at a frequency and at the opposite one, which keeps phase: so a
palm is found again wherever it lies. Of 977 such numbers 512 combinations are kept: principal components (Pearson 1901),
half whitened, in a random rotation, so that every sign says as much (Gong and Lazebnik, "Iterative quantization",
CVPR 2011, whose starting point it is). They are fitted to pictures of the factory's palms, of both frames; no picture of a
person is seen. The same store and seed give the same numbers, to rounding.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FIELD_SIDE = 63
FRAMES = 2
# Pixels of the crop that the field's points lie between, and places of the smoothed field that are looked at: as many as the
# finest waves need, on one side each.
FIELD_PX = 64
SIDE = 32
# Turns and logarithms of scales; the first look is none. The steps are those in which the spectrum forgets a palm.
TURNS = np.radians([0, -8, 8])
LOG_SCALES = [0, -0.12, 0.12]
LOOKS = [(turn, np.exp(log_scale)) for log_scale in LOG_SCALES for turn in TURNS]
# Waves across the crop: finer ones are not the same in two pictures of a palm.
RADIUS = 12
BITS = 512
FIT_IDENTITIES = 2496
FIT_BATCH = 32
FIT_DIFFICULTY = 0.8
ROTATION_SEED = 1


def frequencies() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places in the [25, 25] plane of frequencies: those used, their rings, and of one half of them the opposite ones."""
    down, across = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    ring = np.rint(np.hypot(across, down)).astype(np.int64)
    used = np.flatnonzero(ring <= RADIUS)
    return used, ring.ravel()[used], np.flatnonzero(used > used[::-1])


def points(turn: float, scale: float) -> np.ndarray:
    """[SIDE, 2 * SIDE]: by row the field's nearest point at each place, of the cosines, then of the sines; the one beyond
    the last is for places that the field does not reach."""
    axis = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    across, down = np.meshgrid(axis, axis)
    a, b = scale * np.cos(turn), scale * np.sin(turn)
    x = np.rint((a * across - b * down + 0.5) * FIELD_PX - 1).astype(np.int64)
    y = np.rint((b * across + a * down + 0.5) * FIELD_PX - 1).astype(np.int64)
    inside = (x >= 0) & (y >= 0) & (x < FIELD_SIDE) & (y < FIELD_SIDE)
    cosines = np.where(inside, y * FIELD_SIDE + x, 2 * FIELD_SIDE**2)
    return np.concatenate([cosines, np.where(inside, cosines + FIELD_SIDE**2, cosines)], 1)


def waves() -> np.ndarray:
    """[SIDE, 25] complex: windowed (Hann) waves across the crop."""
    axis = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    window = 0.5 + 0.5 * np.cos(2 * np.pi * axis)
    return window[:, None] * np.exp(-2j * np.pi * np.outer(axis, np.arange(-RADIUS, RADIUS + 1)))


class Graph:
    """Nodes and constants, one after another."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        kept = value if value.dtype == np.int64 else value.astype(np.float32)
        self.constants.append(numpy_helper.from_array(kept, name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output


def spectrum(graph: Graph) -> None:
    """From `fields` [n, 4, 63, 63] to `spectrum_plane` [2 n, 9, 1250]: real parts of 25 x 25 frequencies, imaginary ones."""
    wave = waves()
    graph.constant("field_shape", np.array([-1, 2 * FIELD_SIDE**2], np.int64))
    graph.constant("one_beyond", np.array([0, 0, 0, 1], np.int64))
    graph.constant("look_points", np.stack([points(*look) for look in LOOKS]))
    graph.constant("waves_real", np.concatenate([wave.real, -wave.imag]))
    graph.constant("waves_imaginary", np.concatenate([wave.imag, wave.real]))
    graph.constant("waves_down", np.block([[wave.real.T, -wave.imag.T], [wave.imag.T, wave.real.T]]))
    graph.constant("plane_shape", np.array([0, len(LOOKS), 2 * wave.shape[1] ** 2], np.int64))
    # Else waves finer than the places can tell would be taken for coarser ones.
    smoothing = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1], "count_include_pad": 1}
    graph.node("AveragePool", ["fields"], "smooth_fields", **smoothing)
    graph.node("Reshape", ["smooth_fields", "field_shape"], "field_rows")
    graph.node("Pad", ["field_rows", "one_beyond"], "field_and_beyond")
    graph.node("Gather", ["field_and_beyond", "look_points"], "looks", axis=1)
    graph.node("MatMul", ["looks", "waves_real"], "across_real")
    graph.node("MatMul", ["looks", "waves_imaginary"], "across_imaginary")
    graph.node("Concat", ["across_real", "across_imaginary"], "across", axis=2)
    graph.node("MatMul", ["waves_down", "across"], "spectrum_square")
    graph.node("Reshape", ["spectrum_square", "plane_shape"], "spectrum_plane")


def evened(graph: Graph) -> None:
    """From `spectrum_plane` to `root` [2 n, 9, 489]: the root of each frequency's strength by the mean of its ring."""
    used, ring, _ = frequencies()
    means = (ring[:, None] == np.arange(RADIUS + 1)).astype(np.float64)
    graph.constant("used_real", used)
    graph.constant("used_imaginary", used + (2 * RADIUS + 1) ** 2)
    graph.constant("ring_means", means / means.sum(0))
    graph.constant("ring_of", ring)
    graph.constant("least_strength", np.array(1e-6))
    graph.node("Gather", ["spectrum_plane", "used_real"], "real", axis=2)
    graph.node("Gather", ["spectrum_plane", "used_imaginary"], "imaginary", axis=2)
    graph.node("Mul", ["real", "real"], "real_squared")
    graph.node("Mul", ["imaginary", "imaginary"], "imaginary_squared")
    graph.node("Add", ["real_squared", "imaginary_squared"], "power_of_wave")
    graph.node("Sqrt", ["power_of_wave"], "strength_or_none")
    graph.node("Max", ["strength_or_none", "least_strength"], "strength")
    graph.node("MatMul", ["strength", "ring_means"], "strength_of_rings")
    graph.node("Gather", ["strength_of_rings", "ring_of"], "strength_of_ring", axis=2)
    graph.node("Div", ["strength", "strength_of_ring"], "relative")
    graph.node("Sqrt", ["relative"], "root")


def opposites(graph: Graph) -> None:
    """From `real`, `imaginary` and `root` to `features` [2 n, 9, 977]: roots, then the products of opposite frequencies,
    as long as the fourth root of their strengths, turned back with the look."""
    _, ring, half = frequencies()
    other = len(ring) - 1 - half
    for name, index in {"half": half, "other": other}.items():
        graph.constant(f"{name}_of_used", index)
        for part in ("real", "imaginary", "strength", "root"):
            graph.node("Gather", [part, f"{name}_of_used"], f"{part}_{name}", axis=2)
    turns = 4 * np.array([turn for turn, _ in LOOKS])[None, :, None]
    graph.constant("turn_real", np.cos(turns))
    graph.constant("turn_imaginary", np.sin(turns))
    for output, a, b, c, d, last in [
        ("product_real", "real_half", "real_other", "imaginary_half", "imaginary_other", "Sub"),
        ("product_imaginary", "real_half", "imaginary_other", "imaginary_half", "real_other", "Add"),
        ("back_real", "product_real", "turn_real", "product_imaginary", "turn_imaginary", "Add"),
        ("back_imaginary", "product_imaginary", "turn_real", "product_real", "turn_imaginary", "Sub"),
    ]:
        graph.node("Mul", [a, b], f"{output}_first")
        graph.node("Mul", [c, d], f"{output}_second")
        graph.node(last, [f"{output}_first", f"{output}_second"], output)
    graph.node("Mul", ["root_half", "root_other"], "product_root")
    graph.node("Sqrt", ["product_root"], "product_length")
    graph.node("Mul", ["strength_half", "strength_other"], "product_strength")
    graph.node("Div", ["product_length", "product_strength"], "product_weight")
    graph.node("Mul", ["back_real", "product_weight"], "feature_real")
    graph.node("Mul", ["back_imaginary", "product_weight"], "feature_imaginary")
    graph.node("Concat", ["root", "feature_real", "feature_imaginary"], "features", axis=2)


def features_of() -> Graph:
    """What is fitted to: all of the graph up to `features`."""
    graph = Graph()
    spectrum(graph)
    evened(graph)
    opposites(graph)
    return graph


def with_output(signature: onnx.ModelProto, graph: Graph, name: str, shape: list) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(signature)
    made.graph.node.extend(graph.nodes)
    made.graph.initializer.extend(graph.constants)
    made.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    onnx.checker.check_model(made, full_check=True)
    return made


def without_ring_means() -> np.ndarray:
    """[977, 977]: takes the mean of its ring off each root; the products stay as they are."""
    _, ring, half = frequencies()
    same = (ring[:, None] == ring).astype(np.float64)
    count = len(ring) + 2 * len(half)
    matrix = np.eye(count)
    matrix[: len(ring), : len(ring)] -= same / same.sum(0)
    return matrix


def fitted(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features [m, 977] to directions [977, BITS] and what is added after them: principal components about the mean,
    each by the fourth root of what it holds, rotated at random."""
    evening = without_ring_means()
    rows = features.astype(np.float64) @ evening
    mean = rows.mean(0)
    held, columns = np.linalg.eigh(np.cov(rows.T))
    directions = columns[:, ::-1][:, :BITS]
    directions = directions * np.sign(directions[np.abs(directions).argmax(0), np.arange(BITS)])
    directions = directions * held[::-1][:BITS] ** -0.25
    rotation, upper = np.linalg.qr(np.random.default_rng(ROTATION_SEED).standard_normal((BITS, BITS)))
    directions = directions @ (rotation * np.sign(np.diag(upper)))
    return evening @ directions, -mean @ directions


def add_projection(graph: Graph, directions: np.ndarray, offset: np.ndarray) -> None:
    """`features` to `spectra`. Half precision: only signs are kept of what comes out."""
    graph.constants.append(numpy_helper.from_array(directions.astype(np.float16), "spectrum_directions_half"))
    graph.constant("spectrum_offset", offset)
    graph.constant("spectra_shape", np.array([-1, FRAMES, len(LOOKS), BITS], np.int64))
    graph.node("Cast", ["spectrum_directions_half"], "spectrum_directions", to=TensorProto.FLOAT)
    graph.node("MatMul", ["features", "spectrum_directions"], "spectrum_combined")
    graph.node("Add", ["spectrum_combined", "spectrum_offset"], "spectra_of_frames")
    graph.node("Reshape", ["spectra_of_frames", "spectra_shape"], "spectra")


def run(model: onnx.ModelProto, output: str, roi: np.ndarray) -> np.ndarray:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings)
    return np.concatenate([session.run([output], {"roi": roi[i : i + 1]})[0] for i in range(len(roi))])


def pictures(folder: str, identities: int, seed: int) -> np.ndarray:
    """One picture of each of the first identities of a store, [n, 1, 128, 128] uint8."""
    import torch

    from .factory.raster import Dice
    from .factory.sample import Sampler
    from .factory.store import open_store

    store, parts = open_store(folder), []
    torch.set_num_threads(1)
    for first in range(0, min(identities, len(store)), FIT_BATCH):
        rows = np.arange(first, min(first + FIT_BATCH, identities, len(store)))
        with torch.no_grad():
            roi = Sampler(Dice(seed * 1_000_003 + first)).take(*store.layers(rows), FIT_DIFFICULTY).roi
        parts.append(roi.to(torch.uint8).numpy())
    return np.concatenate(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fits spectra to the factory's palms and adds them to a signature file.")
    parser.add_argument("--signature", required=True, help="written by model/frames.py")
    parser.add_argument("--store", required=True, help="folder made by model.factory.store")
    parser.add_argument("--identities", type=int, default=FIT_IDENTITIES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    signature = onnx.load(options.signature)
    graph = features_of()
    roi = pictures(options.store, options.identities, options.seed)
    count = len(without_ring_means())
    features = run(with_output(signature, graph, "features", ["m", len(LOOKS), count]), "features", roi)
    add_projection(graph, *fitted(features[:, 0]))
    made = with_output(signature, graph, "spectra", ["n", FRAMES, len(LOOKS), BITS])
    facts = {entry.key: entry.value for entry in made.metadata_props}
    helper.set_model_props(made, {**facts, "spectrum_bits": str(BITS), "spectrum_looks": str(len(LOOKS))})
    written = made.SerializeToString(deterministic=True)
    Path(options.out).write_bytes(written)
    print(f"{options.out}: SHA-256 {hashlib.sha256(written).hexdigest()}", file=sys.stderr)


if __name__ == "__main__":
    main()
