"""Tests of the factory: `python -m unittest model.factory.test_factory` from the repository's root."""

import os
import tempfile
import unittest
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from .identity import draw
from .raster import LAYER_REACH_CROPS, LAYER_SIDE_PX, PX_PER_CROP, Dice, Strokes, rasterise
from .sample import CROP_PX, Ranges, Sampler, smooth
from .store import fill, open_store

PLAIN = replace(Ranges(), occlusion_share=0.0, local_contrast_share=0.0, nir_share=0.0, jpeg_share=0.0)


def correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Correlation of each picture of `a` with the same row of `b`, slow shading removed."""

    def detail(x: torch.Tensor) -> torch.Tensor:
        x = x - F.avg_pool2d(x, 15, 1, 7, count_include_pad=False)
        return x.flatten(1) / x.flatten(1).norm(dim=1, keepdim=True)

    return (detail(a) * detail(b)).sum(1)


class Identities(unittest.TestCase):
    def test_a_seed_draws_the_same_palms_again_and_another_seed_others(self):
        one, again, other = draw(5, 3), draw(5, 3), draw(6, 3)
        self.assertTrue(torch.equal(one.lines, again.lines) and torch.equal(one.broad, again.broad))
        self.assertFalse(torch.equal(one.lines, other.lines))

    def test_every_palm_has_lines_wrinkles_texture_and_veins(self):
        layers = draw(7, 12)
        spread = torch.cat([layers.lines.float().std((2, 3)), layers.broad.float().std((2, 3))], 1)
        self.assertTrue((spread > 2).all(), spread.min(0))

    def test_mounts_meet_in_a_step_at_the_life_line(self):
        """Where the step changes sign, it does so within a few pixels, and the crease layer is darker than elsewhere."""
        layers = draw(13, 8)
        step = layers.broad[:, 1].float() - 128
        crease = F.avg_pool2d(layers.lines[:, 0].float(), 2)
        self.assertTrue(((step.amax((1, 2)) > 60) & (step.amin((1, 2)) < -60)).all())
        edge = step[:, :, 1:] * step[:, :, :-1] < -400
        on, off = crease[:, :, 1:][edge].mean(), crease[:, :, 1:][~edge].mean()
        self.assertGreater(float(on), 2 * float(off))

    def test_a_line_keeps_its_depth_however_finely_it_is_cut(self):
        peaks = []
        for points in (200, 900):
            x = torch.linspace(-0.5, 0.5, points)
            xy = torch.stack([x, torch.full_like(x, 0.1 + 0.5 / PX_PER_CROP)], -1)[None, None]
            flat = torch.ones(1, 1, points)
            peaks.append(rasterise([Strokes(xy, flat * 0.5, flat * 1.2)], 1, "cpu")[0, 0, :, LAYER_SIDE_PX // 2].max())
        self.assertAlmostEqual(float(peaks[0]), float(peaks[1]), delta=0.02)
        self.assertAlmostEqual(float(peaks[0]), 0.5, delta=0.05)


class Samples(unittest.TestCase):
    def test_pictures_are_whole_greys_of_the_size_of_a_crop(self):
        layers = draw(8, 4)
        roi = Sampler(Dice(1)).take(layers.lines, layers.broad).roi
        self.assertEqual(tuple(roi.shape), (4, 1, CROP_PX, CROP_PX))
        self.assertTrue(torch.equal(roi, roi.round().clamp(0, 255)))

    def test_several_pictures_of_a_palm_are_neighbours(self):
        layers = draw(8, 3)
        sampler = Sampler(Dice(4), replace(PLAIN, bend_crops=0.0))
        roi = sampler.take(layers.lines, layers.broad, 0.0, each=2).roi
        alike = correlation(roi[0::2], roi[1::2])
        self.assertEqual(len(roi), 6)
        self.assertTrue((alike > correlation(roi[1::2], roi[0::2].roll(-1, 0)) + 0.1).all(), alike)

    def test_two_aligned_pictures_of_a_palm_are_more_alike_than_those_of_two_palms(self):
        layers = draw(9, 24)
        sampler = Sampler(Dice(2), replace(PLAIN, bend_crops=0.0))
        one = sampler.take(layers.lines, layers.broad, 0.0).roi
        two = sampler.take(layers.lines, layers.broad, 0.0).roi
        self.assertGreater(float(correlation(one, two).mean()), 0.25)
        self.assertLess(float(correlation(one, two.roll(1, 0)).abs().mean()), 0.1)

    def test_the_pose_that_is_told_is_where_the_picture_was_taken(self):
        """A layer that is a ramp of x reads, at the crop's middle, the shift that was told."""
        ramp = torch.linspace(0, 255, LAYER_SIDE_PX).expand(16, 3, LAYER_SIDE_PX, LAYER_SIDE_PX)
        sampler = Sampler(Dice(3), replace(PLAIN, bend_crops=0.0, perspective=0.0))
        strain = torch.ones(16)
        pose = sampler._pose(8, 2, 1.0, strain)
        seen = F.grid_sample(ramp[:, :1], sampler._grid(pose, strain), align_corners=False)
        middle = seen[:, 0, CROP_PX // 2 - 1 : CROP_PX // 2 + 1, CROP_PX // 2 - 1 : CROP_PX // 2 + 1].mean((1, 2))
        shift = (middle / 255 - 0.5) * 2 * LAYER_REACH_CROPS
        self.assertTrue(torch.allclose(shift, pose[:, 2], atol=0.01))

    def test_the_pictures_of_a_palm_share_its_stance(self):
        stances = Sampler(Dice(3), replace(PLAIN, rotation_deg=0.0, scale_low=1.0, scale_high=1.0, shift_crops=0.0))
        pose = stances._pose(6, 3, 1.0, torch.ones(18)).view(6, 3, 4)
        self.assertTrue(torch.equal(pose, pose[:, :1].expand_as(pose)))
        self.assertGreater(float(pose[:, 0].std(0).min()), 0.02)

    def test_a_smooth_field_goes_through_its_knots_at_the_corners(self):
        knots = torch.randn(2, 1, 5, 5, generator=torch.Generator().manual_seed(1))
        field = smooth(knots)
        self.assertTrue(torch.allclose(field[..., 0, 0], knots[..., 0, 0], atol=1e-4))
        self.assertTrue(torch.allclose(field[..., -1, -1], knots[..., -1, -1], atol=1e-4))


class Stores(unittest.TestCase):
    def test_an_interrupted_store_goes_on_and_ends_in_the_same_bytes(self):
        with tempfile.TemporaryDirectory() as folder:
            whole, broken = os.path.join(folder, "a"), os.path.join(folder, "b")
            fill(whole, 24, 3, report=False)
            fill(broken, 24, 3, report=False)
            with open(os.path.join(broken, "done.txt"), "w", encoding="ascii") as note:
                note.write("16")
            lines = torch.from_numpy(open_store(whole).lines.copy())
            damaged = np.load(os.path.join(broken, "lines.npy"), mmap_mode="r+")
            damaged[16:] = 0
            damaged.flush()
            fill(broken, 24, 3, report=False)
            self.assertTrue(torch.equal(lines, torch.from_numpy(open_store(broken).lines.copy())))


if __name__ == "__main__":
    unittest.main()
