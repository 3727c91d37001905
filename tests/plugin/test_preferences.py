from __future__ import annotations

import json

import napari.settings
import numpy as np
import pytest
from napari.settings import get_plugin_settings
from PIL import Image as Picture
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog

from napari_tmca.appearance import class_colors
from napari_tmca.outlines import hide_outlines, show_outlines
from napari_tmca.settings import Settings, change_settings, read_settings
from napari_tmca.widgets import TmcaWidget
from napari_tmca.windowing import presets_of
from tmca_core.errors import ConfigError
from tmca_core.project import Project


@pytest.fixture
def panel(session, qtbot):
    widget = TmcaWidget(session._viewer())
    qtbot.addWidget(widget)
    widget.resize(380, 900)
    widget.show()
    return widget


@pytest.fixture
def masked(session, phantom_layer):
    return session.adopt_mask(np.eye(*phantom_layer.data.shape, dtype=np.uint8))


def rgb(layer, label):
    return [round(255 * float(part)) for part in layer.colormap.map(np.array([label]))[0][:3]]


def test_what_is_changed_is_there_after_a_restart(session, tmp_path):
    change_settings(mask_filled=True, class_colors="#112233", own_windows="Liver: 60, 160", first_steps=False)
    assert "Liver" in (tmp_path / "napari-tmca.yaml").read_text(encoding="utf-8")
    get_plugin_settings().clear()  # as a new process starts
    settings = read_settings()
    assert (settings.mask_filled, settings.class_colors, settings.own_windows) == (True, "#112233", "Liver: 60, 160")
    assert not settings.first_steps


def test_the_defaults_of_the_manifest_are_those_of_the_code(session):
    assert read_settings() == Settings()


def test_without_the_plugin_in_napari_nothing_is_said_to_be_kept(session, monkeypatch):
    monkeypatch.setattr(napari.settings, "_PLUGIN_SETTINGS", {"other": None})
    assert read_settings() == Settings()
    with pytest.raises(ConfigError, match="cannot be kept"):
        change_settings(mask_filled=True)


def test_the_mask_follows_colour_fill_and_opacity_at_once(panel, masked):
    page = panel.preferences
    assert (masked.contour, masked.opacity) == (1, pytest.approx(0.9))
    page.filled.setCurrentIndex(1)
    page.filled.activated.emit(1)
    page.opacity.setValue(0.4)
    page.set_color("class 2", "#010203")
    assert (masked.contour, masked.opacity) == (0, pytest.approx(0.4))
    assert rgb(masked, 2) == [1, 2, 3]
    assert read_settings().mask_opacity == pytest.approx(0.4)
    page.reset.click()
    assert rgb(masked, 2) == [87, 181, 232]


def test_masks_made_later_look_as_chosen(session, phantom_layer):
    change_settings(mask_filled=True, mask_opacity=0.5, class_colors="#ff0000")
    mask = session.adopt_mask(np.eye(*phantom_layer.data.shape, dtype=np.uint8))
    assert (mask.contour, mask.opacity, rgb(mask, 1)) == (0, 0.5, [255, 0, 0])


def test_a_colour_that_cannot_be_read_leaves_the_class_its_own(session):
    own = class_colors()
    change_settings(class_colors="red, #00ff00")
    assert class_colors() == own | {"class 2": "#00ff00"}


def test_a_colour_is_chosen_in_a_window_that_does_not_stand_in_the_way(panel, masked):
    panel.preferences.colors["target"].click()
    (dialog,) = panel.preferences.findChildren(QColorDialog)
    assert dialog.isVisible()
    assert not dialog.isModal()
    dialog.colorSelected.emit(QColor("#123456"))
    dialog.close()
    assert class_colors()["target"] == "#123456"
    assert rgb(masked, 1) == [0x12, 0x34, 0x56]


def test_own_windows_are_buttons_with_keys(panel, session, phantom_layer):
    panel.preferences.windows.setPlainText("Narrow: 100, 40\nwide 3")
    assert panel.preferences.unread.isVisibleTo(panel.preferences)
    assert "wide 3" in panel.preferences.unread.text()
    assert presets_of(session.scan_layer)["Narrow"] == (80.0, 120.0)
    button = panel.view.windows["Narrow"]
    assert button.shortcut().toString() == "Alt+2"
    button.click()
    assert tuple(phantom_layer.contrast_limits) == (80.0, 120.0)


def test_the_page_shows_what_was_kept(panel, session, qtbot):
    change_settings(own_windows="Liver: 60, 160; Bone: 400, 1800", mask_filled=True)
    again = TmcaWidget(session._viewer())
    qtbot.addWidget(again)
    assert again.preferences.windows.toPlainText() == "Liver: 60, 160\nBone: 400, 1800"
    assert again.preferences.filled.currentData() is True


def test_the_page_follows_what_napari_s_own_dialog_changed(panel, session, phantom_layer):
    change_settings(mask_opacity=0.3)
    panel.tabs.setCurrentWidget(panel.preferences)
    assert panel.preferences.opacity.value() == pytest.approx(0.3)


@pytest.mark.parametrize(("filled", "contour"), [(True, 0), (False, 1)])
def test_after_a_comparison_the_mask_is_as_the_user_likes_it(session, masked, filled, contour):
    change_settings(mask_filled=filled)
    show_outlines(session._viewer(), "a", masked, np.asarray(masked.data), session.scan_layer)
    assert masked.contour == 2
    hide_outlines(session._viewer(), masked)
    assert masked.contour == contour


def test_every_change_of_the_mask_is_told(session, masked):
    told = []
    session.mask_changed.connect(lambda: told.append(int(np.asarray(masked.data).sum())))
    before = int(np.asarray(masked.data).sum())
    masked.data_setitem((np.array([0]), np.array([5])), 1)
    assert told[-1] == before + 1
    session.undo()
    assert told[-1] == before
    session.redo()
    assert told[-1] == before + 1


def rename(page, number, name):
    page.names[number].setText(name)
    page.names[number].editingFinished.emit()


def test_a_class_is_renamed_everywhere_and_after_a_restart(panel, session, masked):
    page = panel.preferences
    rename(page, 2, "  Pleural\teffusion; left ")
    assert session.classes.all[:3] == ("target", "Pleural effusion left", "class 3")
    assert panel.correct.classes.itemText(1) == "Pleural effusion left"
    assert list(masked.features["name"])[:3] == ["background", "target", "Pleural effusion left"]
    get_plugin_settings().clear()  # as a new process starts
    assert session.classes.all[1] == "Pleural effusion left"
    rename(page, 3, "Target")
    assert "Another class is called Target already." in session.messages[0]
    assert page.names[3].text() == ""
    rename(page, 2, "")
    assert session.classes.all[1] == "class 2"
    assert list(masked.features["name"])[2] == "class 2"


def test_names_of_classes_are_the_project_s(panel, session, phantom, tmp_path):
    path = tmp_path / "chest.png"
    Picture.fromarray(np.asarray(phantom.scan.pixels)).save(path)
    rename(panel.preferences, 2, "Of the preferences")
    with Project.create(tmp_path / "study") as project:
        list(project.add([path]))
    session.open_project(tmp_path / "study")
    assert panel.preferences.names[2].text() == ""
    assert panel.correct.classes.itemText(1) == "class 2"
    rename(panel.preferences, 2, "Oedema")
    session.next_case()
    layer = session.cases.add_empty_mask()
    assert list(layer.features["name"])[2] == "Oedema"
    layer.data_setitem((np.arange(4), np.arange(4)), 2)
    record = session.cases.save()
    told = json.loads((session.cases.case.folder / f"{record.corrected.name}.json").read_text())
    assert told["class_names"] == {"2": "Oedema"}
    session.cases.close()
    assert read_settings().class_names == "; Of the preferences"
    with Project.open(tmp_path / "study") as project:
        assert project.class_names == {2: "Oedema"}
