"""`tmca models` and `tmca doctor`: what is installed, and does it work."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tmca_core.terminal import format_bytes

if TYPE_CHECKING:
    from tmca_core.model.checkpoint import ModelInfo


models = typer.Typer(name="models", help="List the installed models; choose, go back, hand on.", rich_markup_mode=None)


@models.callback(invoke_without_command=True)
def _models(context: typer.Context) -> None:
    """List the installed models; choose which one is used, go back, export and import."""
    if context.invoked_subcommand is None:
        list_installed()


@models.command("list")
def list_installed() -> None:
    """List the installed models.

    With version, size, sha256, whether every file is intact, folder, what it was learned on, and what was measured.
    """
    from tmca_core.model.checkpoint import list_models, models_folder
    from tmca_core.model.store import model_in_use

    installed, in_use = list_models(), model_in_use()
    for info in installed:
        mark = " (in use)" if in_use in (info.folder.name, str(info.folder)) else ""
        typer.echo(_model_lines(info, mark))
    if not installed:
        typer.echo("no model is installed")
    if in_use not in {info.folder.name for info in installed}:
        typer.echo(f"in use: {in_use}")
    typer.echo(f"To install another one, copy its folder to {models_folder()}, or use `tmca models import`.")


@models.command("use")
def use(name: Annotated[str, typer.Argument(help="Name of an installed model, or a folder.")]) -> None:
    """Use a model wherever none is named, from now on."""
    from tmca_core.model.store import use_model

    info = use_model(name)
    verdict = info.figures.get("verdict")
    if verdict and not info.figures.get("is_better"):
        typer.echo(f"note: {verdict}", err=True)
    typer.echo(f"in use: {info.name} {info.version} (sha256 {info.weights_sha256[:12]})")


@models.command("rollback")
def rollback() -> None:
    """Return to the model that was in use before."""
    from tmca_core.model.store import roll_back

    typer.echo(f"in use: {roll_back()}")


@models.command("export")
def export(
    name: Annotated[str, typer.Argument(help="Name of an installed model, or a folder.")],
    out: Annotated[Path, typer.Option("--out", help="File or folder to write; nothing is replaced.")],
) -> None:
    """Write a model out to hand it on: an adapter as one file, any other as a folder."""
    from tmca_core.model.store import export_model

    typer.echo(f"written: {export_model(name, out)}")


@models.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="An adapter's file, or the folder of a model.")],
    name: Annotated[str, typer.Option("--name", help="Name to install it under; its own by default.")] = "",
) -> None:
    """Install a model that was handed on, after checking it."""
    from tmca_core.model.store import import_model

    info = import_model(source, name)
    typer.echo(f"installed: {info.folder.name} {info.version} (sha256 {info.weights_sha256[:12]})")


def _model_lines(info: "ModelInfo", mark: str = "") -> str:
    from tmca_core.errors import CheckpointError
    from tmca_core.model.checkpoint import verify
    from tmca_core.model.store import lineage

    try:
        verify(info)
        state = "intact"
    except CheckpointError as error:
        state = f"NOT INTACT: {error.message}"
    size = sum(file.stat().st_size for file in info.folder.iterdir() if file.is_file())
    lines = [
        f"{info.name} {info.version}, {format_bytes(size)}, sha256 {info.weights_sha256[:12]}, {state}{mark}",
        f"  {info.folder}",
    ]
    if info.base:
        lines.append(f"  learned on {', on '.join(lineage(info)[1:])}")
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
