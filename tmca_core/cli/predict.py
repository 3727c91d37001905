"""`tmca predict`: one scan and one report in, a folder of results out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tmca_core.cli.options import AffineOption, Device, DeviceOption, ModelOption, ShrinkOption, SpacingOption
from tmca_core.terminal import ProgressLine, printable

if TYPE_CHECKING:
    from tmca_core.recipes.predict import PredictionWritten
    from tmca_core.study import Report, Scan

_SENTENCES_SHOWN = 30


def predict(
    scan: Annotated[
        Path, typer.Argument(metavar="SCAN", help="A picture, NIfTI, NRRD or MHA file, or a DICOM file or folder.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; made if needed.")],
    report: Annotated[str | None, typer.Option("--report", help="The report, in quotes.")] = None,
    report_file: Annotated[Path | None, typer.Option("--report-file", help="A text file with the report.")] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Use the image alone.")] = False,
    series: Annotated[
        str | None, typer.Option("--series", help="Which DICOM series: its number in the list, or its UID.")
    ] = None,
    frame: Annotated[
        int | None, typer.Option("--frame", min=1, help="Which frame, volume or page, where the file holds several.")
    ] = None,
    affine: AffineOption = None,
    spacing: SpacingOption = None,
    shrink: ShrinkOption = 1,
    slices: Annotated[
        str | None, typer.Option("--slices", help="Of a volume, the slices to look at, such as 10:40; all by default.")
    ] = None,
    model: ModelOption = "default",
    device: DeviceOption = Device.AUTO,
    threshold: Annotated[
        float | None, typer.Option("--threshold", min=0, max=1, help="Probability from which a pixel is target.")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="More files of the mask: nifti, png, tiff, nrrd, seg, rtstruct, sr, capture. Repeat or use commas.",
        ),
    ] = None,
) -> None:
    """Segment one scan with its report.

    Writes the mask, the probability, four attention maps, an overlay and result.json.
    """
    if [report is not None, report_file is not None, no_report].count(True) != 1:
        raise typer.BadParameter("expected exactly one of --report TEXT, --report-file FILE and --no-report")
    from tmca_core.io import read_scan
    from tmca_core.io.formats import parse_formats
    from tmca_core.io.spacing import parse_spacing
    from tmca_core.report import parse_report, read_report
    from tmca_core.slicewise import parse_range

    text = read_report(report_file) if report_file is not None else report
    parsed = None if text is None else parse_report(text)
    asked = parse_formats(formats or ())
    image = read_scan(
        scan,
        series=series,
        frame=frame,
        affine=None if affine is None else affine.value,
        spacing=None if spacing is None else parse_spacing(spacing),
        shrink=shrink,
    )
    wanted = None if slices is None else parse_range(slices, image.shape[0] if image.ndim == 3 else 1)
    _print_request(scan, image, parsed)

    from tmca_core.predictor import Predictor, SlicesDone
    from tmca_core.recipes.predict import PredictionWritten, predict_to_folder

    predictor = Predictor.load(model, device.value)
    with ProgressLine() as line:
        for event in predict_to_folder(
            predictor, image, parsed, out, threshold=threshold, formats=asked, slices=wanted
        ):
            if isinstance(event, SlicesDone):
                line.show_count("slice", event.done, event.total)
            elif isinstance(event, PredictionWritten):
                line.clear()
                _print_prediction(event)


def _print_request(path: Path, scan: "Scan", report: "Report | None") -> None:
    spacing = "spacing unknown"
    if scan.spacing_mm is not None:
        spacing = f"spacing {' x '.join(f'{step:.3g}' for step in scan.spacing_mm)} mm"
    typer.echo(f"scan: {path.name}, {' x '.join(map(str, scan.shape))}{' RGB' * scan.is_rgb}, {spacing}")
    for note in scan.notes:
        typer.echo(f"note: {note}")
    if report is not None:
        _print_sentences(report)


def _print_sentences(report: "Report") -> None:
    from tmca_core.report import tellings

    used, words = frozenset(report.used), {"left out": "not told", "unused": "not used"}
    for sentence, telling in list(zip(report.sentences, tellings(report), strict=True))[:_SENTENCES_SHOWN]:
        typer.echo(f"{words.get(telling, 'used'):8}  {printable(sentence.text)}")
    if len(report.sentences) > _SENTENCES_SHOWN:
        typer.echo(f"... {len(report.sentences):,} sentences, of which {len(used):,} are used")


def _print_prediction(done: "PredictionWritten") -> None:
    result, provenance = done.result, done.segmentation.provenance
    of_files = [note for file in result["files"].values() for note in file.get("notes", ())]
    for message in dict.fromkeys([*result["messages"], *of_files]):
        typer.echo(f"note: {message}")
    is_volume = done.segmentation.logits.ndim == 3
    whole, unit = ("volume", "voxels") if is_volume else ("image", "pixels")
    sizes = [f"{result['area_fraction']:.1%} of the {whole}", f"{result['num_pixels']:,} {unit}"]
    if result["area_mm2"] is not None:
        sizes.append(f"{result['area_mm2']:,.0f} mm2")
    if result["volume_mm3"] is not None:
        sizes.append(f"{result['volume_mm3'] / 1000:,.1f} ml")
    typer.echo(f"mask: {', '.join(sizes)} (threshold {result['threshold']:g})")
    times = ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in provenance.timings_s.items())
    typer.echo(f"model: {provenance.model_name} {provenance.model_version} on {provenance.device}; {times}")
    typer.echo(f"written to {done.folder}: {', '.join(path.name for path in done.files)}")
