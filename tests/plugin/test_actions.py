from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from napari.utils.shortcuts import default_shortcuts

from napari_tmca import actions
from napari_tmca.actions import ACTIONS, action
from napari_tmca.commands import show_keys
from napari_tmca.shortcuts import table_of_keys

ROOT = Path(__file__).parents[2]


def test_every_action_is_a_command_of_the_manifest():
    manifest = yaml.safe_load((ROOT / "napari.yaml").read_text(encoding="utf-8"))
    commands = {command["id"]: command for command in manifest["contributions"]["commands"]}
    for known in ACTIONS:
        command = commands[f"napari-tmca.{known.name}"]
        assert command["title"] == known.title
        assert command["python_name"] == f"napari_tmca.actions:{known.name}"
        assert callable(getattr(actions, known.name))


def test_no_key_is_napari_s_own_or_given_twice():
    taken = {str(key).replace("Control", "Ctrl") for keys in default_shortcuts.values() for key in keys}
    keys = [known.key for known in ACTIONS if known.key]
    assert len(set(keys)) == len(keys)
    assert not taken & set(keys)


def test_the_page_of_keys_is_the_table():
    rows = "\n".join(f"| {key or '-'} | {title} |" for key, title in table_of_keys())
    assert rows in (ROOT / "docs" / "shortcuts.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["image_only", "save_case", "finish_case", "approve", "pin_map"])
def test_what_cannot_be_done_now_says_why(session, name):
    action(name)(session._viewer())
    assert session.messages


def test_an_action_does_what_its_button_does(session, phantom_layer):
    viewer = session._viewer()
    actions.segment(viewer)
    session.segment().result(timeout=120)
    actions.include(viewer)
    assert session.canvas.stroke == "include"
    actions.include(viewer)
    assert session.canvas.stroke is None
    actions.probability(viewer)
    assert session.maps.is_shown("probability")
    actions.image_only(viewer)
    assert session.mask.image_only


def test_the_help_lists_every_key(session, qtbot):
    dialog = show_keys(session._viewer())
    qtbot.addWidget(dialog)
    assert dialog.table.rowCount() == len(table_of_keys())
    assert not dialog.isModal()
