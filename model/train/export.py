"""A checkpoint to ONNX: `python -m model.train.export --checkpoint FILE --out FILE --model-id NAME`.

Input `roi` uint8 [n, 1, 128, 128]; outputs `signature` float32 [n, 4096], the places, `straight` float32
[n, 1, 128, 128], the straightened picture, and `shown` float32 [n, 1, 64, 64], where it shows the palm. `fuse.py` makes
the file that is shipped of it.
"""

from __future__ import annotations

import argparse

import onnx
import torch
from onnx import helper
from torch import nn

from .network import INPUT_SIZE, PLACE_WIDTH, PLACES, SignatureNet

OPSET = 17


def set_facts(model: onnx.ModelProto, model_id: str, dimension: int, **more: int) -> None:
    """Writes into a file what palm/model-file.ts reads of it."""
    numbers = {"dimension": dimension, "input_size": INPUT_SIZE, **more}
    helper.set_model_props(model, {"model_id": model_id, **{name: str(number) for name, number in numbers.items()}})


class FromBytes(nn.Module):
    def __init__(self, net: SignatureNet):
        super().__init__()
        self.net = net

    def forward(self, roi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.net(roi.float())


def load(checkpoint: str) -> SignatureNet:
    """The averaged weights of a checkpoint, ready to run."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    net = SignatureNet()
    net.load_state_dict(state["average"])
    return net.eval()


def export(net: SignatureNet, out: str, model_id: str) -> None:
    example = torch.zeros(1, 1, INPUT_SIZE, INPUT_SIZE, dtype=torch.uint8)
    torch.onnx.export(
        FromBytes(net).eval(),
        (example,),
        out,
        input_names=["roi"],
        output_names=["signature", "straight", "shown"],
        dynamic_axes={name: {0: "n"} for name in ("roi", "signature", "straight", "shown")},
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load(out)
    set_facts(model, model_id, PLACE_WIDTH * PLACES)
    onnx.checker.check_model(model)
    onnx.save(model, out)


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes the network of a checkpoint as an ONNX file.")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--model-id", required=True)
    options = parser.parse_args()
    export(load(options.checkpoint), options.out, options.model_id)


if __name__ == "__main__":
    main()
