"""Tests of the training: `python -m unittest model.train.test_train` from the repository's root."""

import os
import tempfile
import unittest
from unittest import mock

import numpy as np
import onnx
import onnxruntime
import torch

from ..factory.store import fill, open_store
from . import train
from .export import export
from .fuse import discriminants, fuse
from .loss import ArcMargin, contrast, frame_loss
from .network import DIMENSION, SignatureNet, straighten
from .rates import rates

MOST_WEIGHTS = 2_000_000


def options(folder: str, steps: int, *more: str):
    store, checkpoint = os.path.join(folder, "store"), os.path.join(folder, "c.pt")
    return train.parse(["--store", store, "--checkpoint", checkpoint, "--steps", str(steps), "--palms", "4", *more])


class Network(unittest.TestCase):
    def test_signatures_have_unit_length_and_the_network_is_small(self):
        net = SignatureNet().eval()
        out = net(torch.rand(3, 1, 128, 128) * 255)
        self.assertEqual(tuple(out.shape), (3, DIMENSION))
        self.assertTrue(torch.allclose(out.norm(dim=1), torch.ones(3), atol=1e-4))
        self.assertLess(sum(p.numel() for p in net.parameters()), MOST_WEIGHTS)

    def test_an_image_of_one_grey_has_no_signature(self):
        net = SignatureNet().eval()
        for grey in (0, 127, 255):
            self.assertAlmostEqual(float(net(torch.full((1, 1, 128, 128), float(grey))).norm()), 0.0, delta=1e-3)

    def test_straightening_undoes_the_pose_it_is_told(self):
        pose = torch.tensor([[0.9, 0.3, 0.1, -0.05], [1.1, -0.2, -0.08, 0.12]])
        a, b, x, y = pose.unbind(1)
        theta = torch.stack([torch.stack([a, -b, 2 * x], 1), torch.stack([b, a, 2 * y], 1)], 1)
        axis = torch.linspace(-1, 1, 128)
        skin = (torch.sin(5 * axis)[:, None] + torch.cos(4 * axis)[None]).expand(2, 1, 128, 128)
        grid = torch.nn.functional.affine_grid(theta, [2, 1, 128, 128], align_corners=False)
        seen = torch.nn.functional.grid_sample(skin, grid, align_corners=False)
        back = straighten(seen, pose)[..., 52:76, 52:76]
        self.assertTrue(torch.allclose(back, skin[..., 52:76, 52:76], atol=0.02))
        self.assertFalse(torch.allclose(seen[..., 52:76, 52:76], skin[..., 52:76, 52:76], atol=0.1))

    def test_the_exported_file_gives_what_the_network_gives(self):
        net = SignatureNet().eval()
        roi = torch.randint(0, 256, (2, 1, 128, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s.onnx")
            export(net, path, "test-1")
            session = onnxruntime.InferenceSession(path)
            (out,) = session.run(None, {"roi": roi.numpy()})
            self.assertEqual(session.get_modelmeta().custom_metadata_map["model_id"], "test-1")
        with torch.no_grad():
            self.assertTrue(np.allclose(out, net(roi.float()).numpy(), atol=1e-4))


class Fusion(unittest.TestCase):
    def test_discriminants_prefer_what_differs_between_palms_to_what_differs_between_pictures(self):
        dice = np.random.default_rng(1)
        palms = np.repeat(dice.normal(size=(400, 2)) * [1.0, 0.2], 2, 0)
        pictures = dice.normal(size=(800, 3)) * [0.1, 0.1, 0.7]
        directions, mean = discriminants(np.concatenate([palms, np.zeros((800, 1))], 1) + pictures, 1)
        self.assertEqual(np.abs(directions[:, 0]).argmax(), 0)
        self.assertLess(abs(directions[2, 0]), 0.1 * abs(directions[0, 0]))
        self.assertEqual(mean.shape, (3,))

    def test_the_joined_file_gives_unit_vectors_of_both_descriptions_and_nothing_for_one_grey(self):
        plain = onnx.load(os.path.join(os.path.dirname(__file__), "..", "gabor.onnx"))
        directions = np.random.default_rng(1).normal(size=(DIMENSION + 384, 8))
        roi = np.random.default_rng(2).integers(0, 256, (3, 1, 128, 128), dtype=np.uint8)
        roi[2] = 77
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s.onnx")
            export(SignatureNet().eval(), path, "test-1")
            net = onnx.load(path)
        joined = fuse(net, plain, directions, np.zeros(DIMENSION + 384), "test-2")
        answers = [
            onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"roi": roi})[0]
            for model in (net, plain, joined)
        ]
        expected = np.concatenate(answers[:2], 1) @ directions
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        self.assertTrue(np.allclose(answers[2][:2], expected[:2], atol=5e-3))
        self.assertEqual(float(np.linalg.norm(answers[2][2])), 0.0)
        self.assertEqual({p.key: p.value for p in joined.metadata_props}["dimension"], "8")


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
        frame_p, frame_d = torch.complex(torch.tensor(1.1), torch.tensor(0.2)), torch.complex(torch.tensor(0.1), torch.tensor(-0.1))
        p, d = torch.complex(true[:, 0], true[:, 1]), torch.complex(true[:, 2], true[:, 3])
        seen_p, seen_d = frame_p * p, frame_p * d + frame_d
        seen = torch.stack([seen_p.real, seen_p.imag, seen_d.real, seen_d.imag], 1)
        skin = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
        pull = 0.1 * torch.nn.functional.smooth_l1_loss(torch.tensor([[1.1, 0.2, 0.1, -0.1]]), skin, beta=0.3)
        self.assertAlmostEqual(float(frame_loss(seen, true, 4)), float(pull), delta=1e-5)
        self.assertAlmostEqual(float(frame_loss(true, true, 4)), 0.0, delta=1e-6)
        self.assertGreater(float(frame_loss(skin.expand(8, 4), true, 4)), 5 * float(pull))

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
