"""Every loss against a slow float64 version written from the equations of docs/method.md, loop by loop."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d, normalize

from tmca_core.model.alignment import MultiLevelAlignment, pixel_loss, soft_contrast_loss
from tmca_core.model.losses import dice_loss, segmentation_loss
from tmca_core.model.semantic_distance import (
    foreground_vectors,
    pair_similarities,
    semantic_distances,
    soft_targets,
    target_overlaps,
)

B, D, H, W = 5, 8, 6, 7


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.fixture
def g(generator):
    return normalize(torch.randn(B, D, H, W, generator=generator), dim=1)


@pytest.fixture
def z(generator):
    return normalize(torch.randn(B, D, generator=generator), dim=-1)


@pytest.fixture
def e(generator):
    return torch.randn(B, 12, generator=generator)


@pytest.fixture
def y(generator):
    return torch.rand(B, 1, H, W, generator=generator)


def slow_foreground(g, y):
    vectors = []
    for i in range(len(g)):
        total = [0.0] * D
        for r in range(H):
            for c in range(W):
                for k in range(D):
                    total[k] += float(y[i, 0, r, c]) * float(g[i, k, r, c])
        norm = math.sqrt(sum(t * t for t in total))
        vectors.append([t / norm for t in total])
    return vectors


def slow_similarity(e, y, a):
    e = normalize(e.double(), dim=-1)
    dots = [[float((e[i] * e[j]).sum()) for j in range(len(e))] for i in range(len(e))]
    flat = y.double().flatten(1)
    s = []
    for i in range(len(e)):
        mean = sum(dots[i]) / len(e)
        row = []
        for j in range(len(e)):
            both = float((flat[i] * flat[j]).sum())
            either = float((flat[i] ** 2).sum() + (flat[j] ** 2).sum()) - both
            row.append(a * max(dots[i][j] - mean, 0.0) + (1 - a) * both / either)
        s.append(row)
    return s


def slow_softmax(row):
    top = max(row)
    exps = [math.exp(v - top) for v in row]
    return [v / sum(exps) for v in exps]


def slow_soft_loss(distances, similarities, tau, rho, tau_s):
    n = len(distances)

    def one_direction(d, s):
        total = 0.0
        for i in range(n):
            q = [rho * p + (1 - rho) * (i == j) for j, p in enumerate(slow_softmax([v / tau_s for v in s[i]]))]
            p = slow_softmax([-v / tau for v in d[i]])
            total -= sum(q[j] * math.log(p[j]) for j in range(n))
        return total / n

    def transpose(m):
        return [list(column) for column in zip(*m, strict=True)]

    return (one_direction(distances, similarities) + one_direction(transpose(distances), transpose(similarities))) / 2


def slow_pixel_loss(g, z, y, tau):
    losses = []
    for i in range(len(g)):
        cover = leak = inside = outside = 0.0
        for r in range(H):
            for c in range(W):
                score = math.exp(sum(float(g[i, k, r, c]) * float(z[i, k]) for k in range(D)) / tau)
                share = float(y[i, 0, r, c])
                cover, inside = cover + share * score, inside + share
                leak, outside = leak + (1 - share) * score, outside + 1 - share
        if inside > 0 and outside > 0:
            cover, leak = cover / inside, leak / outside
            losses.append(-math.log(cover / (cover + leak)))
    return sum(losses) / len(losses)


def test_foreground_vector_equals_the_equation(g, y):
    expected = torch.tensor(slow_foreground(g, y))
    torch.testing.assert_close(foreground_vectors(g, y), expected, rtol=1e-4, atol=1e-5)


def test_similarity_equals_the_equation(e, y):
    expected = torch.tensor(slow_similarity(e, y, a=0.3))
    torch.testing.assert_close(pair_similarities(e, y, report_weight=0.3), expected, rtol=1e-4, atol=1e-5)


def test_overlap_of_binary_targets_is_the_iou():
    a = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 2, 2)
    b = torch.tensor([0.0, 1.0, 1.0, 0.0]).reshape(1, 1, 2, 2)
    assert float(target_overlaps(torch.cat([a, b]))[0, 1]) == pytest.approx(1 / 3)


def test_soft_targets_sum_to_one_and_end_in_the_identity(e, y):
    s = pair_similarities(e, y, report_weight=0.5)
    torch.testing.assert_close(soft_targets(s, softness=0.8, temperature=0.1).sum(1), torch.ones(B))
    torch.testing.assert_close(soft_targets(s, softness=0.0, temperature=0.1), torch.eye(B))


def test_soft_contrast_equals_the_equation(g, z, e, y):
    d = semantic_distances(foreground_vectors(g, y), z)
    s = pair_similarities(e, y, report_weight=0.5)
    expected = slow_soft_loss(d.double().tolist(), s.double().tolist(), 0.07, 0.8, 0.1)
    found = soft_contrast_loss(d, s, temperature=0.07, softness=0.8, target_temperature=0.1)
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_pixel_loss_equals_the_equation(g, z, y):
    y = (y > 0.6).float()
    y[1] = 0.0  # nothing to light up: left out of the mean
    assert float(pixel_loss(g, z, y, 0.07)) == pytest.approx(slow_pixel_loss(g, z, y, 0.07), rel=1e-4)


def test_pixel_loss_of_fractional_targets_equals_the_equation(g, z, y):
    assert float(pixel_loss(g, z, y, 0.2)) == pytest.approx(slow_pixel_loss(g, z, y, 0.2), rel=1e-4)


def test_pixel_loss_survives_extreme_scores(g, y):
    z = g[:, :, 0, 0].clone()
    loss = pixel_loss(g, z, torch.zeros_like(y).index_fill_(2, torch.tensor([0]), 1.0), 0.001)
    assert math.isfinite(float(loss))


def test_dice_and_cross_entropy_equal_the_equations(generator):
    logits = 3 * torch.randn(3, 1, 4, 5, generator=generator)
    targets = (torch.rand(3, 1, 4, 5, generator=generator) > 0.5).float()
    dice = entropy = 0.0
    for i in range(3):
        p, t = logits[i].double().sigmoid().flatten().tolist(), targets[i].flatten().tolist()
        dice += 1 - (2 * sum(a * b for a, b in zip(p, t, strict=True)) + 1) / (sum(p) + sum(t) + 1)
        entropy -= sum(math.log(a) if b else math.log(1 - a) for a, b in zip(p, t, strict=True))
    assert float(dice_loss(logits, targets)) == pytest.approx(dice / 3, rel=1e-5)
    assert float(segmentation_loss(logits, targets)) == pytest.approx(dice / 3 + entropy / 60, rel=1e-5)


def test_empty_target_met_by_empty_prediction_costs_nothing():
    assert float(dice_loss(torch.full((1, 1, 4, 4), -40.0), torch.zeros(1, 1, 4, 4))) == pytest.approx(0.0, abs=1e-6)


def test_alignment_is_the_mean_over_levels_and_leaves_out_empty_targets_and_missing_reports(generator, z, e):
    levels = [normalize(torch.randn(B, D, s, s, generator=generator), dim=1) for s in (16, 8, 4, 2)]
    targets = (torch.rand(B, 1, 32, 32, generator=generator) > 0.7).float()
    targets[0] = 0.0
    has_report = torch.tensor([True, True, False, True, True])
    alignment = MultiLevelAlignment(levels=(1, 3))
    losses = alignment(levels, z, e, has_report, targets)
    keep, soft, pixel = [1, 3, 4], [], []
    for level in (1, 3):
        g = levels[level - 1]
        y = adaptive_avg_pool2d(targets, g.shape[-2:])
        d = semantic_distances(foreground_vectors(g, y)[keep], z[keep])
        s = pair_similarities(e[keep], y[keep], report_weight=0.5)
        soft.append(soft_contrast_loss(d, s, temperature=0.07, softness=0.8, target_temperature=0.1))
        pixel.append(pixel_loss(g, z, y, 0.07))
    assert losses.soft.item() == pytest.approx(torch.stack(soft).mean().item(), rel=1e-5)
    assert losses.pixel.item() == pytest.approx(torch.stack(pixel).mean().item(), rel=1e-5)


def test_soft_targets_do_not_pass_gradient_to_the_reports(g, z, e, y):
    e.requires_grad_()
    alignment = MultiLevelAlignment(levels=(1,), use_pixel=False)
    losses = alignment([g], z.requires_grad_(), e, torch.ones(B, dtype=torch.bool), y)
    losses.soft.backward()
    assert e.grad is None
    assert z.grad is not None
