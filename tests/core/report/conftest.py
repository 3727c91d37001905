"""What is read of a report, in the words of a statement."""

from dataclasses import replace

import pytest

from tmca_core.report import parse_report, read_facts, statement


@pytest.fixture(scope="session")
def places_of():
    """A function from a text to the lungs and zones stated of it; "" where nothing is stated."""

    def stated(text):
        facts = frozenset(replace(finding, count=None) for finding in read_facts(parse_report(text)))
        return statement(facts).removesuffix(".").partition("infection, ")[2]

    return stated
