"""The digital chest radiograph: its pixels, mask and report agree with what was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from tmca_core.phantom import PhantomFinding, RibFracture, make_phantom

LEFT_LOWER = PhantomFinding("left", ("lower",), "consolidation")
BOTH_LUNGS = (
    PhantomFinding("right", ("upper", "middle", "lower")),
    PhantomFinding("left", ("upper", "middle", "lower")),
)


def test_same_seed_gives_same_phantom() -> None:
    first, second = make_phantom(7), make_phantom(7)
    np.testing.assert_array_equal(first.scan.pixels, second.scan.pixels)
    np.testing.assert_array_equal(first.mask, second.mask)
    assert (first.report_text, first.findings, first.seed) == (second.report_text, second.findings, 7)


def test_other_seed_gives_other_film() -> None:
    assert not np.array_equal(make_phantom(1).scan.pixels, make_phantom(2).scan.pixels)


@pytest.mark.parametrize("shape", [(16, 16), (33, 47), (224, 224), (200, 320), (320, 200), (512, 400)], ids=str)
def test_any_shape_covers_the_same_field(shape: tuple[int, int]) -> None:
    phantom = make_phantom(3, shape, findings=[LEFT_LOWER])
    assert phantom.scan.pixels.shape == phantom.mask.shape == phantom.lungs.shape == shape
    assert phantom.scan.pixels.dtype == np.uint8
    assert phantom.mask.any()
    assert phantom.scan.spacing_mm == pytest.approx((350 / min(shape),) * 2)
    assert phantom.scan.modality == "DX"


def test_more_pixels_show_the_same_patient() -> None:
    coarse, fine = make_phantom(5, (112, 112), findings=()), make_phantom(5, (448, 448), findings=())
    shrunk = fine.lungs[2::4, 2::4]
    assert np.mean((shrunk > 0) == (coarse.lungs > 0)) > 0.98


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("zone", "third"), [("upper", 0), ("middle", 1), ("lower", 2)])
@pytest.mark.parametrize("seed", range(4))
def test_mask_lies_in_the_stated_zone(seed: int, side: str, zone: str, third: int) -> None:
    phantom = make_phantom(seed, findings=[PhantomFinding(side, (zone,))])  # type: ignore[arg-type]
    lung = phantom.lungs == (1 if side == "right" else 2)
    assert phantom.mask.any()
    assert not (phantom.mask & ~lung).any()
    rows, top, bottom = np.nonzero(phantom.mask)[0], *_rows(lung)
    height = (rows - top) / (bottom - top)
    assert np.mean((height > third / 3 - 0.1) & (height < (third + 1) / 3 + 0.1)) > 0.95


def _rows(lung: np.ndarray) -> tuple[int, int]:
    rows = np.nonzero(lung.any(axis=1))[0]
    return int(rows[0]), int(rows[-1])


def test_patients_left_is_at_the_right_of_the_picture() -> None:
    phantom = make_phantom(4, findings=[LEFT_LOWER])
    columns = np.nonzero(phantom.mask)[1]
    assert columns.min() > 0.45 * phantom.mask.shape[1]


@pytest.mark.parametrize("seed", range(12))
def test_connected_areas_are_as_many_as_the_findings_say(seed: int) -> None:
    phantom = make_phantom(seed)
    assert label(phantom.mask, np.ones((3, 3)))[1] == sum(len(finding.areas) for finding in phantom.findings)


@pytest.mark.parametrize("density", ["ground-glass", "mixed", "consolidation"])
@pytest.mark.parametrize("seed", range(4))
def test_opacity_is_brighter_than_the_same_film_without_it(seed: int, density: str) -> None:
    findings = [PhantomFinding("right", ("middle", "lower"), density)]  # type: ignore[arg-type]
    diseased, normal = make_phantom(seed, findings=findings), make_phantom(seed, findings=())
    added = diseased.scan.pixels.astype(int) - normal.scan.pixels
    exposed = normal.scan.pixels > 0  # the collimator's border stays black
    assert added[diseased.mask & exposed].mean() > 8
    far = exposed & (diseased.lungs == 2)
    assert abs(added[far].mean()) < 3


def test_whole_lungs_are_mostly_covered() -> None:
    phantom = make_phantom(11, findings=BOTH_LUNGS)
    assert phantom.mask[phantom.lungs > 0].mean() > 0.6


def test_normal_film_has_empty_mask() -> None:
    phantom = make_phantom(0, findings=())
    assert not phantom.mask.any()
    assert phantom.findings == ()


def test_drawn_phantoms_are_sometimes_normal_and_mostly_not() -> None:
    empty = [not make_phantom(seed, (32, 32)).findings for seed in range(100)]
    assert 3 <= sum(empty) <= 30


def test_film_uses_the_grey_range() -> None:
    for seed in range(5):
        pixels = make_phantom(seed, findings=()).scan.pixels
        assert np.ptp(pixels) > 120
        assert 0 < pixels.mean() < 220


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 0, "shape": (15, 100)}, "shape"),
        ({"seed": 0, "shape": (64, 64, 3)}, "shape"),
        ({"seed": 0, "findings": [LEFT_LOWER, LEFT_LOWER]}, "one finding per side"),
    ],
    ids=["negative seed", "too small", "not 2-D", "side twice"],
)
def test_misuse_is_named(kwargs: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make_phantom(**kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [("up", ("lower",)), ("left", ()), ("left", ("base",)), ("left", ("lower",), "thick")],
    ids=["side", "no zone", "zone", "density"],
)
def test_unknown_finding_is_refused(values: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        PhantomFinding(*values)  # type: ignore[arg-type]


def test_zones_are_put_in_order() -> None:
    assert PhantomFinding("left", ("lower", "upper")).zones == ("upper", "lower")


def test_a_broken_rib_shows_where_the_mask_says_and_nowhere_else():
    whole = make_phantom(4, findings=())
    broken = make_phantom(4, findings=(), fractures=(RibFracture("left", 6),))
    change = np.abs(np.asarray(broken.scan.pixels, int) - np.asarray(whole.scan.pixels, int))
    assert broken.mask.any()
    assert change[broken.mask].mean() > 20
    assert change[~broken.mask].mean() < 2
    assert np.nonzero(broken.mask)[1].mean() > broken.mask.shape[1] / 2, "the patient's left is at the right"
    assert broken.report_text == "Healing fracture of the left sixth rib."
    with pytest.raises(ValueError, match="a rib 3 to 9"):
        RibFracture("left", 12)
