"""`tmca next` and `tmca simulate`: which case to correct next, and what correcting and learning together would take."""

from pathlib import Path
from typing import Annotated

import typer

from tmca_core.cli.finetune import DataOption, ProjectOption
from tmca_core.cli.options import Device, DeviceOption, ModelOption
from tmca_core.recipes.next_case import Order
from tmca_core.terminal import ProgressLine, format_table


def next_cases(
    data: DataOption = None,
    project: ProjectOption = None,
    count: Annotated[int, typer.Option("--count", min=1, help="How many cases to name.")] = 10,
    order: Annotated[Order, typer.Option("--order", help="How they are chosen.")] = Order.GAIN,
    model: ModelOption = "default",
    device: DeviceOption = Device.AUTO,
    seed: Annotated[int, typer.Option("--seed", help="Of the random order.")] = 0,
) -> None:
    """Name the cases to correct next: those that would teach the model most.

    Of a folder, all cases may be named: their reports are used, their masks are not. Of a project, those that nobody
    has finished; a case like one that is finished already teaches less.
    """
    from tmca_core.cli.finetune import make_source
    from tmca_core.predictor import Predictor
    from tmca_core.recipes.next_case import CaseSeen, CaseUnreadable, cases_to_see, choose, see_all

    told = cases_to_see(make_source(data, project), with_finished=order is Order.GAIN)
    predictor = Predictor.load(model, device=device.value)
    seen: list[CaseSeen | CaseUnreadable] = []
    with ProgressLine() as line:
        for done, item in enumerate(see_all(predictor, (case.opened() for case in told)), 1):
            seen.append(item)
            if isinstance(item, CaseUnreadable):
                typer.echo(f"note: {item.id}: {item.reason}", err=True)
            line.show_count("cases looked at", done, len(told))
    finished = {case.id for case in told if case.is_finished}
    known = {case.id: case for case in seen if isinstance(case, CaseSeen) and case.id not in finished}
    learned = [case.features for case in seen if isinstance(case, CaseSeen) and case.id in finished]
    rows = [
        [name, f"{known[name].uncertainty:.2f}", f"{known[name].disagreement:.2f}"]
        for name in choose(list(known.values()), count, order=order, learned=learned, seed=seed)
    ]
    typer.echo(format_table(["case", "uncertainty", "disagreement"], rows))


def simulate(
    data: Annotated[Path, typer.Option("--data", help="Data folder with the masks that the clinician wants.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for models, effort.csv and effort.svg.")],
    model: ModelOption = "default",
    cases: Annotated[int, typer.Option("--cases", min=1, help="How many cases are corrected.")] = 40,
    every: Annotated[int, typer.Option("--every", min=1, help="Learn after so many cases.")] = 10,
    order: Annotated[Order, typer.Option("--order", help="How the next cases are chosen.")] = Order.IN_ORDER,
    error_px: Annotated[float, typer.Option("--error-px", min=0, help="How far the hand errs, in pixels.")] = 1.0,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Epochs of each learning.")] = 30,
    minutes: Annotated[float, typer.Option("--minutes", min=0, help="About so many minutes per learning.")] = 0,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same strokes.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting of the recipe. Repeatable."),
    ] = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Let a simulated clinician correct masks while the model learns; count strokes and pixels."""
    from tmca_core.cli.finetune import make_config
    from tmca_core.recipes.simulate import CaseCorrected, Learned
    from tmca_core.recipes.simulate import simulate as recipe

    config = make_config(
        out, settings or [], model=model, num_epochs=epochs, minutes=minutes, seed=seed, device=device.value
    )
    for event in recipe(data, config, num_cases=cases, every=every, order=order, error_px=error_px):
        if isinstance(event, CaseCorrected):
            typer.echo(
                f"{event.number:>3}  {event.id}: Dice {event.dice_before:.3f} to {event.dice_after:.3f} by "
                f"{event.num_strokes} strokes, {event.num_pixels:,} pixels ({event.model})"
            )
        elif isinstance(event, Learned):
            typer.echo(f"learned from {event.num_cases} cases: {event.sentence}")
        else:
            typer.echo(
                f"strokes per case: {event.strokes_before:.1f} before, {event.strokes_after:.1f} after "
                f"({event.strokes_after / max(event.strokes_before, 1e-9) - 1:+.0%})"
            )
            typer.echo(f"written: {event.table}, {event.plot}")
