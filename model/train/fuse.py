"""One file of all descriptions: `python -m model.train.fuse --net FILE --plain FILE --store DIR --out FILE --model-id NAME`.

The trained network straightens a crop and describes its places; the training-free filters of `make_gabor.py` describe
what it straightened. Their errors are of different kinds, so both are laid side by side, 4480 numbers, and 256
combinations of them kept: the principal components of pictures of the factory's palms (Pearson 1901; about zero, not
about their mean), half whitened. Components that tell drawn palms apart best (linear discriminants) did worse on real
ones: people's pictures differ otherwise than drawn ones do.

    signature = unit(components' * [net(roi), plain(straight(roi))] by their shares)

That is for finding a palm among many. For laying two palms onto each other there is a second output:

    lines [n, 2, 63, 63] = cosine and sine of the doubled direction across the lines, as strong as they are

of the straightened crop, between all neighbours of its 64 by 64 pixels; 0 where the crop does not show the palm. It is
the softly decided competition of the training-free filters, before they are pooled; palm/lines makes line maps of it.

For an image without structure the signature is all zeros. Matrices of more than a megabyte are kept as half precision numbers:
the file has to be small, and they bear it.
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
from ..make_gabor import ORIENTATIONS
from .export import set_facts
from .network import DIMENSION, INPUT_SIZE

# What counts for how much of a comparison: the network's places, and the plain description of the straightened crop.
SHARES = {"net_signature": 0.4, "straight_signature": 0.6}
FIT_DIFFICULTY = 0.8
FIT_BATCH = 32
# The plain description of a picture is longer than this, that of an image without structure shorter.
LEAST_LENGTH = 0.5
HALVED_FROM_BYTES = 1 << 20
# The places between the pixels that the training-free filters see.
FIELD_SIDE = INPUT_SIZE // 2 - 1


def pictures(store: Store, identities: int, seed: int) -> np.ndarray:
    """Two pictures of each of the first identities, neighbours, [2 n, 1, 128, 128] uint8."""
    parts = []
    for first in range(0, identities, FIT_BATCH):
        rows = np.arange(first, min(first + FIT_BATCH, identities))
        with torch.no_grad():
            roi = Sampler(Dice(seed * 1_000_003 + first)).take(*store.layers(rows), FIT_DIFFICULTY, each=2).roi
        parts.append(roi.to(torch.uint8).numpy())
        if first % (FIT_BATCH * 10) == 0:
            print(f"{first} of {identities} palms", flush=True)
    return np.concatenate(parts)


def describe(model: onnx.ModelProto, roi: np.ndarray) -> np.ndarray:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings)
    return np.concatenate([session.run(None, {"roi": roi[i : i + FIT_BATCH]})[0] for i in range(0, len(roi), FIT_BATCH)])


def components(vectors: np.ndarray, count: int) -> np.ndarray:
    """Vectors [n, d] to the orthogonal directions [d, count] that hold most of their squared length, each as long as
    the fourth root of one over what it holds: those that hold much would else drown those that hold little (whitening,
    done by half; Jegou and Chum, ECCV 2012)."""
    held, columns = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors / len(vectors))
    directions = columns[:, ::-1][:, :count]
    # The sign of an eigenvector is free: the largest number is made positive, so that a fit can be repeated.
    directions = directions * np.sign(directions[np.abs(directions).argmax(0), np.arange(count)])
    return directions * held[::-1][:count] ** -0.25


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


def length(description: onnx.ModelProto) -> int:
    """How many numbers a description has, as its file says."""
    return int(next(entry.value for entry in description.metadata_props if entry.key == "dimension"))


def weights(net: onnx.ModelProto, plain: onnx.ModelProto) -> np.ndarray:
    """What each number of the descriptions, side by side, is multiplied by so that each has its share of a cosine."""
    return np.sqrt(np.repeat(list(SHARES.values()), [length(net), length(plain)]))


def side_by_side(net: onnx.ModelProto, plain: onnx.ModelProto):
    """Nodes and constants of a graph from `roi` to `both`, the unweighted descriptions [n, 4480]."""
    nodes, constants = [], []
    sources = {"net_": (net, "roi"), "straight_": (plain, "net_straight")}
    for prefix, (part, source) in sources.items():
        graph = compose.add_prefix(part, prefix).graph
        for node in graph.node:
            node.input[:] = [source if name == graph.input[0].name else name for name in node.input]
        nodes.extend(graph.node)
        constants.extend(graph.initializer)
    nodes.append(helper.make_node("Concat", list(SHARES), ["both"], axis=1))
    return nodes, constants


def line_field() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and constants from the votes of the straightened crop, [n, 6, 64, 64], to `lines`, [n, 2, 63, 63]."""
    doubled = 2 * np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS
    axes = np.stack([np.cos(doubled), np.sin(doubled)])[:, :, None, None]
    constants = [
        numpy_helper.from_array(axes.astype(np.float32), "axes"),
        numpy_helper.from_array(np.array(1 - 1e-3, np.float32), "wholly"),
    ]
    between = {"kernel_shape": [2, 2], "strides": [1, 1]}
    nodes = [
        helper.make_node("Conv", ["straight_votes", "axes"], ["directions_of_pixels"], kernel_shape=[1, 1]),
        helper.make_node("AveragePool", ["directions_of_pixels"], ["directions_between"], **between),
        helper.make_node("AveragePool", ["net_shown"], ["shown_between"], **between),
        helper.make_node("Greater", ["shown_between", "wholly"], ["is_shown"]),
        helper.make_node("Cast", ["is_shown"], ["shown_once"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["directions_between", "shown_once"], ["lines"]),
    ]
    return nodes, constants


def model(
    like: onnx.ModelProto, nodes: list, constants: list, outputs: dict[str, list[int]], model_id: str, **facts: int
) -> onnx.ModelProto:
    """@param outputs: shapes by name, without that of the batch; the first is what the file is for"""
    graph = helper.make_graph(
        nodes,
        "palm_signature",
        [helper.make_tensor_value_info("roi", TensorProto.UINT8, ["n", 1, INPUT_SIZE, INPUT_SIZE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape]) for name, shape in outputs.items()],
        constants,
    )
    made = helper.make_model(graph, opset_imports=like.opset_import, ir_version=like.ir_version, producer_name="palmgate")
    set_facts(made, model_id, next(iter(outputs.values()))[0], **facts)
    onnx.checker.check_model(made, full_check=True)
    return made


def joined(net: onnx.ModelProto, plain: onnx.ModelProto) -> onnx.ModelProto:
    """All descriptions as one long vector: what the components are fitted to."""
    return model(net, *side_by_side(net, plain), {"both": [len(weights(net, plain))]}, "not-for-use")


def fuse(net: onnx.ModelProto, plain: onnx.ModelProto, directions: np.ndarray, model_id: str) -> onnx.ModelProto:
    """All descriptions behind one input, combined by `directions` [4480, count]."""
    nodes, constants = side_by_side(net, plain)
    field_nodes, field_constants = line_field()
    nodes, constants = nodes + field_nodes, constants + field_constants
    constants += [
        numpy_helper.from_array(directions.astype(np.float32), "directions"),
        numpy_helper.from_array(np.array(LEAST_LENGTH, np.float32), "least_length"),
    ]
    constants, casts = halved(constants)
    nodes += [
        helper.make_node("MatMul", ["both", "directions"], ["combined"]),
        helper.make_node("LpNormalization", ["combined"], ["unit"], axis=1, p=2),
        helper.make_node("ReduceL2", ["straight_signature"], ["straight_length"], axes=[1], keepdims=1),
        helper.make_node("Greater", ["straight_length", "least_length"], ["is_picture"]),
        helper.make_node("Cast", ["is_picture"], ["once"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["unit", "once"], ["signature"]),
    ]
    outputs = {"signature": [directions.shape[1]], "lines": [2, FIELD_SIDE, FIELD_SIDE]}
    return model(net, [*casts, *nodes], constants, outputs, model_id, line_field_side=FIELD_SIDE)


def main() -> None:
    parser = argparse.ArgumentParser(description="Joins the trained and the training-free descriptions in one file.")
    parser.add_argument("--net", required=True, help="written by model.train.export")
    parser.add_argument("--plain", default="model/gabor.onnx")
    parser.add_argument("--store", required=True, help="folder made by model.factory.store")
    parser.add_argument("--out", required=True)
    parser.add_argument("--model-id", required=True)
    parser.add_argument("--identities", type=int, default=2000, help="palms that the components are fitted to")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    net, plain, store = onnx.load(options.net), onnx.load(options.plain), open_store(options.store)
    vectors = describe(joined(net, plain), pictures(store, options.identities, options.seed))
    weight = weights(net, plain)
    directions = weight[:, None] * components(vectors * weight, DIMENSION)
    onnx.save(fuse(net, plain, directions, options.model_id), options.out)
    print(options.out)


if __name__ == "__main__":
    main()
