"""Report files: plain text, Word documents, DICOM structured reports."""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from tmca_core.errors import ReportError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom import Dataset

MAX_BYTES = 5_000_000
_MAX_DOCUMENT_BYTES = 20_000_000  # of a Word document's text part, unpacked
_MAX_DEPTH = 30
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_KINDS = "Choose a .txt, .docx or DICOM SR file."


def read_report(path: Path) -> str:
    """Read the text of a report file: plain text, a Word document (.docx), or a DICOM structured report.

    Plain text may be UTF-8, UTF-16 with a byte order mark, or Latin-1. The content decides, not the name.

    Raises
    ------
    ReportError
        If the file is missing, not readable, too large, damaged, or no report.

    """
    content = _bytes_of(path)
    if content.startswith(b"PK\x03\x04"):
        return _docx_text(path.name, content)
    if content[128:132] == b"DICM":
        return _sr_text(path.name, content)
    text = _decode(content)
    if text is None:
        raise ReportError(f"{path.name}: expected text, got binary data.", hint=_KINDS)
    return text


def _bytes_of(path: Path) -> bytes:
    try:
        content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        reason = "is a folder" if path.is_dir() else "is missing or cannot be read"
        raise ReportError(f"{path}: expected a report file, and it {reason}.", hint=_KINDS) from error
    if content is None:
        raise ReportError(f"{path.name}: expected a report, got a file of over 5 MB.", hint=_KINDS)
    return content


def _docx_text(name: str, content: bytes) -> str:
    """Return the paragraphs of a Word document; what it unpacks to is counted while it is unpacked."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive, archive.open("word/document.xml") as file:
            xml = file.read(_MAX_DOCUMENT_BYTES + 1)
    except (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        hint = "Open it in a word processor, and save it again as .docx or as text."
        raise ReportError(f"{name}: expected a Word document, got a damaged or other archive.", hint=hint) from error
    if len(xml) > _MAX_DOCUMENT_BYTES:
        raise ReportError(f"{name}: expected a report, got a document that unpacks to over 20 MB.", hint=_KINDS)
    # Entities can grow without end, and Word writes none.
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
        raise ReportError(f"{name}: expected a Word document, got one with entities of its own.", hint=_KINDS)
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ReportError(f"{name}: expected a Word document, and its text is damaged.", hint=_KINDS) from error
    return "\n".join(_paragraph(paragraph) for paragraph in root.iter(f"{_WORD}p")).strip("\n")


def _paragraph(paragraph: ElementTree.Element) -> str:
    breaks = {f"{_WORD}tab": "\t", f"{_WORD}br": "\n", f"{_WORD}cr": "\n", f"{_WORD}noBreakHyphen": "-"}
    return "".join((p.text or "") if p.tag == f"{_WORD}t" else breaks.get(p.tag, "") for p in paragraph.iter())


def _sr_text(name: str, content: bytes) -> str:
    # Most reports are pasted; the panel should not wait for pydicom.
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        dataset = dcmread(BytesIO(content))
        modality, items = str(dataset.get("Modality") or "unknown"), dataset.get("ContentSequence")
        lines = list(_content(items, 0)) if items else []
    except (InvalidDicomError, EOFError, OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise ReportError(f"{name}: the DICOM file is damaged.", hint=_KINDS) from error
    if not lines:
        raise ReportError(
            f"{name}: expected a DICOM structured report with text, got modality {modality} without any.", hint=_KINDS
        )
    return "\n".join(lines)


def _content(items: list[Dataset], depth: int) -> Iterator[str]:
    """Yield the lines of a content tree: a container's name as a heading, a value behind its name.

    People and times stay out: they say who and when, and nothing of the picture.
    """
    if depth > _MAX_DEPTH:
        return
    for item in items:
        _check_complete(item)
        kind, concept = str(item.get("ValueType") or ""), _meaning(item.get("ConceptNameCodeSequence"))
        children = list(item.get("ContentSequence") or [])
        value = _value(kind, item)
        if kind == "CONTAINER" and concept:
            yield f"{concept.upper()}:"
        elif value:
            yield f"{concept}: {value}" if concept else value
        yield from _content(children, depth + 1)


def _check_complete(item: Dataset) -> None:
    """Raise EOFError where a value is shorter than its header says: pydicom reads a cut file without a word."""
    for element in item.values():
        value, length = getattr(element, "value", None), getattr(element, "length", None)
        if isinstance(value, bytes) and length not in (None, 0xFFFFFFFF) and len(value) < length:
            raise EOFError(f"{len(value)} of {length} bytes")


def _value(kind: str, item: Dataset) -> str:
    if kind == "TEXT":
        return str(item.get("TextValue") or "").replace("\r\n", "\n").replace("\r", "\n").strip()
    if kind == "CODE":
        return _meaning(item.get("ConceptCodeSequence"))
    if kind == "NUM" and item.get("MeasuredValueSequence"):
        measured = item.MeasuredValueSequence[0]
        units = measured.get("MeasurementUnitsCodeSequence")
        unit = str(units[0].get("CodeValue") or "") if units else ""
        return f"{measured.get('NumericValue', '')} {unit}".strip()
    return ""


def _meaning(sequence: list[Dataset] | None) -> str:
    return str(sequence[0].get("CodeMeaning") or "").strip() if sequence else ""


def _decode(content: bytes) -> str | None:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    if b"\x00" in content:
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
