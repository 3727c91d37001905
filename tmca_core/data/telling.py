"""What the network is told of a picture while it trains: its report, the same in other words, another's, or nothing.

One set of weights has to serve a picture with its report in anybody's words, one without, and one with a report that
belongs elsewhere; so training shows all of them. A wrong report is to be seen through, and leaves the target as it is.
A report that denies what the target shows is obeyed: its target is empty.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from tmca_core.report import (
    add_company,
    parse_report,
    states_opacity_alone,
    swap_facts,
    swap_sides,
    told_sentences,
    training_writers,
    write_report,
)
from tmca_core.study import Finding, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tmca_core.data.loader import Sample
    from tmca_core.report import Facts

_ALL_ZONES = ("upper", "middle", "lower")
_DENIED: Facts = frozenset({Finding("opacity", "denied")})


class TellingConfig(BaseModel):
    """Shares of the cases, each drawn for itself; the rest is told its own report.

    ``dropout``: nothing at all. ``instruction_only``: the target's name without a report, where the folder names
    targets. ``mismatch``: the report of another case of the same folder and target, the farther off of two.
    ``rewrite``: the report's facts in the words of one of `tmca_core.report.training_writers`, amid sentences about
    something else; only for a report that affirms opacities and states nothing else. ``denied``: of these, "lungs are
    clear" in many words. ``statement``: of what is told, with the statement of its facts in the place of
    its words, as `tmca_core.report.told_sentences` gives it at prediction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dropout: float = Field(default=0.2, ge=0, lt=1)
    instruction_only: float = Field(default=0.0, ge=0, lt=1)
    mismatch: float = Field(default=0.0, ge=0, lt=1)
    rewrite: float = Field(default=0.0, ge=0, lt=1)
    denied: float = Field(default=0.0, ge=0, lt=1)
    statement: float = Field(default=0.0, ge=0, le=1)


class Told(NamedTuple):
    """Sentences, whether they deny the target, and whether they come from the case's own report."""

    sentences: tuple[str, ...]
    is_denied: bool = False
    is_own: bool = True


class Teller:
    """Draws what is told of each sample of a batch.

    Parameters
    ----------
    samples : sequence of Sample
        All that are trained on; another case's report is taken from among them.
    config : TellingConfig
        The shares.

    """

    def __init__(self, samples: Sequence[Sample], config: TellingConfig) -> None:
        self.samples, self.config = samples, config
        self.alike: dict[tuple[int, str], list[int]] = defaultdict(list)
        for index, sample in enumerate(samples):
            self.alike[sample.source, sample.target].append(index)

    def tell(self, batch: Sequence[Sample], mirrored: Sequence[bool], generator: torch.Generator) -> list[Told]:
        """Return what is told of each sample of a batch.

        Parameters
        ----------
        batch : sequence of Sample
            The batch.
        mirrored : sequence of bool
            Whose picture was mirrored: left and right change places in what is told of it.
        generator : torch.Generator
            On the CPU; the only source of chance.

        """
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        return [self._tell(sample, is_mirrored, rng) for sample, is_mirrored in zip(batch, mirrored, strict=True)]

    def _tell(self, sample: Sample, is_mirrored: bool, rng: np.random.Generator) -> Told:
        config, draw = self.config, rng.random(6)
        if draw[0] < config.dropout:
            return Told(())
        if sample.instruction and draw[1] < config.instruction_only:
            return Told(_lead(sample, (), is_mirrored))
        if draw[2] < config.denied and states_opacity_alone(sample.facts):
            return Told(_lead(sample, _write(_DENIED, rng), is_mirrored), is_denied=True)
        is_own = draw[3] >= config.mismatch
        told = sample if is_own else self._another(sample, rng)
        facts = swap_facts(told.facts) if is_mirrored else told.facts
        if draw[4] < config.rewrite and states_opacity_alone(facts):
            report = _write(_vaguer(facts, rng), rng)
        else:
            report = tuple(swap_sides(s) for s in told.report) if is_mirrored else told.report
        if draw[5] < config.statement:
            report = told_of(report)
        return Told(_lead(sample, report, is_mirrored), is_own=is_own)

    def _another(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the one of two other cases that is farther off: a report that is nearly right would teach doubt."""
        alike, own = self.alike[sample.source, sample.target], _zones(sample.facts)
        first, second = (self.samples[alike[int(i)]] for i in rng.integers(len(alike), size=2))
        return max(first, second, key=lambda other: len(_zones(other.facts) ^ own))


def told_of(sentences: Sequence[str]) -> tuple[str, ...]:
    """Return what a network is told, at prediction, of a report of these sentences."""
    # Parted by empty lines, for a sentence of a list may end without a full stop.
    return told_sentences(parse_report("\n\n".join(sentences)))


def _lead(sample: Sample, report: tuple[str, ...], is_mirrored: bool) -> tuple[str, ...]:
    if not sample.instruction:
        return report
    return (swap_sides(sample.instruction) if is_mirrored else sample.instruction, *report)


def _zones(facts: Facts) -> set[tuple[str, str]]:
    """Return the side and the zone of everything found; a lung without a zone is all of it."""
    places = (place for finding in facts if finding.certainty != "denied" for place in finding.places)
    return {(place.side, zone) for place in places for zone in place.zones or _ALL_ZONES}


def _vaguer(facts: Facts, rng: np.random.Generator) -> Facts:
    """Leave out the number, and now and then the zones, as everyday reports do."""
    without_count, without_zones = rng.random() < 0.5, rng.random() < 0.1
    return frozenset(
        replace(
            finding,
            count=None if without_count else finding.count,
            places=frozenset(Place(p.side) for p in finding.places) if without_zones else finding.places,
        )
        for finding in facts
    )


def _write(facts: Facts, rng: np.random.Generator) -> tuple[str, ...]:
    """Return the sentences that the network is given of a newly written report."""
    names = training_writers()
    text = write_report(
        add_company(facts, rng) if rng.random() < 0.6 else facts,
        rng,
        writer=names[int(rng.integers(len(names)))],
        neutral=int(rng.integers(3)) if rng.random() < 0.5 else 0,
        sections=bool(rng.random() < 0.2),
        capitals=bool(rng.random() < 0.15),
        typos=bool(rng.random() < 0.2),
    )
    report = parse_report(text)
    return tuple(report.sentences[i].text for i in report.used)
