"""`tmca`: parse, call a recipe, print. Torch is imported only inside the commands that compute."""

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Never

import typer

from tmca_core.cli import (
    calibrate,
    compare,
    data,
    deidentify,
    evaluate,
    finetune,
    installed,
    learning,
    phantom,
    predict,
    project,
    train,
)
from tmca_core.errors import ConfigError, TmcaError

FAILURE, USAGE = 1, 2

app = typer.Typer(
    name="tmca",
    help="Language-guided segmentation of medical images: a scan and a report in, a mask and heatmaps out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    predict.predict,
    evaluate.evaluate,
    compare.compare,
    train.train,
    calibrate.calibrate,
    finetune.finetune,
    learning.simulate,
    installed.doctor,
    phantom.phantom,
    deidentify.deidentify,
):
    app.command()(command)
app.add_typer(data.data)
app.command("next")(learning.next_cases)
app.add_typer(installed.models)
app.add_typer(project.app, name="project")


def main(arguments: Sequence[str] | None = None) -> Never:
    """Run the command line and exit: 0 done, 1 the task failed, 2 it was asked for wrongly, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a report may hold characters that the terminal does not know
            stream.reconfigure(errors="replace")
    try:
        app(args=arguments, prog_name="tmca")
    except TmcaError as error:
        _say_error(error.message, error.hint)
        sys.exit(USAGE if isinstance(error, ConfigError) else FAILURE)
    except Exception as error:  # noqa: BLE001 - the last line of defence: anything else is a defect of ours
        if "--debug" in arguments:
            traceback.print_exc()
        else:
            what = f"Unexpected {type(error).__name__}: {error}"
            _say_error(
                what, f"This is a defect of the program. Report it with what `tmca --debug {arguments[0]} ...` says."
            )
        sys.exit(FAILURE)
    sys.exit(0)


def _say_error(message: str, hint: str) -> None:
    typer.echo(f"error: {message}", err=True)
    if hint:
        typer.echo(f"hint: {hint}", err=True)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from tmca_core.model.checkpoint import program_version

        typer.echo(f"tmca {program_version()}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")] = False,
) -> None:
    """Read the options that stand before the command; `main` looks at ``--debug`` itself."""
