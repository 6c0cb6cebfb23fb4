"""The crop as it came beside the straightened one: python model/frames.py --signature FILE --out FILE --model-id NAME

Takes a signature file as `train/fuse.py` writes it and puts the line field of the crop as it came beside that of the
straightened crop:

    fields [n, 4, 63, 63] = cosine and sine of the doubled direction across the lines, of the straightened crop (0 where it
    does not show the palm), then of the crop as it came

in place of `lines`. The line filters are those of `make_gabor.py`, and nothing is learned: the same files give the same
bytes every time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import onnx
from onnx import TensorProto, compose, helper

FIELD_SIDE = 63
# The last tensor of the training-free description that the field is made of.
VOTES = "crop_votes"


def crop_field(plain: onnx.ModelProto) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and constants from `roi` to `crop_field`, [n, 2, 63, 63]; the axes of the votes are the other field's."""
    graph = compose.add_prefix(plain, "crop_").graph
    nodes = []
    for node in graph.node:
        node.input[:] = ["roi" if name == graph.input[0].name else name for name in node.input]
        nodes.append(node)
        if VOTES in node.output:
            break
    used = {name for node in nodes for name in node.input}
    nodes += [
        helper.make_node("Conv", [VOTES, "axes"], ["crop_directions"], kernel_shape=[1, 1]),
        helper.make_node("AveragePool", ["crop_directions"], ["crop_field"], kernel_shape=[2, 2], strides=[1, 1]),
    ]
    return nodes, [constant for constant in graph.initializer if constant.name in used]


def with_frames(signature: onnx.ModelProto, plain: onnx.ModelProto, model_id: str) -> onnx.ModelProto:
    """The signature with both fields as one output; what else its metadata says stays."""
    made = onnx.ModelProto()
    made.CopyFrom(signature)
    nodes, constants = crop_field(plain)
    made.graph.node.extend([*nodes, helper.make_node("Concat", ["lines", "crop_field"], ["fields"], axis=1)])
    made.graph.initializer.extend(constants)
    outputs = [output for output in made.graph.output if output.name != "lines"]
    outputs.append(helper.make_tensor_value_info("fields", TensorProto.FLOAT, ["n", 4, FIELD_SIDE, FIELD_SIDE]))
    del made.graph.output[:]
    made.graph.output.extend(outputs)
    facts = {entry.key: entry.value for entry in made.metadata_props}
    helper.set_model_props(made, {**facts, "model_id": model_id})
    onnx.checker.check_model(made, full_check=True)
    return made


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description="Puts the line field of the crop as it came into a signature file.")
    parser.add_argument("--signature", required=True, help="written by model.train.fuse")
    parser.add_argument("--plain", default=here / "gabor.onnx")
    parser.add_argument("--out", required=True)
    parser.add_argument("--model-id", required=True)
    options = parser.parse_args()
    made = with_frames(onnx.load(options.signature), onnx.load(options.plain), options.model_id)
    Path(options.out).write_bytes(made.SerializeToString(deterministic=True))
    print(options.out, file=sys.stderr)


if __name__ == "__main__":
    main()
