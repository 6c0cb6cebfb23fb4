"""python -m unittest model.test_spectra: the graph of spectra beside what it says, computed plainly."""

import unittest

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from .spectra import BITS, FIELD_PX, FIELD_SIDE, LOOKS, RADIUS, SIDE, features_of, fitted, without_ring_means


def plain_look(field: np.ndarray, turn: float, scale: float) -> np.ndarray:
    """The smoothed field as a complex number a place, looked at place by place."""
    smooth = np.zeros_like(field)
    padded = np.pad(field, ((0, 0), (1, 1), (1, 1)))
    for down in range(3):
        for across in range(3):
            smooth += padded[:, down : down + FIELD_SIDE, across : across + FIELD_SIDE] / 9
    seen = np.zeros((SIDE, SIDE), np.complex128)
    for row in range(SIDE):
        for column in range(SIDE):
            right, down = (column + 0.5) / SIDE - 0.5, (row + 0.5) / SIDE - 0.5
            x = round((scale * (np.cos(turn) * right - np.sin(turn) * down) + 0.5) * FIELD_PX - 1)
            y = round((scale * (np.sin(turn) * right + np.cos(turn) * down) + 0.5) * FIELD_PX - 1)
            if 0 <= x < FIELD_SIDE and 0 <= y < FIELD_SIDE:
                seen[row, column] = complex(*smooth[:, y, x]) * np.exp(-2j * turn)
    return seen


def plain_features(field: np.ndarray, turn: float, scale: float) -> np.ndarray:
    axis = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    window = 0.5 + 0.5 * np.cos(2 * np.pi * axis)
    seen = plain_look(field, turn, scale) * np.outer(window, window)
    places = [(v, u) for v in range(-RADIUS, RADIUS + 1) for u in range(-RADIUS, RADIUS + 1)]
    used = [place for place in places if round(float(np.hypot(*place))) <= RADIUS]
    value = {(v, u): (seen * np.exp(-2j * np.pi * (v * axis[:, None] + u * axis))).sum() for v, u in used}
    rings: dict[int, list[float]] = {}
    for place in used:
        rings.setdefault(round(float(np.hypot(*place))), []).append(abs(value[place]))
    even = {place: value[place] / np.mean(rings[round(float(np.hypot(*place)))]) for place in used}
    products = [even[place] * even[(-place[0], -place[1])] for place in used if place > (0, 0)]
    weighted = np.array([product * abs(product) ** -0.75 for product in products])
    return np.concatenate([np.sqrt(np.abs([even[place] for place in used])), weighted.real, weighted.imag])


def ran(field: np.ndarray) -> np.ndarray:
    graph = features_of()
    shape = ["m", len(LOOKS), len(without_ring_means())]
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "features",
            [helper.make_tensor_value_info("fields", TensorProto.FLOAT, ["n", 4, FIELD_SIDE, FIELD_SIDE])],
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, shape)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(made, full_check=True)
    session = onnxruntime.InferenceSession(made.SerializeToString())
    return session.run(None, {"fields": np.concatenate([field, field[:, ::-1].copy()])[None].astype(np.float32)})[0]


class Spectra(unittest.TestCase):
    def setUp(self) -> None:
        self.field = np.random.default_rng(1).standard_normal((2, FIELD_SIDE, FIELD_SIDE))

    def test_the_graph_is_the_law(self) -> None:
        found = ran(self.field)
        for look, (turn, scale) in enumerate(LOOKS):
            np.testing.assert_allclose(found[0, look], plain_features(self.field, turn, scale), atol=2e-3)
        np.testing.assert_allclose(found[1, 0], plain_features(self.field[:, ::-1], *LOOKS[0]), atol=2e-3)

    def test_features_hardly_change_when_a_palm_moves_in_the_crop(self) -> None:
        small = np.zeros_like(self.field)
        small[:, 20:40, 20:40] = self.field[:, 20:40, 20:40]
        moved, other = np.roll(small, 4, (1, 2)), np.roll(self.field[:, ::-1], 4, (1, 2))
        cosine = lambda a, b: float(np.corrcoef(a[0, 0, :489], b[0, 0, :489])[0, 1])
        self.assertGreater(cosine(ran(small), ran(moved)), 0.9)
        self.assertLess(cosine(ran(small), ran(other)), 0.5)

    def test_combinations_are_centred_and_say_each_as_much(self) -> None:
        rows = np.random.default_rng(2).standard_normal((1200, len(without_ring_means())))
        directions, offset = fitted(rows)
        combined = rows @ directions + offset
        self.assertEqual(combined.shape, (1200, BITS))
        np.testing.assert_allclose(combined.mean(0), 0, atol=1e-8)
        self.assertLess(combined.std(0).max() / combined.std(0).min(), 1.6)


if __name__ == "__main__":
    unittest.main()
