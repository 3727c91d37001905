"""`tmca models` and `tmca doctor`: what is installed, and does it work."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from tmca_core.terminal import format_bytes

if TYPE_CHECKING:
    from tmca_core.model.checkpoint import ModelInfo


def models() -> None:
    """List the installed models.

    With version, size, sha256, whether every file is intact, folder, and what was measured.
    """
    from tmca_core.model.checkpoint import list_models, models_folder

    installed = list_models()
    for info in installed:
        typer.echo(_model_lines(info))
    if not installed:
        typer.echo("no model is installed")
    typer.echo(f"To install another one, copy its folder to {models_folder()}")


def _model_lines(info: "ModelInfo") -> str:
    from tmca_core.errors import CheckpointError
    from tmca_core.model.checkpoint import verify

    try:
        verify(info)
        state = "intact"
    except CheckpointError as error:
        state = f"NOT INTACT: {error.message}"
    size = sum(file.stat().st_size for file in info.folder.iterdir() if file.is_file())
    lines = [
        f"{info.name} {info.version}, {format_bytes(size)}, sha256 {info.weights_sha256[:12]}, {state}",
        f"  {info.folder}",
    ]
    for name, figures in info.figures.items():
        lines.append(f"  {name}: {_figures(figures)}")
    return "\n".join(lines)


def _figures(figures: Any) -> str:
    if not isinstance(figures, Mapping):
        return str(figures)
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in figures.items()
    )


def doctor() -> None:
    """Check that everything needed is there.

    Every line starts with ok, warn or fail; the exit code is 1 if any fails.
    """
    from tmca_core.doctor import State, run_checks

    has_failed = False
    for check in run_checks():
        typer.echo(f"{check.state.value:<4}  {check.found}")
        if check.advice:
            typer.echo(f"      -> {check.advice}")
        has_failed = has_failed or check.state is State.FAIL
    if has_failed:
        raise typer.Exit(1)
