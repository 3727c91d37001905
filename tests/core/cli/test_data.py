from __future__ import annotations

import json
import shutil

from tmca_core.data import open_dataset


def test_check_tells_and_writes_what_is_there(tmca, data, tmp_path):
    code, out, _ = tmca("data", "check", data, "--json", tmp_path / "found.json")
    assert "layout qata" in out
    assert "patients" in out
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["splits"]["val"]["cases"] == 3
    assert code == int(any(remark["is_fault"] for remark in found["remarks"]))


def test_check_of_a_damaged_folder_ends_in_one(tmca, data, tmp_path):
    folder = tmp_path / "d"
    shutil.copytree(data, folder)
    (folder / "images" / "c1.png").write_bytes(b"no picture")
    code, out, _ = tmca("data", "check", folder)
    assert code == 1
    assert "FAULT: 1 case cannot be read" in out
    (folder / "masks" / "c2.png").unlink()
    code, _, err = tmca("data", "check", folder, "--json", tmp_path / "found.json")
    assert code == 1
    assert "missing: 1 mask (masks/c2.png)" in err
    assert "missing: 1 mask" in json.loads((tmp_path / "found.json").read_text())["error"]


def test_convert_makes_a_folder_that_reads_back(tmca, data, tmp_path):
    code, out, _ = tmca("data", "convert", data, "--to", "cases-csv", "--out", tmp_path / "new")
    assert (code, "4 cases in" in out) == (0, True)
    assert [c.text for c in open_dataset(tmp_path / "new").cases] == [c.text for c in open_dataset(data).cases]
