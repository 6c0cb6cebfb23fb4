"""Tests of the training: `python -m unittest model.train.test_train` from the repository's root."""

import os
import tempfile
import unittest
from unittest import mock

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, compose, helper

from ..factory.raster import Dice
from ..factory.store import fill, open_store
from . import train
from .export import export
from .fuse import SHARES, components, describe, fuse, joined, line_field, weights
from .loss import ArcMargin, contrast, frame_loss
from .network import (
    LANDMARKS,
    PLACE_WIDTH,
    PLACES,
    STEM_SIDE,
    Aligner,
    SignatureNet,
    after,
    line_filters,
    straighten,
)
from .rates import rates

MOST_WEIGHTS = 2_000_000


def options(folder: str, steps: int, *more: str):
    store, checkpoint = os.path.join(folder, "store"), os.path.join(folder, "c.pt")
    return train.parse(["--store", store, "--checkpoint", checkpoint, "--steps", str(steps), "--palms", "4", *more])


class Network(unittest.TestCase):
    def test_signatures_have_unit_length_and_the_network_is_small(self):
        net = SignatureNet().eval()
        out = net(torch.rand(3, 1, 128, 128) * 255)[0]
        self.assertEqual(tuple(out.shape), (3, PLACE_WIDTH * PLACES))
        self.assertTrue(torch.allclose(out.norm(dim=1), torch.ones(3), atol=1e-4))
        self.assertLess(sum(p.numel() for p in net.parameters()), MOST_WEIGHTS)

    def test_straightening_undoes_the_pose_it_is_told(self):
        pose = torch.tensor([[0.9, 0.3, 0.1, -0.05], [1.1, -0.2, -0.08, 0.12]])
        a, b, x, y = pose.unbind(1)
        theta = torch.stack([torch.stack([a, -b, 2 * x], 1), torch.stack([b, a, 2 * y], 1)], 1)
        axis = torch.linspace(-1, 1, 128)
        skin = (torch.sin(5 * axis)[:, None] + torch.cos(4 * axis)[None]).expand(2, 1, 128, 128)
        grid = torch.nn.functional.affine_grid(theta, [2, 1, 128, 128], align_corners=False)
        seen = torch.nn.functional.grid_sample(skin, grid, align_corners=False)
        back = straighten(seen, pose)[0][..., 52:76, 52:76]
        self.assertTrue(torch.allclose(back, skin[..., 52:76, 52:76], atol=0.02))
        self.assertFalse(torch.allclose(seen[..., 52:76, 52:76], skin[..., 52:76, 52:76], atol=0.1))

    def test_beyond_the_border_of_a_straightened_picture_nothing_is_shown(self):
        half = torch.tensor([[0.5, 0.0, 0.0, 0.0], [1.0, 0.0, 0.5, 0.0]])
        straight, shown = straighten(torch.ones(2, 1, 128, 128), half)
        self.assertAlmostEqual(float(shown[0].mean()), 0.25, delta=0.08)
        self.assertEqual(float(shown[1, :, :, :32].sum()), 0.0)
        self.assertEqual(float((straight * shown.repeat_interleave(2, 2).repeat_interleave(2, 3)).max()), 1.0)
        net = SignatureNet().eval()
        places = net.places(*straighten(torch.randn(2, 1, 128, 128), half)).view(2, PLACE_WIDTH, 8, 8)
        self.assertEqual(float(places[0, :, 0].abs().max()), 0.0)
        self.assertGreater(float(places[0, :, 4, 4].abs().max()), 0.0)

    def test_a_pose_after_a_pose_is_where_both_lead(self):
        second, first = torch.tensor([[0.9, 0.3, 0.1, -0.05]]), torch.tensor([[1.1, -0.2, -0.08, 0.12]])
        point = torch.tensor([0.2, -0.3])

        def led(pose, at):
            a, b, x, y = pose[0]
            return torch.stack([a * at[0] - b * at[1] + x, b * at[0] + a * at[1] + y])

        self.assertTrue(torch.allclose(led(after(second, first), point), led(second, led(first, point)), atol=1e-6))

    def test_when_a_picture_moves_what_the_aligner_says_moves_with_it(self):
        """Landmarks that are seen where they were, turned, shrunk and moved: the frame they are brought to is the same. Those
        that are seen anywhere say nothing."""
        torch.manual_seed(1)
        aligner = Aligner().eval()
        torch.nn.init.zeros_(aligner.expected)
        aligner.features = torch.nn.Identity()
        aligner.trust = torch.nn.Conv2d(LANDMARKS, LANDMARKS, 1)
        aligner.where = torch.nn.Identity()
        spots = (torch.rand(LANDMARKS, 2, generator=torch.Generator().manual_seed(3)) - 0.5) * 0.5
        turn, shift = torch.polar(torch.tensor(0.9), torch.tensor(0.3)), torch.complex(torch.tensor(0.05), torch.tensor(-0.04))
        moved = torch.view_as_real(torch.view_as_complex(spots) * turn + shift)

        def posed(sharpness: float):
            maps = torch.stack([-(aligner.cells - at[:, None]).square().sum(-1) * sharpness for at in (spots, moved)])
            seen = maps.view(2, LANDMARKS, 16, 1, 16, 1).expand(-1, -1, -1, 2, -1, 2).reshape(2, LANDMARKS, 32, 32)
            with torch.no_grad():
                pose = aligner(seen)
            return pose, torch.complex(pose[:, 0], pose[:, 1]), torch.complex(pose[:, 2], pose[:, 3])

        _, p, d = posed(200)
        self.assertLess(float((p[1] * turn - p[0]).abs()), 0.06)
        self.assertLess(float((p[1] * shift + d[1] - d[0]).abs()), 0.01)
        unsure, _, _ = posed(1)
        self.assertTrue(torch.allclose(unsure, torch.tensor([1.0, 0.0, 0.0, 0.0]), atol=1e-3))

    def test_lines_are_the_answers_of_the_line_filters_at_every_second_pixel(self):
        x = torch.randn(2, 1, 128, 128)
        answers = torch.nn.functional.conv2d(x, line_filters(), stride=2, padding=STEM_SIDE // 2).relu()
        self.assertTrue(torch.allclose(SignatureNet().lines(x), answers, atol=1e-4))

    def test_the_exported_file_gives_what_the_network_gives(self):
        net = SignatureNet().eval()
        roi = torch.randint(0, 256, (2, 1, 128, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s.onnx")
            export(net, path, "test-1")
            session = onnxruntime.InferenceSession(path)
            places, straight, shown = session.run(None, {"roi": roi.numpy()})
            self.assertEqual(session.get_modelmeta().custom_metadata_map["model_id"], "test-1")
        with torch.no_grad():
            expected = net(roi.float())
        self.assertTrue(np.allclose(places, expected[0].numpy(), atol=1e-4))
        self.assertTrue(np.allclose(straight, expected[1].numpy(), atol=1e-2))
        self.assertTrue(np.array_equal(shown, expected[2].numpy()))


class Fusion(unittest.TestCase):
    def test_components_keep_the_length_that_vectors_have_most_of(self):
        vectors = np.random.default_rng(1).normal(size=(800, 4)) * [0.1, 1.0, 0.1, 2.0] + [0.0, 0.0, 5.0, 0.0]
        directions = components(vectors, 3)
        self.assertEqual(list(np.abs(directions).argmax(0)), [2, 3, 1])
        lengths = np.linalg.norm(directions, axis=0)
        self.assertTrue(np.allclose(directions.T @ directions, np.diag(lengths**2), atol=1e-9))
        self.assertTrue(np.allclose(lengths, [5**-0.5, 2**-0.5, 1.0], rtol=0.05), lengths)

    def test_the_joined_file_gives_unit_vectors_of_all_descriptions_and_nothing_for_one_grey(self):
        plain = onnx.load(os.path.join(os.path.dirname(__file__), "..", "gabor.onnx"))
        roi = np.random.default_rng(2).integers(0, 256, (3, 1, 128, 128), dtype=np.uint8)
        roi[2] = 77
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s.onnx")
            export(SignatureNet().eval(), path, "test-1")
            net = onnx.load(path)
        weight = weights(net, plain)
        self.assertEqual(weight.shape, (PLACE_WIDTH * PLACES + 384,))
        side_by_side = describe(joined(net, plain), roi)
        ends = np.cumsum([0, PLACE_WIDTH * PLACES, 384])
        parts = [side_by_side[0, a:b] * weight[a:b] for a, b in zip(ends, ends[1:], strict=False)]
        self.assertTrue(np.allclose([part @ part for part in parts], list(SHARES.values()), atol=1e-4))

        directions = weight[:, None] * np.random.default_rng(1).normal(size=(len(weight), 8))
        file = fuse(net, plain, directions, "test-2")
        expected = side_by_side @ directions
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        signature = describe(file, roi)
        self.assertTrue(np.allclose(signature[:2], expected[:2], atol=5e-3))
        self.assertEqual(float(np.linalg.norm(signature[2])), 0.0)
        self.assertEqual({p.key: p.value for p in file.metadata_props}["dimension"], "8")


    def test_the_line_field_says_how_lines_run_and_nothing_where_the_palm_is_not_shown(self):
        """Lines at 30 degrees to the rows, in a picture whose right quarter is not shown."""
        down, right = np.mgrid[0:128, 0:128]
        across = right * np.sin(np.pi / 6) + down * np.cos(np.pi / 6)
        roi = (128 + 60 * np.cos(2 * np.pi * across / 11)).astype(np.uint8)[None, None]
        shown = np.ones((1, 1, 64, 64), np.float32)
        shown[..., 48:] = 0
        plain = compose.add_prefix(onnx.load(os.path.join(os.path.dirname(__file__), "..", "gabor.onnx")), "straight_")
        nodes, constants = line_field()
        graph = helper.make_graph(
            [*plain.graph.node, *nodes],
            "lines",
            [*plain.graph.input, helper.make_tensor_value_info("net_shown", TensorProto.FLOAT, [1, 1, 64, 64])],
            [helper.make_tensor_value_info("lines", TensorProto.FLOAT, [1, 2, 63, 63])],
            [*plain.graph.initializer, *constants],
        )
        file = helper.make_model(graph, opset_imports=plain.opset_import, ir_version=plain.ir_version)
        session = onnxruntime.InferenceSession(file.SerializeToString())
        (field,) = session.run(None, {"straight_roi": roi, "net_shown": shown})
        self.assertTrue((field[..., 47:] == 0).all())
        seen = (field[0, 0] + 1j * field[0, 1])[10:50, 10:40].mean()
        # The filters' angle is that of the way across a line, 60 degrees here; doubled, 120.
        self.assertAlmostEqual(np.degrees(np.angle(seen)), 120, delta=10)
        self.assertGreater(abs(seen), 0.1)


class Measures(unittest.TestCase):
    def test_a_margin_makes_the_loss_larger_and_a_picture_at_its_centre_small(self):
        torch.manual_seed(1)
        head = ArcMargin(5, 8)
        labels = torch.arange(5)
        signatures = torch.nn.functional.normalize(head.weight.detach())
        with torch.no_grad():
            self.assertGreater(float(head(signatures, labels, 0.4)), float(head(signatures, labels, 0.0)))
            self.assertLess(float(head(signatures, labels, 0.0)), 0.5)
            self.assertGreater(float(head(signatures, labels.roll(1), 0.0)), 5)

    def test_pairs_that_are_alike_cost_little_and_a_stranger_that_is_as_alike_makes_them_cost_more(self):
        axes, labels = torch.eye(8), torch.tensor([3, 3, 4, 4])
        self.assertLess(float(contrast(axes[[0, 0, 1, 1]], labels)), 1e-3)
        self.assertGreater(float(contrast(axes[[0, 0, 0, 0]], labels)), 0.3)
        self.assertGreater(float(contrast(axes[[0, 1, 2, 3]], labels)), 0.3)

    def test_any_one_frame_for_all_pictures_of_a_palm_is_right_and_two_frames_are_not(self):
        """A frame that is turned, grown and moved costs only what the pull to the skin's costs, however poses differ."""
        generator = torch.Generator().manual_seed(1)
        true = torch.randn(8, 4, generator=generator) * 0.1 + torch.tensor([1.0, 0.0, 0.0, 0.0])
        p, d = torch.complex(true[:, 0], true[:, 1]), torch.complex(true[:, 2], true[:, 3])
        frame_p, frame_d = torch.complex(torch.tensor(1.1), torch.tensor(0.2)), torch.complex(torch.tensor(0.1), torch.tensor(-0.1))
        turned = torch.cat([torch.view_as_real(frame_p * p), torch.view_as_real(frame_p * d + frame_d)], 1)
        no_pose = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(8, 4)
        pull = frame_loss(turned, true, 1)
        self.assertAlmostEqual(float(frame_loss(turned, true, 4)), float(pull), delta=1e-5)
        self.assertAlmostEqual(float(frame_loss(true, true, 4)), 0.0, delta=1e-6)
        self.assertGreater(float(frame_loss(no_pose, true, 4)), 5 * float(pull))

    def test_a_frame_that_is_made_small_does_not_make_the_error_small(self):
        generator = torch.Generator().manual_seed(2)
        true = torch.randn(8, 4, generator=generator) * 0.1 + torch.tensor([1.0, 0.0, 0.0, 0.0])
        no_pose = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(8, 4)
        self.assertGreater(float(frame_loss(no_pose * 0.3, true, 4)), float(frame_loss(no_pose, true, 4)))

    def test_poses_that_go_astray_are_near_the_true_ones_and_none_is_the_same(self):
        pose = torch.tensor([[0.9, 0.3, 0.1, -0.05]]).expand(2000, 4)
        seen = train.astray(Dice(1), pose)
        self.assertTrue(torch.allclose(seen.mean(0), pose[0], atol=0.01))
        self.assertTrue((seen.std(0) > 0.015).all() and (seen.std(0) < 0.06).all(), seen.std(0))

    def test_rates_of_known_scores(self):
        names = np.arange(50)
        perfect = rates(np.eye(50), names, np.eye(50), names)
        self.assertEqual((perfect.eer, perfect.tar_at_fmr_1e3, perfect.rank1), (0.0, 1.0, 1.0))
        wrong = rates(np.eye(50), names, np.roll(np.eye(50), 1, 0), names)
        self.assertEqual((wrong.tar_at_fmr_1e3, wrong.rank1), (0.0, 0.0))


class Resuming(unittest.TestCase):
    def test_an_interrupted_training_ends_where_an_unbroken_one_ends(self):
        with mock.patch.object(train, "HELD_OUT", 8), tempfile.TemporaryDirectory() as folder:
            fill(os.path.join(folder, "store"), 16, 2, report=False)
            unbroken = train.Training(options(folder, 4), open_store(os.path.join(folder, "store")))
            for _ in range(4):
                unbroken.one_step()
            broken = train.Training(options(folder, 4), open_store(os.path.join(folder, "store")))
            broken.one_step()
            broken.one_step()
            broken.save()
            resumed = train.Training(options(folder, 4), open_store(os.path.join(folder, "store")))
            resumed.resume()
            self.assertEqual(resumed.step, 2)
            resumed.one_step()
            resumed.one_step()
            for a, b in zip(unbroken.net.parameters(), resumed.net.parameters(), strict=True):
                self.assertTrue(torch.allclose(a, b, atol=1e-5))

    def test_a_training_goes_on_with_the_network_of_another_on_other_palms(self):
        with mock.patch.object(train, "HELD_OUT", 8), tempfile.TemporaryDirectory() as folder:
            fill(os.path.join(folder, "store"), 16, 2, report=False)
            first = train.Training(options(folder, 4), open_store(os.path.join(folder, "store")))
            first.one_step()
            first.save()
            second = train.Training(options(folder, 4, "--identities", "6"), open_store(os.path.join(folder, "store")))
            second.start_from(os.path.join(folder, "c.pt"))
            for a, b in zip(first.average.parameters(), second.net.parameters(), strict=True):
                self.assertTrue(torch.equal(a, b))
            self.assertTrue(torch.allclose(second.centres.weight.norm(dim=1), torch.ones(6), atol=1e-4))
            self.assertTrue(second.schooled)
            second.one_step()


if __name__ == "__main__":
    unittest.main()
