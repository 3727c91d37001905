from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from pydicom import Dataset, FileDataset
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from tmca_core.errors import ReportError
from tmca_core.report import parse_report, read_report

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
BODY = (
    "<w:body><w:p><w:r><w:t>FINDINGS:</w:t></w:r></w:p>"
    "<w:p><w:r><w:t xml:space='preserve'>Opacity </w:t></w:r>"
    "<w:r><w:t>left.</w:t><w:br/><w:t>Ende\u00df.</w:t></w:r></w:p>"
    "</w:body>"
)


def docx(path, xml, name="word/document.xml"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, xml)
    return path


def document(body):
    return f"<?xml version='1.0'?><w:document xmlns:w='{WORD}'>{body}</w:document>"


def test_a_word_document_is_read_paragraph_by_paragraph(tmp_path):
    text = read_report(docx(tmp_path / "r.docx", document(BODY)))
    assert text == "FINDINGS:\nOpacity left.\nEnde\u00df."


@pytest.mark.parametrize(
    ("xml", "match"),
    [
        ("<w:document", "its text is damaged"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", "entities"),
        (document("<w:p/>" + " " * 20_000_001), "unpacks to over 20 MB"),
    ],
    ids=["no XML", "entities", "bomb"],
)
def test_documents_that_are_damaged_or_grow_are_refused(tmp_path, xml, match):
    with pytest.raises(ReportError, match=match):
        read_report(docx(tmp_path / "r.docx", xml))


def test_another_archive_is_no_word_document(tmp_path):
    with pytest.raises(ReportError, match="damaged or other archive"):
        read_report(docx(tmp_path / "r.docx", "x", name="else.xml"))
    (tmp_path / "cut.docx").write_bytes((tmp_path / "r.docx").read_bytes()[:30])
    with pytest.raises(ReportError, match="damaged or other archive"):
        read_report(tmp_path / "cut.docx")


def item(kind, concept, **values):
    dataset = Dataset()
    dataset.ValueType = kind
    name = Dataset()
    name.CodeMeaning = concept
    dataset.ConceptNameCodeSequence = [name]
    for key, value in values.items():
        setattr(dataset, key, value)
    return dataset


def structured_report(path, items):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\x00" * 128)
    dataset.Modality = "SR"
    if items:
        dataset.ContentSequence = items
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_a_structured_report_s_text_is_read_and_its_people_are_not(tmp_path):
    findings = [item("TEXT", "Finding", TextValue="Opacity, left base.\r\nHaze.")]
    items = [
        item("PNAME", "Observer", PersonName="Canary^Name"),
        item("TEXT", "History", TextValue="Cough."),
        item("CONTAINER", "Findings", ContentSequence=findings),
    ]
    text = read_report(structured_report(tmp_path / "sr.dcm", items))
    assert text == "History: Cough.\nFINDINGS:\nFinding: Opacity, left base.\nHaze."
    report = parse_report(text)
    assert [report.sentences[i].text for i in report.used] == ["Opacity, left base.", "Haze."]


def test_dicom_without_text_is_named(tmp_path):
    with pytest.raises(ReportError, match=r"got modality SR without any"):
        read_report(structured_report(tmp_path / "sr.dcm", []))
    with pytest.raises(ReportError, match=r"structured report with text, got modality CT"):
        read_report(Path(get_testdata_file("CT_small.dcm")))


def test_a_cut_structured_report_is_one_sentence(tmp_path):
    path = structured_report(tmp_path / "sr.dcm", [item("TEXT", "Finding", TextValue="Opacity " * 200)])
    whole = path.read_bytes()
    for end in (140, 300, len(whole) - 20):
        path.write_bytes(whole[:end])
        with pytest.raises(ReportError, match=r"sr\.dcm"):
            read_report(path)
