"""Text to facts and facts to text: sections, sentences, findings, places, negation. Rules are data, in *.toml."""

from tmca_core.report.choices import Choice, Choices, choices_from_json, choices_in, overrule, uses_of
from tmca_core.report.facts import Facts, read_facts, states_opacity_alone, swap_facts
from tmca_core.report.files import read_report
from tmca_core.report.identity import Identity, find_identity, remove_identity
from tmca_core.report.marks import Mark, marks_in
from tmca_core.report.parse import parse_report
from tmca_core.report.sides import swap_sides
from tmca_core.report.told import Telling, instruction, statement, tellings, told_sentences
from tmca_core.report.words import words_in
from tmca_core.report.write import add_company, held_out_writers, training_writers, write_report

__all__ = [
    "Choice",
    "Choices",
    "Facts",
    "Identity",
    "Mark",
    "Telling",
    "add_company",
    "choices_from_json",
    "choices_in",
    "find_identity",
    "held_out_writers",
    "instruction",
    "marks_in",
    "overrule",
    "parse_report",
    "read_facts",
    "read_report",
    "remove_identity",
    "statement",
    "states_opacity_alone",
    "swap_facts",
    "swap_sides",
    "tellings",
    "told_sentences",
    "training_writers",
    "uses_of",
    "words_in",
    "write_report",
]
