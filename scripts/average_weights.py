"""Average the weights of two models of one architecture, of which one was trained on from the other.

Usage: python scripts/average_weights.py FIRST SECOND --share 0.8 --out FOLDER --version 0.2.0

The average keeps more of what each can do than either alone (Wortsman et al., WiSE-FT, CVPR 2022). ``--share`` is the
second model's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tmca_core.model.checkpoint import find_model, load_model, save_model


def main() -> None:
    """Write the averaged model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--version", required=True)
    arguments = parser.parse_args()
    first, _, first_info = load_model(find_model(arguments.first))
    model, architecture, info = load_model(find_model(arguments.second))
    own, other = model.state_dict(), first.state_dict()
    model.load_state_dict(
        {
            name: other[name].lerp(value, arguments.share) if value.is_floating_point() else value
            for name, value in own.items()
        }
    )
    parents = [
        {"version": i.version, "sha256": i.weights_sha256, "share": share}
        for i, share in ((first_info, 1.0 - arguments.share), (info, arguments.share))
    ]
    training = {**info.training, "averaged": parents}
    save_model(model, architecture, arguments.out, name=info.name, version=arguments.version, training=training)


if __name__ == "__main__":
    main()
