"""Progress in place on a terminal and by the minute elsewhere; sizes, times and tables for people."""

from __future__ import annotations

import io

import pytest

from tmca_core import terminal
from tmca_core.terminal import ProgressLine, format_bytes, format_duration, format_table, printable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that the test turns."""
    now = {"s": 0.0}
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now["s"])
    return now


def test_a_terminal_sees_one_line_that_vanishes(clock):
    stream = Terminal()
    with ProgressLine(stream) as line:
        for done in (1, 50):
            clock["s"] += 1
            line.show_count("val", done, 100)
    shown = stream.getvalue().split("\r")
    assert [text.rstrip() for text in shown[1:3]] == [
        "val 1 of 100 (1%), 1:39 min left",
        "val 50 of 100 (50%), 2 s left",
    ]
    assert len(shown[2]) == len(shown[1])
    assert shown[3].isspace()
    assert "\n" not in stream.getvalue()


def test_a_log_file_gets_a_line_a_minute(clock):
    stream = io.StringIO()
    with ProgressLine(stream) as line:
        for done in range(1, 13):
            clock["s"] += 10
            line.show_count("val", done, 100)
    assert stream.getvalue().splitlines() == [
        "val 6 of 100 (6%), 15:40 min left",
        "val 12 of 100 (12%), 14:40 min left",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (125, "2:05 min"), (3725, "1:02:05 h")]
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (999, "999 bytes"), (38_200_000, "38.2 MB"), (2.5e12, "2500.0 GB")]
)
def test_sizes(size, text):
    assert format_bytes(size) == text


def test_tables_align_names_left_and_numbers_right():
    assert format_table(("split", "n"), [("val", "7"), ("testing", "1,429")]).splitlines() == [
        "split        n",
        "val          7",
        "testing  1,429",
    ]


def test_control_characters_and_long_texts_do_not_reach_the_terminal():
    assert printable("a\x1b[31m\tb\n\nc\u202e") == "a [31m b c"
    assert printable("x" * 200, limit=10) == "xxxxxxx..."
