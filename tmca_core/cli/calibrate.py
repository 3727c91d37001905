"""`tmca calibrate`: fit a model's probabilities and agreement on validation cases, and store both with it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tmca_core.cli.options import Device, DeviceOption, LayoutOption, ModelOption
from tmca_core.terminal import ProgressLine

if TYPE_CHECKING:
    from tmca_core.recipes.calibrate import CalibrationFigures


def calibrate(
    data: Annotated[Path, typer.Option("--data", help="Data folder.")],
    layout: LayoutOption = "auto",
    split: Annotated[str, typer.Option("--split", help="Split to fit on; never the one trained on.")] = "val",
    model: ModelOption = "tmca-compact",
    device: DeviceOption = Device.AUTO,
    limit: Annotated[int | None, typer.Option("--limit", min=4, help="At most N cases, evenly spread.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure, and store nothing.")] = False,
) -> None:
    """Fit a model's temperature and agreement on validation cases.

    Stores both in the model's manifest. Figures are cross-fitted over two halves of the patients.
    """
    from tmca_core.data import open_dataset
    from tmca_core.model.checkpoint import find_model, save_calibration
    from tmca_core.predictor import Predictor
    from tmca_core.recipes.calibrate import Calibrated
    from tmca_core.recipes.calibrate import calibrate as calibrate_recipe
    from tmca_core.recipes.evaluate import spread

    dataset = open_dataset(data, layout)
    cases = spread(dataset.split(split), limit)
    predictor = Predictor.load(model, device.value)
    with ProgressLine() as line:
        for event in calibrate_recipe(predictor, cases):
            if isinstance(event, Calibrated):
                done = event
            else:
                line.show_count(split, event.done, event.total)
    typer.echo(_describe(done.figures))
    typer.echo(json.dumps(done.calibration.as_json()))
    if not dry_run:
        folder = find_model(model)
        save_calibration(folder, done.calibration, {f"calibration_{dataset.folder.name}_{split}": done.as_json()})
        typer.echo(f"stored in {folder}")


def _describe(figures: "CalibrationFigures") -> str:
    coverage = ", ".join(f"{share} of the cases {dice:.4f}" for share, dice in figures.dice_at_coverage.items())
    return (
        f"{figures.n:,} cases\n"
        f"calibration error of pixels (ECE): {figures.ece_before:.4f}, after fitting {figures.ece_after:.4f}\n"
        f"agreement, own against other reports: AUROC {figures.agreement_auroc:.4f}; warned: own "
        f"{figures.warned_own:.1%}, other {figures.warned_other:.1%}\n"
        f"mean Dice of the most confident: {coverage}"
    )
