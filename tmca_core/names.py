"""Names of files as people, JSON and Windows can take them."""

from __future__ import annotations

import json
import re
from typing import Any

_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(\..*)?", re.IGNORECASE)
_NOT_ON_WINDOWS = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def displayable(text: str) -> str:
    r"""Return a text with what is no Unicode in it, bytes of a file's name, as ``\xff``."""
    if text.isascii():
        return text
    whole = text.encode("utf-8", "surrogateescape") if _is_from_a_name(text) else text.encode("utf-8", "replace")
    return whole.decode("utf-8", "backslashreplace")


def json_text(values: object, **options: Any) -> str:
    """Return values as JSON in readable Unicode; in ASCII where they hold what is none, which reads back the same."""
    text = json.dumps(values, ensure_ascii=False, **options)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(values, **options)
    return text


def trouble_on_windows(name: str) -> str:
    """Return why Windows cannot keep a file of this name as it is, "" if it can."""
    if _DEVICE.fullmatch(name):
        return f"Windows keeps the name {name.split('.')[0].strip()} for a device"
    if name != name.rstrip(". "):
        return "Windows drops the dot or blank at the end of a name"
    if found := _NOT_ON_WINDOWS.search(name):
        return f"Windows allows no {found.group()!r} in a name"
    return ""


def _is_from_a_name(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
