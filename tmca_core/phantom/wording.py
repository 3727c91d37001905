"""Findings put into words: the terse grammar of the benchmark, or a radiologist's prose. Sides are the patient's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from tmca_core.phantom.findings import ZONES, check_findings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

    from tmca_core.phantom.bones import RibFracture
    from tmca_core.phantom.findings import Density, PhantomFinding

Style = Literal["benchmark", "prose"]

COUNTS = ("no", "one", "two", "three", "four")
NOUNS: dict[Density, tuple[str, ...]] = {
    "ground-glass": (
        "ground-glass opacity",
        "hazy opacity",
        "hazy opacification",
        "faint opacity",
    ),
    "mixed": (
        "patchy airspace opacity",
        "airspace opacity",
        "patchy opacity",
        "infiltrate",
        "airspace disease",
    ),
    "consolidation": (
        "consolidation",
        "dense consolidation",
        "airspace consolidation",
        "confluent opacity",
    ),
}
SINGLE = (
    "{Noun} in the {place}.",
    "{Noun} is seen in the {place}.",
    "There is {a_noun} in the {place}.",
    "{Noun} projecting over the {place}, concerning for pneumonia.",
    "{Noun} involving the {place}.",
    "The {place} {shows} {a_noun}.",
    "{Noun} within the {place}, likely infectious.",
)
BOTH = (
    "Bilateral {zone} zone {noun}.",
    "{Noun} in both lungs, {zone} zone predominant.",
    "There is bilateral {zone} zone {noun}.",
    "Bilateral {noun} in the {zone} zones.",
)
BOTH_WHOLE = (
    "Diffuse bilateral {noun}.",
    "Extensive {noun} throughout both lungs.",
    "{Noun} in all zones of both lungs.",
    "Both lungs show diffuse {noun}.",
)
MORE_ON = (
    ", more on the {side}.",
    ", worse on the {side}.",
    ", {side} greater than {other}.",
)
NORMAL = (
    "No focal consolidation.",
    "Lungs are clear.",
    "No airspace opacity.",
    "The lungs are clear bilaterally.",
    "No focal airspace disease is identified.",
)
DISTRACTORS = (
    "No pleural effusion.",
    "No pneumothorax.",
    "No pleural effusion or pneumothorax.",
    "Heart size is normal.",
    "The cardiomediastinal silhouette is within normal limits.",
    "Heart size is at the upper limit of normal.",
    "Degenerative changes of the thoracic spine.",
    "No acute osseous abnormality.",
    "The bony thorax is intact.",
    "The aorta is unfolded.",
    "Hilar contours are normal.",
)


def describe_findings(findings: Sequence[PhantomFinding], style: Style, rng: Generator) -> str:
    """Return a report of the findings.

    Parameters
    ----------
    findings : sequence of PhantomFinding
        At most one per side; none for a normal film.
    style : {"benchmark", "prose"}
        "benchmark" is the one-sentence grammar of the QaTa-COV19 texts, right lung first; "prose" is one or two
        varied sentences about the opacities and up to three about something else.
    rng : Generator
        Chooses the words; "benchmark" draws nothing.

    Returns
    -------
    str
        Sides are the patient's.

    """
    if style not in get_args(Style):
        raise ValueError(f"style: expected one of {get_args(Style)}, got {style!r}")
    ordered = check_findings(findings)
    return _benchmark(ordered) if style == "benchmark" else _prose(ordered, rng)


def _benchmark(findings: tuple[PhantomFinding, ...]) -> str:
    if not findings:
        return "no pulmonary infection."
    reach = "bilateral" if len(findings) > 1 else "unilateral"
    count = sum(len(finding.areas) for finding in findings)
    noun = "area" if count == 1 else "areas"
    lungs = " and ".join(
        f"{'all' if finding.zones == ZONES else ' '.join(finding.zones)} {finding.side} lung" for finding in findings
    )
    return f"{reach} pulmonary infection, {COUNTS[count]} infected {noun}, {lungs}."


def _prose(findings: tuple[PhantomFinding, ...], rng: Generator) -> str:
    extra = list(rng.choice(len(DISTRACTORS), int(rng.integers(0, 4)), replace=False))
    sentences = _opacity_sentences(findings, rng) if findings else [_pick(NORMAL, rng)]
    return " ".join(sentences + [DISTRACTORS[i] for i in extra])


def _opacity_sentences(findings: tuple[PhantomFinding, ...], rng: Generator) -> list[str]:
    zones = {finding.zones for finding in findings}
    if len(findings) > 1 and len(zones) == 1 and rng.random() < 0.8:
        return [_bilateral_sentence(findings, rng)]
    return [_single_sentence(finding, rng) for finding in findings]


def _bilateral_sentence(findings: tuple[PhantomFinding, ...], rng: Generator) -> str:
    """Return one sentence for both lungs; a denser side is named where there is one."""
    zones = findings[0].zones
    noun = _pick(NOUNS[findings[0].density], rng)
    template = _pick(BOTH_WHOLE if zones == ZONES else BOTH, rng)
    sentence = template.format(noun=noun, Noun=_capital(noun), zone=_join(zones))
    order = list(NOUNS)
    weights = [order.index(finding.density) for finding in findings]
    if weights[0] != weights[1]:
        side, other = (f.side for f in (findings if weights[0] > weights[1] else findings[::-1]))
        sentence = sentence[:-1] + _pick(MORE_ON, rng).format(side=side, other=other)
    return sentence


def _single_sentence(finding: PhantomFinding, rng: Generator) -> str:
    noun = _pick(NOUNS[finding.density], rng)
    article = "an" if noun[0] in "aeio" else "a"
    a_noun = noun if noun.endswith(("consolidation", "disease", "opacification")) else f"{article} {noun}"
    place = _place(finding, rng)
    shows = "show" if place.endswith("zones") else "shows"
    return _pick(SINGLE, rng).format(Noun=_capital(noun), a_noun=a_noun, place=place, shows=shows)


def _place(finding: PhantomFinding, rng: Generator) -> str:
    """Return words for the zones of one lung: zones, lobes where they fit, or the whole lung."""
    side = finding.side
    if finding.zones == ZONES:
        return _pick((f"entire {side} lung", f"{side} lung diffusely", f"whole {side} lung"), rng)
    words = [f"{side} {_join(finding.zones)} {'zone' if len(finding.zones) == 1 else 'zones'}"]
    if finding.zones == ("lower",):
        words += [
            f"{side} lung base",
            f"{side} base",
            f"{side} lower lobe",
            f"lower {side} lung",
        ]
    elif finding.zones == ("upper",):
        words += [f"{side} upper lobe", f"upper {side} lung"]
    elif finding.zones == ("middle",):
        words += [
            f"{side} mid lung",
            "right middle lobe" if side == "right" else "lingula of the left lung",
        ]
    return _pick(tuple(words), rng)


def _join(zones: Sequence[str]) -> str:
    return " and ".join(zones)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _pick(choices: Sequence[str], rng: Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


def describe_fractures(fractures: Sequence[RibFracture]) -> str:
    """Return a report of broken ribs; sides are the patient's."""
    return " ".join(f"Healing fracture of the {f.side} {_ORDINALS[f.rib - 1]} rib." for f in fractures)
