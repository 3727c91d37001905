"""Which report each case is given in an evaluation: its own, none, another case's, the other side's, or a file's."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.data.table import count, name_some, read_table
from tmca_core.errors import DatasetError
from tmca_core.report import (
    add_company,
    held_out_writers,
    parse_report,
    read_facts,
    states_opacity_alone,
    swap_sides,
    write_report,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from tmca_core.data import Case


class ReportMode(StrEnum):
    """How an evaluation chooses the reports.

    ``GIVEN``: each case's own. ``NONE``: no report. ``SHUFFLED``: another case's of the same split, seeded.
    ``SIDE_SWAPPED``: its own with left and right exchanged. ``REWORDED``: the facts of its own in the words of writers
    that no training uses, seeded; a report that states something else than opacities stays as it is.
    """

    GIVEN = "given"
    NONE = "none"
    SHUFFLED = "shuffled"
    SIDE_SWAPPED = "side-swapped"
    REWORDED = "reworded"


def choose_reports(
    cases: Sequence[Case], reports: ReportMode | Mapping[str, str], *, seed: int = 0
) -> dict[str, str | None]:
    """Return the report of every case; ``None`` asks for image-only mode.

    Parameters
    ----------
    cases : sequence of Case
        The cases of one split.
    reports : ReportMode or Mapping of str to str
        A mode, or texts by case id.
    seed : int
        Seed of the shuffle, or of the words.

    Raises
    ------
    DatasetError
        If texts are given and some cases have none (all named).

    """
    if not isinstance(reports, ReportMode):
        _refuse_missing(cases, reports)
        return {case.id: reports[case.id] for case in cases}
    if reports is ReportMode.NONE:
        return {case.id: None for case in cases}
    if reports is ReportMode.SHUFFLED:
        return dict(zip((case.id for case in cases), shuffle_texts([case.text for case in cases], seed), strict=True))
    if reports is ReportMode.SIDE_SWAPPED:
        return {case.id: swap_sides(case.text) for case in cases}
    if reports is ReportMode.REWORDED:
        rng = np.random.default_rng(seed)
        return {case.id: reword(case.text, rng) for case in cases}
    return {case.id: case.text for case in cases}


def reword(text: str, rng: np.random.Generator) -> str:
    """Return the facts of a report in words that the network was never trained on.

    Amid sentences about something else, now and then in capitals, under headings or misspelt, as reports are. A report
    that is not about opacities alone would lose something and is returned as it is.
    """
    facts = read_facts(parse_report(text))
    if not states_opacity_alone(facts):
        return text
    names = held_out_writers()
    return write_report(
        add_company(facts, rng),
        rng,
        writer=names[int(rng.integers(len(names)))],
        neutral=int(rng.integers(3)),
        sections=bool(rng.random() < 0.3),
        capitals=bool(rng.random() < 0.15),
        typos=bool(rng.random() < 0.2),
    )


def shuffle_texts(texts: Sequence[str], seed: int) -> list[str]:
    """Deal the texts out anew so that as few places as possible keep the same text.

    Equal texts are laid side by side, in a random order, and everything moves on by the size of the largest group. No
    place keeps its text unless one text fills more than half of the places, and then no deal does better.

    Parameters
    ----------
    texts : sequence of str
        One text per place; texts may repeat.
    seed : int
        The same seed gives the same deal.

    """
    if not texts:
        return []
    rng = np.random.default_rng(seed)
    sizes = Counter(texts)
    order_of_group = dict(zip(sizes, rng.permutation(len(sizes)), strict=True))
    places = sorted(rng.permutation(len(texts)), key=lambda place: order_of_group[texts[place]])
    step = max(sizes.values())
    dealt = list(texts)
    for position, place in enumerate(places):
        dealt[place] = texts[places[(position + step) % len(places)]]
    return dealt


def read_reports_file(path: str | PathLike[str]) -> dict[str, str]:
    """Read a table ``id,text`` of reports; a blank text asks for image-only mode.

    Raises
    ------
    DatasetError
        If it is no such table, or repeats an id.

    """
    rows = read_table(Path(path), ("id", "text"), ("id",))
    return {row["id"]: row["text"] for row in rows}


def _refuse_missing(cases: Sequence[Case], texts: Mapping[str, str]) -> None:
    absent = [case.id for case in cases if case.id not in texts]
    if absent:
        raise DatasetError(
            f"Reports: expected a text for each of {count(len(cases), 'cases')}, {len(absent):,} have none: "
            f"{name_some(absent)}.",
            hint="Add these ids to the table of reports; a blank text stands for no report.",
        )
