from __future__ import annotations

import csv
import json


def test_a_study_from_the_command_line(tmca, chest, tmp_path):
    study, table = tmp_path / "study", tmp_path / "study.csv"
    code, out, err = tmca("project", "init", study, "--name", "Pilot")
    assert code == 0, err
    assert "Pilot" in out
    code, out, err = tmca("project", "add", study, chest)
    assert (code, out) == (0, "added 1, skipped 0\n"), err
    code, out, err = tmca("project", "add", study, chest)
    assert code == 1
    assert "It is in the project already." in err
    code, out, err = tmca("project", "list", study, "--status", "new")
    assert code == 0, err
    assert out.startswith(f"00001\tnew\t{chest.name}\t")
    assert tmca("project", "rebuild", study)[1] == "1 cases\n"
    code, out, err = tmca("project", "export-csv", study, "--out", table)
    assert code == 0, err
    with table.open(newline="") as stream:
        assert [row["id"] for row in csv.DictReader(stream)] == ["00001"]
    assert tmca("project", "methods", study)[1].startswith("An annotation project of 1 scan ")


def test_how_an_image_is_read_is_kept_with_the_case(tmca, chest, tmp_path):
    tmca("project", "init", tmp_path / "study")
    code, _, err = tmca("project", "add", tmp_path / "study", chest, "--spacing", "0.4,0.3", "--shrink", "2")
    assert code == 0, err
    assert tmca("project", "list", tmp_path / "study")[1].split("\t")[4] == "40x32"
    told = json.loads((tmp_path / "study" / "cases" / "00001" / "case.json").read_text())
    assert told["reading"]["spacing"] == [0.4, 0.3]
    assert told["spacing_mm"] == [0.8, 0.6]


def test_what_is_asked_for_wrongly_is_said(tmca, tmp_path):
    tmca("project", "init", tmp_path / "study")
    code, _, err = tmca("project", "list", tmp_path / "study", "--status", "done")
    assert code == 2
    assert "--status: expected one of new, segmented" in err
    code, _, err = tmca("project", "list", tmp_path)
    assert code == 1
    assert "expected the folder of a project" in err


def test_a_project_is_segmented_from_the_command_line(tmca, chest, model, tmp_path):
    study = tmp_path / "study"
    tmca("project", "init", study)
    tmca("project", "add", study, chest)
    code, out, err = tmca("project", "segment", study, "--model", model, "--only-new", "--device", "cpu")
    assert (code, out) == (0, "Segmented 1 case.\n"), err
    assert "\tsegmented\t" in tmca("project", "list", study)[1]
    assert tmca("project", "segment", study, "--model", model, "--only-new")[1] == "Segmented 0 cases.\n"
    chest.unlink()
    code, out, err = tmca("project", "segment", study, "--model", model)
    assert code == 1
    assert "1 could not be read: chest.png:" in out
    assert "No case was segmented." in err


def test_a_project_is_exported_from_the_command_line(tmca, chest, model, tmp_path):
    study = tmp_path / "study"
    tmca("project", "init", study)
    tmca("project", "add", study, chest)
    code, _, err = tmca("project", "export", study, "--out", tmp_path / "out")
    assert code == 1
    assert "No case can be exported. chest.png: It has no mask." in err
    tmca("project", "segment", study, "--model", model)
    code, out, err = tmca("project", "export", study, "--layout", "coco", "--out", tmp_path / "out")
    assert (code, out) == (0, f"exported 1 to {tmp_path / 'out'}, labels target\n"), err
    assert (tmp_path / "out" / "annotations.json").exists()
