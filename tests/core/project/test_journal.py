from __future__ import annotations

import numpy as np
import pytest

from tmca_core.errors import ProjectError
from tmca_core.project import Journal, read_journal
from tmca_core.project import journal as journal_module
from tmca_core.report import Choice, Choices


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.tmca"


def draw(path, steps=5, shape=(3, 20, 30)):
    rng, states = np.random.default_rng(0), []
    journal, mask = Journal(path), np.zeros(shape, dtype=np.uint16)
    sizes = []
    for _ in range(steps):
        mask[tuple(rng.integers(0, n, 40) for n in shape)] = rng.integers(0, 300)
        journal.write_mask(mask)
        states.append(mask.copy())
        sizes.append(path.stat().st_size)
    journal.close()
    return states, sizes


def test_looking_leaves_no_trace(path):
    Journal(path).close()
    assert not path.exists()
    assert read_journal(path) is None


def test_everything_comes_back(path):
    journal = Journal(path)
    mask, ai = np.zeros((6, 5), dtype=np.uint8), np.ones((6, 5), dtype=np.uint8)
    journal.write_report("Näheres \ud800.")
    choices = Choices("ab", (Choice(0, 8, False),))
    assert [journal.write_choices(choices) for _ in range(2)] == [1, 0]
    journal.write_ai(ai, {"model": "tiny"})
    assert journal.write_mask(mask) == 0
    mask[2, 3] = 7
    assert journal.write_mask(mask) == 1
    assert journal.write_mask(mask) == 0
    found = read_journal(path)
    assert np.array_equal(found.mask, mask)
    assert np.array_equal(found.ai, ai)
    assert (found.report, found.provenance, found.note) == ("Näheres \ud800.", {"model": "tiny"}, "")
    assert found.choices == choices
    journal.remove()
    assert not path.exists()


def test_a_tail_cut_at_any_byte_gives_the_record_before(path):
    states, sizes = draw(path)
    whole = path.read_bytes()
    for length in range(sizes[1], len(whole) + 1, 7):
        path.write_bytes(whole[:length])
        expected = states[max(i for i, size in enumerate(sizes) if size <= length)]
        assert np.array_equal(read_journal(path).mask, expected)


def test_a_flipped_bit_ends_the_reading_before_it_and_is_told(path):
    states, sizes = draw(path)
    content = bytearray(path.read_bytes())
    content[sizes[2] + 20] ^= 4
    path.write_bytes(bytes(content))
    found = read_journal(path)
    assert np.array_equal(found.mask, states[2])
    assert "damaged" in found.note


@pytest.mark.parametrize("content", [b"", b"TMC", b"something else", b"TMCAJ9\nxxxxxxxxxxxx"])
def test_what_is_no_journal_gives_nothing(path, content):
    path.write_bytes(content)
    assert read_journal(path) is None


def test_a_mask_of_another_shape_starts_anew(path):
    with Journal(path) as journal:
        journal.write_mask(np.ones((4, 4), dtype=np.uint8))
        journal.write_mask(np.full((2, 3), 5, dtype=np.uint8))
    assert np.array_equal(read_journal(path).mask, np.full((2, 3), 5))


def test_a_long_journal_is_written_anew(path, monkeypatch):
    monkeypatch.setattr(journal_module, "RESTART_BYTES", 2000)
    rng = np.random.default_rng(0)
    journal, mask = Journal(path, sync=False), np.zeros((60, 60), dtype=np.uint8)
    journal.write_report("Text.")
    journal.write_ai(np.ones((60, 60), dtype=np.uint8), {"m": 1})
    for _ in range(60):
        mask[rng.integers(0, 60), :] = rng.integers(0, 9)
        journal.write_mask(mask)
    journal.close()
    found = read_journal(path)
    assert np.array_equal(found.mask, mask)
    assert (found.report, found.provenance, int(found.ai.sum())) == ("Text.", {"m": 1}, 3600)
    assert path.stat().st_size < 4000


def test_labels_beyond_16_bits_are_refused(path):
    with pytest.raises(ProjectError, match=r"0\.\.65535"):
        Journal(path).write_mask(np.full((2, 2), 70_000))


def test_a_journal_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(ProjectError, match="autosave could not be written"):
        Journal(tmp_path / "no folder" / "j").write_mask(np.ones((2, 2), dtype=np.uint8))
