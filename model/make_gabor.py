#!/usr/bin/env python3
"""Makes gabor.onnx: a training-free palm signature, all of it inside the ONNX graph.

    roi uint8 [n,1,128,128]  (grey 0..255, upright)
      -> half resolution                     2x2 mean
      -> local normalisation                 (x - mean) / sqrt(variance + EPS), box window
      -> 6 oriented Gabor filters            zero-mean, unit energy, dark lines positive
      -> soft winner over the orientations   softmax(BETA * response) - 1/6
      -> pooling to 8x8                      overlapping Gaussian windows
      -> compression                         p / sqrt(|p| + KNEE), about the signed square root
      -> 384 numbers, L2 norm                divided by max(norm, NORM_FLOOR)
    signature float32 [n,384]

Invariants: nothing is learned, so the same script always makes the same file; an image without texture gives a
vector whose norm is far below 1 (never NaN, never noise blown up to unit length), which the caller refuses.

The bank and the winner rule follow Kong & Zhang, "Competitive coding scheme for palmprint verification", ICPR 2004;
the soft winner and the pooling replace their hard code so that a dot product is the comparison.

The numbers below were chosen among some eighty settings on small development sets of real palms (nothing was trained
on them): rates measured on those sets are therefore a little optimistic.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MODEL_ID = "gabor-384-v1"
INPUT_SIZE_PX = 128
ORIENTATIONS = 6
GRID = 8
DIMENSION = ORIENTATIONS * GRID * GRID

# Tuned numbers; lengths in pixels of the half-resolution image (64x64).
BOX_PX = 11  # window of the local normalisation
EPS = 4.0  # grey levels squared: below this variance a window counts as flat
KERNEL_PX = 13
SIGMA_PX = 1.7  # of the Gabor envelope, across the line
WAVELENGTH_PX = 5.5
ASPECT = 0.6  # envelope width across / along the line
BETA = 4.0  # sharpness of the winner
EXPONENT_LIMIT = 80.0  # e to the power of more is no float32; no response comes near it
POOL_SIGMA_PX = 3.5
POOL_KERNEL_PX = 18
KNEE = 1e-3
NORM_FLOOR = 0.1  # of the vector before L2 norm; real palms lie at 3.5 to 6

OPSET = 17
IR_VERSION = 9


def gabor_bank() -> np.ndarray:
    """[6,1,k,k]: even Gabor filters, orientation i * 30 degrees, zero mean, unit energy, dark lines positive."""
    centre = (KERNEL_PX - 1) / 2
    y, x = np.mgrid[0:KERNEL_PX, 0:KERNEL_PX] - centre
    filters = []
    for i in range(ORIENTATIONS):
        theta = math.pi * i / ORIENTATIONS
        across = x * math.cos(theta) + y * math.sin(theta)
        along = -x * math.sin(theta) + y * math.cos(theta)
        envelope = np.exp(-(across**2 + (ASPECT * along) ** 2) / (2 * SIGMA_PX**2))
        wave = envelope * np.cos(2 * math.pi * across / WAVELENGTH_PX)
        wave -= envelope * (wave.sum() / envelope.sum())
        filters.append(-wave / np.sqrt((wave**2).sum()))
    return np.array(filters, np.float32)[:, None]


def pool_kernel() -> np.ndarray:
    """[6,1,k,k]: one Gaussian window of sum 1 for each orientation map."""
    t = np.arange(POOL_KERNEL_PX) - (POOL_KERNEL_PX - 1) / 2
    line = np.exp(-(t**2) / (2 * POOL_SIGMA_PX**2))
    window = np.outer(line, line)
    window /= window.sum()
    return np.repeat(window[None, None], ORIENTATIONS, axis=0).astype(np.float32)


def build() -> onnx.ModelProto:
    nodes, constants = [], []

    def constant(name: str, value) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def node(op: str, inputs: list, output: str, **attributes) -> str:
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    half = INPUT_SIZE_PX // 2
    stride = half // GRID
    box_pad = BOX_PX // 2
    box = dict(kernel_shape=[BOX_PX] * 2, pads=[box_pad] * 4, count_include_pad=0)
    pool_pad = (POOL_KERNEL_PX - stride) // 2

    node("Cast", ["roi"], "grey", to=TensorProto.FLOAT)
    node("AveragePool", ["grey"], "half", kernel_shape=[2, 2], strides=[2, 2])

    node("AveragePool", ["half"], "mean", **box)
    node("Sub", ["half", "mean"], "centred")
    node("Mul", ["centred", "centred"], "squared")
    node("AveragePool", ["squared"], "variance", **box)
    node("Add", ["variance", constant("eps", EPS)], "variance_eps")
    node("Sqrt", ["variance_eps"], "deviation")
    node("Div", ["centred", "deviation"], "normalised")

    node("Conv", ["normalised", constant("bank", gabor_bank())], "lines",
         kernel_shape=[KERNEL_PX] * 2, pads=[KERNEL_PX // 2] * 4)

    node("Mul", ["lines", constant("beta", BETA)], "sharpened")
    # Softmax over the orientations, spelt out: the runtime's own is several times slower on this axis.
    node("Min", ["sharpened", constant("most", EXPONENT_LIMIT)], "exponent")
    node("Exp", ["exponent"], "power")
    constants.append(numpy_helper.from_array(np.array([1], np.int64), "orientation_axis"))
    node("ReduceSum", ["power", "orientation_axis"], "power_sum")
    node("Div", ["power", "power_sum"], "winner")
    node("Sub", ["winner", constant("chance", 1 / ORIENTATIONS)], "votes")

    node("Conv", ["votes", constant("window", pool_kernel())], "pooled",
         kernel_shape=[POOL_KERNEL_PX] * 2, strides=[stride] * 2, pads=[pool_pad] * 4, group=ORIENTATIONS)

    node("Abs", ["pooled"], "magnitude")
    node("Add", ["magnitude", constant("knee", KNEE)], "magnitude_knee")
    node("Sqrt", ["magnitude_knee"], "root")
    node("Div", ["pooled", "root"], "compressed")

    node("Flatten", ["compressed"], "vector", axis=1)
    node("ReduceL2", ["vector"], "norm", axes=[1], keepdims=1)
    node("Max", ["norm", constant("norm_floor", NORM_FLOOR)], "divisor")
    node("Div", ["vector", "divisor"], "signature")

    graph = helper.make_graph(
        nodes,
        "palm_signature",
        [helper.make_tensor_value_info("roi", TensorProto.UINT8, ["n", 1, INPUT_SIZE_PX, INPUT_SIZE_PX])],
        [helper.make_tensor_value_info("signature", TensorProto.FLOAT, ["n", DIMENSION])],
        constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        producer_name="palmgate", producer_version="1",
    )
    helper.set_model_props(model, {
        "model_id": MODEL_ID,
        "dimension": str(DIMENSION),
        "input_size": str(INPUT_SIZE_PX),
    })
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the training-free gabor.onnx.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("gabor.onnx"))
    out = parser.parse_args().out
    out.write_bytes(build().SerializeToString(deterministic=True))
    print(f"{out}: {MODEL_ID}, {DIMENSION} numbers, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
