"""`tmca compare`: whether methods can be told apart on the same cases."""

from pathlib import Path
from typing import Annotated

import typer

from tmca_core.cli.files import check_folder_of, write_json
from tmca_core.errors import ConfigError
from tmca_core.terminal import format_table


def compare(
    tables: Annotated[list[Path], typer.Argument(metavar="A.csv B.csv ...", help="Tables of tmca evaluate --cases.")],
    metric: Annotated[str, typer.Option("--metric", help="dice, iou or surface_dice.")] = "dice",
    split: Annotated[str | None, typer.Option("--split", help="Split, all by default.")] = None,
    names: Annotated[list[str] | None, typer.Option("--name", help="Of each method, in order; repeatable.")] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=100, help="Of the bootstrap.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write it here too.")] = None,
) -> None:
    """Say whether methods can be told apart: paired bootstrap over patients, on the same cases.

    rank one: the share of the resamples in which the method is the best of all.
    """
    from tmca_core.recipes.compare import METRICS, read_case_table
    from tmca_core.recipes.compare import compare as compare_recipe

    if metric not in METRICS:
        raise ConfigError(f"--metric: expected {', '.join(METRICS)}, got '{metric}'.", hint="Choose one of them.")
    if names and len(names) != len(tables):
        raise ConfigError(f"--name: expected {len(tables)} names, got {len(names)}.", hint="Give one for each table.")
    if json_file is not None:
        check_folder_of(json_file)
    given = names or [""] * len(tables)
    read = [read_case_table(p, metric=metric, split=split, name=n) for p, n in zip(tables, given, strict=True)]
    found = compare_recipe(read, metric=metric, num_resamples=resamples, seed=seed)
    head = ("method", f"{metric} mean", "95 %", "rank one")
    rows = [(s.name, f"{s.mean:.4f}", f"{s.low:.4f}-{s.high:.4f}", f"{s.rank_one:.1%}") for s in found.standings]
    typer.echo(f"{found.num_cases:,} cases of {found.num_patients:,} patients")
    typer.echo(format_table(head, rows))
    for difference in found.differences:
        typer.echo(difference.sentence)
    if json_file is not None:
        write_json(json_file, found.as_json())
