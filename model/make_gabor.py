"""Makes model/signature.onnx: the training-free palm signature, all of it inside the ONNX graph.

    python3 model/make_gabor.py [--out model/signature.onnx]     (needs: pip install -r model/requirements.txt)

In:  roi        uint8   [n, 1, 128, 128]  grey region of interest, 0 black .. 255 white, fingers up
Out: signature  float32 [n, 384]          unit length (all zero only for an image without any structure)

Stages: 2x2 mean -> local normalisation (Gaussian window) -> 6 oriented even Gabor filters on the dark lines
-> soft winner over the orientations -> mean over an 8x8 grid -> L2 norm. The winner over orientations is the idea of
the competitive code (Kong and Zhang, "Competitive coding scheme for palmprint verification", ICPR 2004); soft, so that
a small shift changes the vector a little only. Nothing is learned from anybody's palm. Every number is fixed below.
"""
import argparse
import hashlib
import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MODEL_ID = "gabor-384-v1"
INPUT_SIDE_PX = 128
GRID_SIDE = 8
ORIENTATIONS = 6
DIMENSION = GRID_SIDE * GRID_SIDE * ORIENTATIONS

# In pixels of the halved image (64 x 64).
NORMALISATION_SIGMA = 6.0
GABOR_SIDE = 25
GABOR_SIGMA = 4.0
GABOR_WAVELENGTH = 14.0
GABOR_ASPECT = 0.6
# How clearly the strongest orientation wins: 0 not at all, infinite = hard competitive code.
WINNER_SHARPNESS = 40.0
# Added to the local variance (grey values 0..1): flat skin and sensor noise must not be blown up.
VARIANCE_FLOOR = 1e-4


def gabor(theta: float) -> np.ndarray:
    """Even Gabor kernel without DC, L1 norm 1. [GABOR_SIDE, GABOR_SIDE]"""
    radius = GABOR_SIDE // 2
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float64)
    across = x * np.cos(theta) + y * np.sin(theta)
    along = -x * np.sin(theta) + y * np.cos(theta)
    envelope = np.exp(-(across**2 + (along * GABOR_ASPECT) ** 2) / (2 * GABOR_SIGMA**2))
    kernel = envelope * np.cos(2 * np.pi * across / GABOR_WAVELENGTH)
    kernel -= envelope * (kernel.sum() / envelope.sum())
    return kernel / np.abs(kernel).sum()


def gaussian(sigma: float) -> np.ndarray:
    radius = int(np.ceil(3 * sigma))
    x = np.arange(-radius, radius + 1)
    weights = np.exp(-(x**2) / (2 * sigma**2))
    return weights / weights.sum()


class Graph:
    """Collects nodes and constants in the order of the stages."""

    def __init__(self) -> None:
        self.nodes = []
        self.constants = []

    def constant(self, name: str, value, dtype=np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def pad(self, name: str, radius: int) -> str:
        widths = self.constant(f"{name}.pads", [0, 0, radius, radius, 0, 0, radius, radius], np.int64)
        return self.node("Pad", [name, widths], f"{name}.padded", mode="reflect")

    def blur(self, name: str, weights: np.ndarray) -> str:
        padded = self.pad(name, len(weights) // 2)
        across = self.constant(f"{name}.across", weights.reshape(1, 1, 1, -1))
        down = self.constant(f"{name}.down", weights.reshape(1, 1, -1, 1))
        rows = self.node("Conv", [padded, across], f"{name}.rows")
        return self.node("Conv", [rows, down], f"{name}.blurred")


def build() -> onnx.ModelProto:
    g = Graph()
    g.node("Cast", ["roi"], "bytes", to=TensorProto.FLOAT)
    g.node("Mul", ["bytes", g.constant("scale", 1 / 255)], "grey")
    g.node("AveragePool", ["grey"], "half", kernel_shape=[2, 2], strides=[2, 2])

    window = gaussian(NORMALISATION_SIGMA)
    g.node("Sub", ["half", g.blur("half", window)], "detail")
    g.node("Mul", ["detail", "detail"], "energy")
    g.node("Add", [g.blur("energy", window), g.constant("floor", VARIANCE_FLOOR)], "variance")
    g.node("Sqrt", ["variance"], "deviation")
    g.node("Div", ["detail", "deviation"], "normal")

    # Creases and veins are dark: the filters are negated so that a dark line answers positively.
    bank = -np.stack([gabor(np.pi * i / ORIENTATIONS) for i in range(ORIENTATIONS)])[:, None]
    g.node("Conv", [g.pad("normal", GABOR_SIDE // 2), g.constant("bank", bank)], "lines")
    g.node("Mul", ["lines", g.constant("sharpness", WINNER_SHARPNESS)], "contest")
    g.node("Softmax", ["contest"], "share", axis=1)
    # Shares sum to one; without their mean, structureless skin pulls no vector towards another.
    g.node("Sub", ["share", g.constant("even", 1 / ORIENTATIONS)], "winner")

    cell = INPUT_SIDE_PX // 2 // GRID_SIDE
    g.node("AveragePool", ["winner"], "cells", kernel_shape=[cell, cell], strides=[cell, cell])
    g.node("Flatten", ["cells"], "flat")
    g.node("ReduceL2", ["flat", g.constant("axes", [1], np.int64)], "norm", keepdims=1)
    g.node("Max", ["norm", g.constant("tiny", 1e-9)], "divisor")
    g.node("Div", ["flat", "divisor"], "signature")

    side = INPUT_SIDE_PX
    graph = helper.make_graph(
        g.nodes,
        MODEL_ID,
        [helper.make_tensor_value_info("roi", TensorProto.UINT8, ["n", 1, side, side])],
        [helper.make_tensor_value_info("signature", TensorProto.FLOAT, ["n", DIMENSION])],
        g.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], producer_name="palmgate")
    model.ir_version = 9
    metadata = {"model_id": MODEL_ID, "dimension": str(DIMENSION), "input_size": str(side)}
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="model/signature.onnx", help="where to write (default %(default)s)")
    out = parser.parse_args().out
    data = build().SerializeToString(deterministic=True)
    with open(out, "wb") as file:
        file.write(data)
    print(json.dumps({"out": out, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}))


if __name__ == "__main__":
    main()
