"""Methods of known differences: told apart where they are, and not where nothing tells them apart."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from tmca_core.cli import main
from tmca_core.errors import DatasetError
from tmca_core.recipes.compare import compare, read_case_table


def save(path, dice, patients=None):
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["split", "id", "patient", "dice"])
        for n, value in enumerate(dice):
            writer.writerow(["val", f"c{n}", patients[n] if patients else f"p{n}", value])
    return path


def tables(tmp_path, patients=None, **methods):
    return [read_case_table(save(tmp_path / f"{name}.csv", dice, patients)) for name, dice in methods.items()]


RNG = np.random.default_rng(0)
HARD = RNG.uniform(0.2, 0.9, 60)


def test_a_small_steady_gain_is_told_apart_because_cases_are_paired(tmp_path):
    found = compare(tables(tmp_path, a=HARD, b=HARD + 0.01 + RNG.normal(0, 0.01, 60)))
    (difference,) = found.differences
    assert (found.standings[0].name, found.num_cases, found.num_patients) == ("b", 60, 60)
    assert difference.is_told_apart
    assert difference.sentence.startswith("b is better than a: difference 0.01")
    assert found.standings[0].high - found.standings[0].low > 5 * (difference.high - difference.low)


def test_noise_is_not_told_apart(tmp_path):
    found = compare(tables(tmp_path, a=HARD, b=HARD + RNG.normal(0, 0.05, 60)))
    assert not found.differences[0].is_told_apart
    assert "cannot be told apart on these cases" in found.differences[0].sentence
    assert sum(standing.rank_one for standing in found.standings) == pytest.approx(1.0)


def test_many_pictures_of_one_patient_are_one_piece_of_evidence(tmp_path):
    gain = np.where(np.arange(60) < 50, 0.05, -0.03)  # 50 pictures of one patient, ten of others
    patients = ["p"] * 50 + [f"q{n}" for n in range(10)]
    assert compare(tables(tmp_path, a=HARD, b=HARD + gain)).differences[0].is_told_apart
    assert not compare(tables(tmp_path, patients, a=HARD, b=HARD + gain)).differences[0].is_told_apart


def test_equal_methods_share_the_first_rank(tmp_path):
    found = compare(tables(tmp_path, a=HARD, b=HARD, c=HARD - 0.1))
    assert [round(standing.rank_one, 3) for standing in found.standings] == [0.5, 0.5, 0.0]
    assert [d.is_told_apart for d in found.differences] == [False, True, True]


def test_other_cases_are_named(tmp_path):
    a, b = tables(tmp_path, a=HARD, b=HARD[:-2])
    with pytest.raises(DatasetError, match="2 cases stand in one of them only: val/c58, val/c59"):
        compare([a, b])
    with pytest.raises(DatasetError, match="two or more methods of different names, got a, a"):
        compare([a, a])


@pytest.mark.parametrize(("value", "match"), [("x", "expected numbers in the column 'dice', got 'x'"), ("nan", "got")])
def test_what_is_no_number_is_said(tmp_path, value, match):
    with pytest.raises(DatasetError, match=match):
        read_case_table(save(tmp_path / "a.csv", [0.5, value]))


def test_the_command_prints_standings_and_a_sentence(tmp_path, capsys):
    for name, dice in (("a", HARD), ("b", HARD + 0.02)):
        save(tmp_path / f"{name}.csv", dice)
    with pytest.raises(SystemExit) as stop:
        main(["compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--json", str(tmp_path / "c.json")])
    out = capsys.readouterr().out
    assert stop.value.code == 0
    assert "60 cases of 60 patients" in out
    assert "b is better than a" in out
    assert "100.0%" in out
    assert (tmp_path / "c.json").exists()
