"""A fine-tuning in a process of its own: it frees its memory when it ends, can be killed, and outlives the window.

Nothing but files connects the two: events come as lines of JSON, and a word in a control file tells the training to
pause, to stop, or to cancel. So a window that is opened later finds a training that is under way.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout

from tmca_core.atomic import atomic_write
from tmca_core.errors import StudyWriteError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EXAMPLES, MANIFEST = "examples", "manifest.json"
RUN, EVENTS, ERRORS, PROCESS, CONTROL, LOCK = "run", "events.jsonl", "errors.txt", "process.json", "control", "lock"
Word = Literal["pause", "go on", "stop", "cancel"]


class TrainingProcess:
    """One fine-tuning, started here or found.

    Parameters
    ----------
    out : Path
        Folder of the model to be.
    process : subprocess.Popen, optional
        The process; ``None`` for one that an earlier window started.

    """

    def __init__(self, out: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        self.out, self.process = out, process
        self._offset = 0

    @classmethod
    def start(cls, out: Path, arguments: Sequence[str]) -> TrainingProcess:
        """Start ``tmca finetune`` with these arguments, to write into ``out``.

        What an unfinished training with the same arguments left there is continued, that of another is cleared away.

        Raises
        ------
        StudyWriteError
            If the folder cannot be written to.

        """
        run = out / RUN
        if _started_with(run) not in (None, list(arguments)) and not cls(out).is_running:
            shutil.rmtree(run, ignore_errors=True)
        try:
            run.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "tmca_core.cli", "finetune", *arguments, "--out", str(out)]
            with open(run / EVENTS, "wb") as events, open(run / ERRORS, "wb") as errors:
                process = subprocess.Popen(
                    [*command, "--events-json"],
                    stdin=subprocess.DEVNULL,
                    stdout=events,
                    stderr=errors,
                    start_new_session=True,  # a signal to the window's terminal is none to the training
                )
        except OSError as error:
            raise StudyWriteError(
                f"{out}: the training cannot be started there ({error.strerror}).", hint="Choose another folder."
            ) from error
        # Waited for in the background: it may outlive whoever started it, and a process that nobody waits for stays.
        threading.Thread(target=process.wait, daemon=True, name="tmca-training").start()
        with atomic_write(run / PROCESS) as file:
            file.write(json.dumps({"pid": process.pid, "arguments": list(arguments)}).encode())
        return cls(out, process)

    @classmethod
    def find(cls, models: Path) -> TrainingProcess | None:
        """Return the training that is under way in a folder of models, if there is one."""
        for lock in sorted(models.glob(f"*/{RUN}/{LOCK}")):
            found = cls(lock.parent.parent)
            if found.is_running:
                return found
        return None

    @classmethod
    def find_finished(cls, models: Path) -> TrainingProcess | None:
        """Return the latest training that ended well while nobody looked, and whose result nobody has chosen about."""
        ended = []
        for events in models.glob(f"*/{RUN}/{EVENTS}"):
            found = cls(events.parent.parent)
            if (found.out / MANIFEST).exists() and any(e["event"] == "FinetuneFinished" for e in found.events()):
                ended.append((events.stat().st_mtime, found.out))
        return cls(max(ended)[1]) if ended else None

    def settle(self) -> None:
        """Remove what a finished training left beside its model: events, and pictures of held-out cases."""
        if (self.out / MANIFEST).exists():
            shutil.rmtree(self.out / RUN, ignore_errors=True)

    @property
    def is_told_to_pause(self) -> bool:
        """Whether the last word was to pause."""
        try:
            return (self.out / RUN / CONTROL).read_text(encoding="utf-8").strip() == "pause"
        except OSError:
            return False

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        if self.process is not None:
            return self.process.poll() is None
        path = self.out / RUN / LOCK
        if not path.exists():
            return False
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False

    def events(self) -> list[dict[str, Any]]:
        """Return the events since the last call, whole lines only."""
        try:
            with open(self.out / RUN / EVENTS, "rb") as file:
                file.seek(self._offset)
                text = file.read()
        except OSError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def tell(self, word: Word) -> None:
        """Tell the training to pause, go on, stop and keep the best, or cancel."""
        with contextlib.suppress(StudyWriteError), atomic_write(self.out / RUN / CONTROL) as file:
            file.write(word.encode())

    def kill(self) -> None:
        """End the process at once and remove what it left; does nothing once a model is there."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        elif self.is_running:
            with contextlib.suppress(OSError, ValueError, KeyError):
                os.kill(int(json.loads((self.out / RUN / PROCESS).read_text())["pid"]), signal.SIGTERM)
        if not (self.out / MANIFEST).exists():
            shutil.rmtree(self.out / RUN, ignore_errors=True)
            with contextlib.suppress(OSError):
                self.out.rmdir()  # unless something else is in it

    def complaint(self) -> str:
        """Return what the process said when it failed, or that it was ended from outside."""
        try:
            lines = (self.out / RUN / ERRORS).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        said = [line.partition(": ")[2] for line in lines if line.startswith(("error: ", "hint: "))]
        return " ".join(said) or "The training was ended from outside. Start continues where it was."


def _started_with(run: Path) -> list[str] | None:
    try:
        arguments: list[str] = json.loads((run / PROCESS).read_text(encoding="utf-8"))["arguments"]
    except (OSError, ValueError, KeyError):
        return None
    return arguments
