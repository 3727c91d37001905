"""``metadata.json`` in the manner of a MONAI bundle: what a model is for, in fields that other tools know.

Written beside the manifest, from what the manifest and the architecture say; the manifest is what this program reads.
"""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tmca_core.model.architecture import TmcaArchitecture
    from tmca_core.model.checkpoint import ModelInfo

METADATA = "metadata.json"
_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_PACKAGES = ("transformers", "safetensors", "scikit-image", "scipy")
_DISCLAIMER = "Research use only. Not a medical device: never decide about a patient on what it says."


def bundle_metadata(info: ModelInfo, architecture: TmcaArchitecture) -> dict[str, Any]:
    """Return the fields of a MONAI bundle's metadata for a model."""
    size = architecture.preprocess.image_size
    training = info.training
    return {
        "schema": _SCHEMA,
        "version": info.version,
        "changelog": {info.version: f"trained on {', '.join(training.get('datasets', [])) or 'data not recorded'}"},
        "pytorch_version": installed_version("torch"),
        "numpy_version": installed_version("numpy"),
        "required_packages_version": {name: installed_version(name) for name in _PACKAGES},
        "name": info.name,
        "task": "Language-guided segmentation of medical images",
        "description": "Outlines what a report describes on an image, or what the image alone shows.",
        "authors": "The napari-tmca developers",
        "copyright": "Weights: CC BY-NC-SA 4.0",
        "data_source": ", ".join(training.get("datasets", [])),
        "data_type": "2-D images: radiograph, ultrasound, MRI slice, endoscopy, histology",
        "image_classes": "one or three channels, clipped to robust percentiles, each image standardised",
        "label_classes": "single channel; 1 is the target that the report names",
        "pred_classes": "logits of the target",
        "eval_metrics": dict(info.figures),
        "intended_use": _DISCLAIMER,
        "references": ["M. Li et al., arXiv 2412.13533: the idea; the design here is this project's own."],
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "num_channels": 3,
                    "spatial_shape": [size, size],
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {"0": "image", "1": "image", "2": "image"},
                },
                "report": {"type": "text", "format": "sentences, English; left and right are the patient's"},
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": 1,
                    "spatial_shape": [size, size],
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {"0": "logit of the target"},
                }
            },
        },
    }
