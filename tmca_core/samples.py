"""Three real radiographs with their clinicians' notes, fetched once from where they were published.

From an article under CC BY 4.0 (doi 10.1186/s41182-020-00203-0), by way of a public copy of the COVID-19 image data
collection at a pinned commit. Each download is checked against its sha256.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from tmca_core.errors import SampleDataError

BASE_URL = "https://raw.githubusercontent.com/s-mostafa-a/covid-chestxray-dataset/173779df5bb2ab06fa1dc7f84ee9a212c759464b/images/"
LICENCE, DOI = "CC BY 4.0", "10.1186/s41182-020-00203-0"
TIMEOUT_S = 20


@dataclass(frozen=True)
class Sample:
    """A radiograph that can be fetched: its file's name, its sha256, and what its clinicians wrote."""

    file: str
    sha256: str
    report: str
    licence: str = LICENCE
    doi: str = DOI


SAMPLES: dict[str, Sample] = {
    "unremarkable": Sample(
        "41182_2020_203_Fig3_HTML.jpg",
        "599a26ff3c58951a5b8ef16504e2646588a6e80b5d2267f994ce1d5b523f402a",
        "Posteroanterior chest radiograph of patient 1. Unremarkable.",
    ),
    "infiltrates": Sample(
        "41182_2020_203_Fig4_HTML.jpg",
        "e737c1e26dae5427ff4b0e8653755b6d314d2b7e9b7db8d0ccdc67f1c271430a",
        "Hazy infiltrates in both lung fields consistent with pneumonia.",
    ),
    "worsening": Sample(
        "41182_2020_203_Fig5_HTML.jpg",
        "1760ae794275ae9766f64e8896d796512998b7f3d9e750db19e776372e436362",
        "Endotracheal tube in situ approximately 2 cm above the carina. There is worsening of the previously noted "
        "pneumonia.",
    ),
}


def fetch_sample(name: str, *, base_url: str = BASE_URL) -> Path:
    """Return the file of a sample, downloading it the first time.

    Parameters
    ----------
    name : str
        Key of `SAMPLES`.
    base_url : str
        Where the files lie.

    Raises
    ------
    SampleDataError
        If there is no such sample, it cannot be fetched, its checksum differs, or the cache cannot be written.

    """
    if name not in SAMPLES:
        raise SampleDataError(f"Sample '{name}': expected one of {', '.join(SAMPLES)}.", hint="Choose one of these.")
    import pooch

    sample, cache = SAMPLES[name], user_cache_path("napari-tmca")
    pooch.get_logger().setLevel("ERROR")
    try:
        found = pooch.retrieve(
            base_url + sample.file,
            known_hash=f"sha256:{sample.sha256}",
            fname=sample.file,
            path=cache,
            downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S),
        )
    except ValueError as error:
        raise SampleDataError(
            f"{sample.file}: the download is not the expected file (its sha256 differs); it was not kept.",
            hint="Try again later; a proxy may have answered in its place.",
        ) from error
    except PermissionError as error:
        raise SampleDataError(f"{cache}: no permission to keep the download there.", hint="Free the folder.") from error
    except OSError as error:
        raise SampleDataError(
            f"{sample.file}: the sample could not be downloaded; nothing was changed.",
            hint="Check the network, or use the digital phantom, which needs none.",
        ) from error
    return Path(found)
