#!/usr/bin/env python3
"""Makes palm_detection.onnx and hand_landmarks.onnx from Google's MediaPipe hand models (Apache-2.0).

    npm package @mediapipe/hands, fetched from the registry and checked against a pinned SHA-256
      -> palm_detection_full.tflite, hand_landmark_lite.tflite   (checked too; the lite one takes half the time of
         hand_landmark_full.tflite, and followed over two images its regions of interest are as steady)
      -> tf2onnx
      -> the same functions, arranged for ONNX Runtime on one CPU core:
           PRelu(x) = a x + (1 - a) relu(x), as two 1x1 depthwise convolutions: ONNX Runtime has no blocked kernel for
           PRelu and would leave its fast memory layout and come back 31 times
           outputs have names that say what they are; world coordinates, which nobody reads, are dropped
           the palm detector reads 160 x 160 pixels instead of 192 x 192
           weights are stored as float16, widened once at load (they are float16 in the tflite files as well)
      -> compared with the tflite interpreter on random images

Invariants: the numbers are Google's, nothing is trained here; a file is written only when it answers as the tflite
model does, within TOLERANCE; with the versions of requirements-hands.txt the same file is made every time, byte for byte.
"""

import argparse
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PACKAGE = "@mediapipe/hands"
VERSION = "0.4.1675469240"
TARBALL = f"https://registry.npmjs.org/{PACKAGE}/-/hands-{VERSION}.tgz"
TARBALL_SHA256 = "bdd5be939c60cbd72a49f4b6141407683cf2a67263598e1a44757d70b3dfcb8a"
OPSET = 13
# Largest difference of an output from the tflite interpreter's, relative to the largest value of that output.
TOLERANCE = 1e-3
CHECKED_IMAGES = 8
# Smaller constants stay float32, and so do slopes: they weigh nothing, and 1 - a has no exact float16.
FLOAT16_FROM_VALUES = 256

# Where each tflite lies in the tarball: a file, or a range of bytes of one (as hands_solution_packed_assets_loader.js
# lists it), its hash, and what its outputs are called here.
MODELS = {
    "palm_detection": {
        "member": "package/hands_solution_packed_assets.data",
        "bytes": (11, 2341291),
        "sha256": "2f25e740121983f68ffc05f99991d524dc0ea812134f6316a26125816941ee85",
        "tflite": "palm_detection_full.tflite",
        "outputs": {"Identity": "boxes", "Identity_1": "scores"},
        # Made for 192. It is fully convolutional, and hands before a reader are large: at 160 it finds the same ones in
        # three quarters of the time. A multiple of 32.
        "side": 160,
    },
    "hand_landmarks": {
        "member": "package/hand_landmark_lite.tflite",
        "bytes": None,
        "sha256": "d7fde8ac11f8ce03f8663775bfc323f4fc9f2a38062b4f4efa142874ef5b2a48",
        "tflite": "hand_landmark_lite.tflite",
        "outputs": {"Identity": "landmarks", "Identity_1": "presence", "Identity_2": "handedness"},
        "side": None,
    },
}


def fetched(path: Path | None) -> bytes:
    """The npm tarball, from a file or from the registry."""
    if path:
        data = path.read_bytes()
    else:
        with urllib.request.urlopen(TARBALL, timeout=60) as answer:
            data = answer.read()
    check(data, TARBALL_SHA256, "the npm tarball")
    return data


def check(data: bytes, sha256: str, name: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        sys.exit(f"{name} has SHA-256 {found}, expected {sha256}: it is not the file this script was written for")


def tflite_of(tarball: bytes, spec: dict) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(tarball)) as archive:
        data = archive.extractfile(spec["member"]).read()
    if spec["bytes"]:
        data = data[slice(*spec["bytes"])]
    check(data, spec["sha256"], spec["tflite"])
    return data


def converted(tflite: Path) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "model.onnx"
        command = [sys.executable, "-m", "tf2onnx.convert", "--tflite", str(tflite), "--opset", str(OPSET), "--output", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return onnx.load(out)


def name_ports(model: onnx.ModelProto, outputs: dict[str, str]) -> None:
    """Input 'image', the named outputs, and nothing that only the dropped outputs needed."""
    graph = model.graph
    renamed = {graph.input[0].name: "image", **outputs}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    graph.input[0].name = "image"
    kept = [port for port in graph.output if port.name in outputs]
    for port in kept:
        port.name = outputs[port.name]
    del graph.output[:]
    graph.output.extend(kept)
    drop_unused(graph)


def drop_unused(graph: onnx.GraphProto) -> None:
    needed = {port.name for port in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.insert(0, node)
            needed.update(node.input)
    constants = [constant for constant in graph.initializer if constant.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)


def make_canonical(graph: onnx.GraphProto) -> None:
    """One order and one naming, whatever tf2onnx did: it walks through sets, so that no two of its files are alike."""
    makers = {name: node for node in graph.node for name in node.output}
    nodes, names = [], {port.name: port.name for port in [*graph.input, *graph.output]}

    def visit(name: str) -> None:
        node = makers.pop(name, None)
        if node is None:
            return
        for source in node.input:
            visit(source)
        for tensor in [*node.input, *node.output]:
            names.setdefault(tensor, f"t{len(names)}" if tensor else "")
        node.name = f"{node.op_type}{len(nodes)}"
        nodes.append(node)

    outputs = sorted(graph.output, key=lambda port: port.name)
    for port in outputs:
        visit(port.name)
    for node in nodes:
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    constants = [constant for constant in graph.initializer if constant.name in names]
    for constant in constants:
        constant.name = names[constant.name]
    constants.sort(key=lambda constant: int(constant.name[1:]))
    del graph.node[:], graph.initializer[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    graph.output.extend(outputs)


def expand_prelu(graph: onnx.GraphProto) -> None:
    constants = {constant.name: constant for constant in graph.initializer}
    nodes = []
    for index, node in enumerate(graph.node):
        if node.op_type != "PRelu":
            nodes.append(node)
            continue
        slope = numpy_helper.to_array(constants[node.input[1]]).reshape(-1, 1, 1, 1).astype(np.float32)
        name, conv = f"prelu{index}", {"kernel_shape": [1, 1], "group": slope.shape[0]}
        graph.initializer.append(numpy_helper.from_array(slope, f"{name}_a"))
        graph.initializer.append(numpy_helper.from_array(1 - slope, f"{name}_1-a"))
        nodes.append(helper.make_node("Relu", [node.input[0]], [f"{name}_relu"]))
        nodes.append(helper.make_node("Conv", [node.input[0], f"{name}_a"], [f"{name}_plain"], **conv))
        nodes.append(helper.make_node("Conv", [f"{name}_relu", f"{name}_1-a"], [f"{name}_bent"], **conv))
        nodes.append(helper.make_node("Add", [f"{name}_plain", f"{name}_bent"], [node.output[0]]))
    del graph.node[:]
    graph.node.extend(nodes)


def halve_weights(graph: onnx.GraphProto) -> None:
    casts, constants = [], []
    for constant in graph.initializer:
        values = numpy_helper.to_array(constant)
        is_slope = constant.name.startswith("prelu")
        if values.dtype != np.float32 or values.size < FLOAT16_FROM_VALUES or is_slope:
            constants.append(constant)
            continue
        constants.append(numpy_helper.from_array(values.astype(np.float16), f"{constant.name}_f16"))
        casts.append(helper.make_node("Cast", [f"{constant.name}_f16"], [constant.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(constants)
    graph.node.extend(nodes)


def compare(model: onnx.ModelProto, tflite: bytes, outputs: dict[str, str]) -> dict[str, float]:
    """Largest relative difference of each output. The tflite interpreter orders outputs as the file does."""
    import onnxruntime
    import tensorflow as tf

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    interpreter = tf.lite.Interpreter(model_content=tflite)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    targets = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    worst = dict.fromkeys(outputs.values(), 0.0)
    random = np.random.default_rng(1)
    for _ in range(CHECKED_IMAGES):
        coarse = random.random((1, 12, 12, 3), dtype=np.float32)
        image = tf.image.resize(coarse, source["shape"][1:3]).numpy()
        interpreter.set_tensor(source["index"], image)
        interpreter.invoke()
        answers = dict(zip(worst, session.run(list(worst), {"image": image})))
        for theirs, ours in outputs.items():
            expected = interpreter.get_tensor(targets[theirs])
            difference = np.abs(answers[ours] - expected).max() / np.abs(expected).max()
            worst[ours] = max(worst[ours], float(difference))
    return worst


def set_side(graph: onnx.GraphProto, side: int) -> None:
    """Another input size for a network that is convolutions only; each output's second dimension follows."""
    shape = graph.input[0].type.tensor_type.shape.dim
    for dimension in shape[1:3]:
        dimension.dim_value = side
    anchors = 2 * (side // 8) ** 2 + 6 * (side // 16) ** 2
    for port in graph.output:
        port.type.tensor_type.shape.dim[1].dim_value = anchors
    del graph.value_info[:]


def make(name: str, spec: dict, tarball: bytes, out: Path) -> None:
    tflite = tflite_of(tarball, spec)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / spec["tflite"]
        path.write_bytes(tflite)
        model = converted(path)
    name_ports(model, spec["outputs"])
    expand_prelu(model.graph)
    drop_unused(model.graph)
    halve_weights(model.graph)
    make_canonical(model.graph)
    model.graph.name, model.graph.doc_string = name, ""  # tf2onnx notes the path of its input
    helper.set_model_props(
        model,
        {
            "model_id": name,
            "source": f"npm {PACKAGE} {VERSION}, {spec['tflite']}",
            "source_sha256": spec["sha256"],
            "licence": "Apache-2.0",
            "copyright": "The MediaPipe Authors",
        },
    )
    onnx.checker.check_model(model)
    worst = compare(model, tflite, spec["outputs"])
    if max(worst.values()) > TOLERANCE:
        sys.exit(f"{name} answers otherwise than {spec['tflite']}: {worst}")
    if spec["side"]:
        set_side(model.graph, spec["side"])
    target = out / f"{name}.onnx"
    onnx.save(model, target)
    size = target.stat().st_size
    print(f"{target}: {size} bytes, SHA-256 {hashlib.sha256(target.read_bytes()).hexdigest()}")
    print("  largest relative difference from tflite: " + ", ".join(f"{k} {v:.1e}" for k, v in worst.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to (default: model/)")
    parser.add_argument("--tarball", type=Path, help=f"the npm tarball, if it is here already (default: {TARBALL})")
    options = parser.parse_args()
    tarball = fetched(options.tarball)
    for name, spec in MODELS.items():
        make(name, spec, tarball, options.out)


if __name__ == "__main__":
    main()
