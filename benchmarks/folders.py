"""What is in data folders and what is wrong with them, as `tmca data check` says it, for docs/benchmark.md.

Usage: python benchmarks/folders.py FOLDER... [--json benchmarks/results/folders.json]
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
from pathlib import Path

from tmca_core.atomic import atomic_write
from tmca_core.data import open_dataset
from tmca_core.errors import TmcaError
from tmca_core.recipes.check_data import Checked, check_data


def main() -> None:
    """Check, say the faults, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/folders.json"))
    arguments = parser.parse_args()
    found = []
    for folder in arguments.folders:
        for event in check_data(open_dataset(folder)):
            if isinstance(event, Checked):
                found.append(event.as_json())
                sys.stdout.write(f"{folder.name}: {event.layout}\n")
                sys.stdout.writelines(f"  {remark.text}\n" for remark in event.remarks)
                sys.stdout.flush()
    told = {
        "kind": "folders",
        "command": "tmca data check FOLDER",
        "machine": platform.machine(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "folders": found,
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(arguments.json) as file:
        file.write((json.dumps(told, indent=2) + "\n").encode())


if __name__ == "__main__":
    try:
        main()
    except TmcaError as error:
        sys.exit(f"error: {error.message}\nhint: {error.hint}")
