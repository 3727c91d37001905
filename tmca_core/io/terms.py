"""What a mask outlines, in the codes that DICOM uses, so that another program knows it without reading a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Code(NamedTuple):
    """One concept: its code value, the scheme that defines it, and its meaning in words."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Term:
    """A target of segmentation.

    Attributes
    ----------
    label : str
        In words; at most 64 characters.
    category, kind : Code
        Segmented property category (CID 7150) and type.
    region : Code or None
        Where in the body, where the term itself says so.

    """

    label: str
    category: Code
    kind: Code
    region: Code | None = None


_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
_LUNG = Code("39607008", "SCT", "Lung")
_LESION = Code("52988006", "SCT", "Lesion")

TERMS: dict[str, Term] = {
    "lesion": Term("Lesion", _ABNORMAL, _LESION),
    "opacity": Term("Opacity", _ABNORMAL, Code("112001", "DCM", "Opacity"), _LUNG),
    "consolidation": Term("Consolidation", _ABNORMAL, Code("9656002", "SCT", "Consolidation"), _LUNG),
    "nodule": Term("Nodule", _ABNORMAL, Code("27925004", "SCT", "Nodule")),
    "lung": Term("Lung", _ANATOMY, _LUNG),
    "breast lesion": Term("Breast lesion", _ABNORMAL, _LESION, Code("76752008", "SCT", "Breast")),
    "glioma": Term("Glioma", _ABNORMAL, Code("393564001", "SCT", "Glioma"), Code("12738006", "SCT", "Brain")),
    "polyp": Term("Polyp", _ABNORMAL, Code("68496003", "SCT", "Polyp of colon"), Code("71854001", "SCT", "Colon")),
    "nucleus": Term("Nucleus", _ANATOMY, Code("84640000", "SCT", "Nucleus")),
}
_LONGEST_LABEL = 64


def term_of(name: str) -> Term:
    """Return the term of that name, whatever its case; any other name becomes a lesion with the name as its label."""
    known = TERMS.get(name.strip().lower())
    return known or Term(name.strip()[:_LONGEST_LABEL] or "Lesion", _ABNORMAL, _LESION)


def names_of_labels(labels: list[int], names: dict[int, str] | None) -> dict[int, str]:
    """Return a name for every label: the one given, else "lesion", numbered where there are several."""
    given = names or {}
    return {label: given.get(label, "lesion" if len(labels) == 1 else f"Lesion {label}") for label in labels}
