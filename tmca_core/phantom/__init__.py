"""The digital chest radiograph: pixels computed from anatomy, an exact mask, a matching report."""

from tmca_core.phantom.bones import RibFracture
from tmca_core.phantom.findings import PhantomFinding, draw_findings
from tmca_core.phantom.phantom import Phantom, make_phantom
from tmca_core.phantom.wording import describe_findings

__all__ = [
    "Phantom",
    "PhantomFinding",
    "RibFracture",
    "describe_findings",
    "draw_findings",
    "make_phantom",
]
