"""Text to meaning: sections, sentences, sides, negation. Rules are data, in rules.toml."""

from tmca_core.report.parse import parse_report, read_report
from tmca_core.report.sides import swap_sides

__all__ = ["parse_report", "read_report", "swap_sides"]
