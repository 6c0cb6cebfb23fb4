"""One file of two descriptions: `python -m model.train.fuse --net FILE --plain FILE --store DIR --out FILE --model-id NAME`.

The trained network straightens a crop and so bears bad cutting; the training-free filters of `make_gabor.py` keep more
of a crop that was cut well. Their errors are of different kinds, so both descriptions are laid side by side, 640 numbers,
and 256 combinations of them kept: those in which pictures of the factory's palms differ most between palms, measured by
how they differ between pictures of one palm (linear discriminants, Fisher 1936, the scatter within palms smoothed).

    signature = unit(directions' * [net(roi), plain(roi)] + offset), nothing for an image without structure

Matrices of more than a megabyte are kept as half precision numbers: the file has to be small, and they bear it.
"""

from __future__ import annotations

import argparse

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, compose, helper, numpy_helper

from ..factory.raster import Dice
from ..factory.sample import Sampler
from ..factory.store import Store, open_store
from .network import DIMENSION, INPUT_SIZE

# Pictures cut well and pictures cut badly: both will come.
FIT_DIFFICULTIES = (0.35, 1.0)
FIT_BATCH = 32
# Added to the scatter within palms, in its mean per direction: drawn palms vary less than people's.
SMOOTHING = 3.0
# The plain description of a picture is longer than this, that of an image without structure shorter.
LEAST_LENGTH = 0.5
HALVED_FROM_BYTES = 1 << 20


def pictures(store: Store, identities: int, difficulty: float, seed: int) -> np.ndarray:
    """Two pictures of each of the first identities, neighbours, [2 n, 1, 128, 128] uint8."""
    parts = []
    for first in range(0, identities, FIT_BATCH):
        rows = np.arange(first, min(first + FIT_BATCH, identities))
        with torch.no_grad():
            roi = Sampler(Dice(seed * 1_000_003 + first)).take(*store.layers(rows), difficulty, each=2).roi
        parts.append(roi.to(torch.uint8).numpy())
        if first % (FIT_BATCH * 10) == 0:
            print(f"difficulty {difficulty}: {first} of {identities} palms", flush=True)
    return np.concatenate(parts)


def describe(model: onnx.ModelProto, roi: np.ndarray) -> np.ndarray:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings)
    return np.concatenate([session.run(None, {"roi": roi[i : i + FIT_BATCH]})[0] for i in range(0, len(roi), FIT_BATCH)])


def discriminants(vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """`vectors` [2 n, d], two of each palm as neighbours, to directions [d, count] and the mean [d]."""
    x = vectors.astype(np.float64)
    apart, middles = x[::2] - x[1::2], (x[::2] + x[1::2]) / 2
    within = apart.T @ apart / (2 * len(apart))
    within += SMOOTHING * np.trace(within) / len(within) * np.eye(len(within))
    unspread = np.linalg.inv(np.linalg.cholesky(within))
    _, columns = np.linalg.eigh(unspread @ np.cov(middles.T) @ unspread.T)
    directions = unspread.T @ columns[:, ::-1][:, :count]
    # The sign of an eigenvector is free: the largest number is made positive, so that a fit can be repeated.
    return directions * np.sign(directions[np.abs(directions).argmax(0), np.arange(count)]), x.mean(0)


def halved(constants: list[onnx.TensorProto]) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]]:
    """The constants, the large ones as half precision with a node each that gives them back."""
    kept, casts = [], []
    for constant in constants:
        values = numpy_helper.to_array(constant)
        if values.nbytes < HALVED_FROM_BYTES:
            kept.append(constant)
            continue
        kept.append(numpy_helper.from_array(values.astype(np.float16), f"{constant.name}_half"))
        casts.append(helper.make_node("Cast", [f"{constant.name}_half"], [constant.name], to=TensorProto.FLOAT))
    return kept, casts


def fuse(net: onnx.ModelProto, plain: onnx.ModelProto, directions: np.ndarray, mean: np.ndarray, model_id: str):
    """Both graphs behind one input, their outputs combined by `directions` [d, count] about `mean` [d]."""
    nodes, constants = [], []
    for part in (compose.add_prefix(net, "net_"), compose.add_prefix(plain, "plain_")):
        for node in part.graph.node:
            node.input[:] = ["roi" if name == part.graph.input[0].name else name for name in node.input]
        nodes.extend(part.graph.node)
        constants.extend(part.graph.initializer)
    constants += [
        numpy_helper.from_array(directions.astype(np.float32), "directions"),
        numpy_helper.from_array((-mean @ directions).astype(np.float32), "offset"),
        numpy_helper.from_array(np.array(LEAST_LENGTH, np.float32), "least_length"),
    ]
    constants, casts = halved(constants)
    nodes += [
        helper.make_node("Concat", ["net_signature", "plain_signature"], ["both"], axis=1),
        helper.make_node("MatMul", ["both", "directions"], ["combined"]),
        helper.make_node("Add", ["combined", "offset"], ["centred"]),
        helper.make_node("LpNormalization", ["centred"], ["unit"], axis=1, p=2),
        helper.make_node("ReduceL2", ["plain_signature"], ["plain_length"], axes=[1], keepdims=1),
        helper.make_node("Greater", ["plain_length", "least_length"], ["is_picture"]),
        helper.make_node("Cast", ["is_picture"], ["once"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["unit", "once"], ["signature"]),
    ]
    dimension = directions.shape[1]
    graph = helper.make_graph(
        [*casts, *nodes],
        "palm_signature",
        [helper.make_tensor_value_info("roi", TensorProto.UINT8, ["n", 1, INPUT_SIZE, INPUT_SIZE])],
        [helper.make_tensor_value_info("signature", TensorProto.FLOAT, ["n", dimension])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=net.opset_import, ir_version=net.ir_version, producer_name="palmgate")
    metadata = {"model_id": model_id, "dimension": str(dimension), "input_size": str(INPUT_SIZE)}
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description="Joins the trained and the training-free signature in one file.")
    parser.add_argument("--net", required=True, help="written by model.train.export")
    parser.add_argument("--plain", default="model/gabor.onnx")
    parser.add_argument("--store", required=True, help="folder made by model.factory.store")
    parser.add_argument("--out", required=True)
    parser.add_argument("--model-id", required=True)
    parser.add_argument("--identities", type=int, default=3000, help="palms that the directions are fitted to")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    net, plain, store = onnx.load(options.net), onnx.load(options.plain), open_store(options.store)
    vectors = []
    for difficulty in FIT_DIFFICULTIES:
        roi = pictures(store, options.identities, difficulty, options.seed)
        vectors.append(np.concatenate([describe(net, roi), describe(plain, roi)], 1))
    directions, mean = discriminants(np.concatenate(vectors), DIMENSION)
    onnx.save(fuse(net, plain, directions, mean, options.model_id), options.out)
    print(options.out)


if __name__ == "__main__":
    main()
