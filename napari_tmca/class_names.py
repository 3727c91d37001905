"""What the classes of a mask are called: as the open project says, else napari's preferences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_tmca.appearance import CLASSES
from napari_tmca.settings import change_settings, read_settings
from tmca_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Labels

    from napari_tmca.editing import MaskEditor
    from tmca_core.project import Project

MAX_CHARACTERS = 64  # as many as DICOM has room for


class ClassNames:
    """The names of the classes of a session's mask.

    Signals (psygnal): `changed` without argument.

    Parameters
    ----------
    mask : MaskEditor
        Whose layer bears the names.

    """

    changed = Signal()

    def __init__(self, mask: MaskEditor) -> None:
        self._mask = mask
        self._project: Project | None = None

    def follow(self, project: Project | None) -> None:
        """Take the names of a project, or those of the preferences where it is ``None``."""
        self._project = project
        self._tell()

    @property
    def given(self) -> dict[int, str]:
        """The names that were given, by the number of the class."""
        return self._project.class_names if self._project is not None else read_names()

    @property
    def all(self) -> tuple[str, ...]:
        """What the classes are called, from 1 on."""
        return all_names(self.given)

    def rename(self, number: int, name: str) -> None:
        """Call a class otherwise; a blank name gives it its own one back.

        Kept with the open project, else in napari's preferences.

        Raises
        ------
        ConfigError
            If there is no such class, another one is called so, or the preferences cannot be kept.
        ProjectError, StudyWriteError
            If the project cannot be written to.

        """
        given = renamed(self.given, number, name)
        if self._project is not None:
            self._project.name_classes(given)
        else:
            write_names(given)
        self._tell()

    def name_mask(self) -> None:
        """Give the names to the mask that is shown now."""
        layer, given = self._mask.layer, self.given
        if layer is not None and names_in(layer.features) != given:
            name_layer(layer, given)

    def _tell(self) -> None:
        self.name_mask()
        self.changed.emit()


def clean_name(name: str) -> str:
    """Return a name in one line, without what the preferences tell names apart by."""
    return " ".join(name.replace(";", " ").split())[:MAX_CHARACTERS].strip()


def all_names(given: Mapping[int, str]) -> tuple[str, ...]:
    """Return the name of each class, from 1 on: the one given, or its own."""
    return tuple(given.get(number, name) for number, name in enumerate(CLASSES, 1))


def renamed(given: Mapping[int, str], number: int, name: str) -> dict[int, str]:
    """Return the names given with another one for a class; a blank one gives the class its own name back.

    Raises
    ------
    ConfigError
        If there is no such class, or another one is called so: files tell classes apart by their names.

    """
    if not 1 <= number <= len(CLASSES):
        raise ConfigError(f"Expected a class of 1 to {len(CLASSES)}, got {number}.", hint="Choose one of them.")
    name = clean_name(name)
    others = {known.lower() for i, known in enumerate(all_names(given), 1) if i != number}
    if name.lower() in others:
        raise ConfigError(f"Another class is called {name} already.", hint="Choose another name.")
    kept = {i: known for i, known in given.items() if i != number}
    is_own = not name or name == list(CLASSES)[number - 1]
    return kept if is_own else dict(sorted({**kept, number: name}.items()))


def read_names() -> dict[int, str]:
    """Return the names given in napari's preferences, by the number of the class."""
    parts = read_settings().class_names.split(";")[: len(CLASSES)]
    return {number: name for number, part in enumerate(parts, 1) if (name := clean_name(part))}


def write_names(given: Mapping[int, str]) -> None:
    """Keep names in napari's preferences; raises as `change_settings`."""
    change_settings(class_names="; ".join(given.get(number, "") for number in range(1, len(CLASSES) + 1)).rstrip("; "))


def name_layer(layer: Labels, given: Mapping[int, str]) -> None:
    """Let napari's status bar, and whatever saves the layer, call the classes of a mask by these names."""
    layer.features = {"index": range(len(CLASSES) + 1), "name": ["background", *all_names(given)]}


def names_in(features: Any) -> dict[int, str]:
    """Return the names given to the classes of a mask layer, from its table of features; own names are left out."""
    if features is None or not {"index", "name"} <= set(features):
        return {}
    own = dict(enumerate(("background", *CLASSES)))
    found = zip(features["index"], features["name"], strict=True)
    return {int(number): str(name) for number, name in found if number and str(name) not in ("", own.get(number))}
