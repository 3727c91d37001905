from __future__ import annotations

import numpy as np

from tmca_core.metrics import dice
from tmca_core.recipes.clinician import GOOD_ENOUGH, correct
from tmca_core.recipes.next_case import CaseSeen, Order, choose
from tmca_core.recipes.simulate import CaseCorrected, draw_effort


def unit(angle):
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def test_unsure_cases_come_first_and_not_two_of_a_kind():
    seen = [
        CaseSeen("sure", 0.1, 0.1, unit(0.0)),
        CaseSeen("unsure", 0.9, 0.8, unit(1.0)),
        CaseSeen("its twin", 0.89, 0.79, unit(1.001)),
        CaseSeen("elsewhere", 0.7, 0.7, unit(2.5)),
    ]
    chosen = choose(seen, 3, learned=[unit(0.0)])
    assert set(chosen[:2]) & {"unsure", "elsewhere"}
    assert chosen.index("elsewhere") < 2, "a picture like no other is worth more than a twin"
    assert len(set(chosen)) == 3


def test_other_orders_and_no_case():
    seen = [CaseSeen(str(i), 0.0, 0.0, unit(i)) for i in range(5)]
    assert choose(seen, 2, order=Order.IN_ORDER) == ["0", "1"]
    drawn = choose(seen, 3, order=Order.RANDOM, seed=1)
    assert drawn == choose(seen, 3, order=Order.RANDOM, seed=1)
    assert len(set(drawn)) == 3
    assert choose([], 3) == []
    assert len(choose(seen, 9)) == 5


def disc(y, x, radius):
    rows, columns = np.ogrid[:96, :96]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def test_a_simulated_clinician_ends_near_the_reference_and_a_good_mask_costs_nothing():
    rng = np.random.default_rng(0)
    reference = disc(50, 40, 18)
    assert correct(reference, reference, rng).num_strokes == 0
    near = correct(disc(52, 42, 18), reference, rng, error_px=0.5)
    far = correct(np.zeros_like(reference), reference, rng, error_px=0.5)
    assert dice(near.mask, reference) >= GOOD_ENOUGH
    assert dice(far.mask, reference) >= GOOD_ENOUGH
    assert far.num_pixels > near.num_pixels > 0
    assert far.painted.any()
    assert not (far.mask & ~far.painted).any()


def test_what_is_not_there_is_erased():
    made = correct(disc(20, 20, 10), np.zeros((96, 96), bool), np.random.default_rng(0), error_px=0.0)
    assert made.num_strokes > 0
    assert made.mask.sum() < disc(20, 20, 10).sum()


def test_the_plot_has_a_line_per_model_and_a_dot_per_case():
    rows = [CaseCorrected(i + 1, f"c{i}", f"m{i // 2}", 0.5, 0.9, 4 - i, 100) for i in range(4)]
    drawn = draw_effort(rows)
    assert drawn.count("<circle") == 4
    assert drawn.count("#d9822b") == 2
