"""The configuration of a training: TOML and overrides in, one frozen value out."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tmca_core.data.augment import AugmentConfig
from tmca_core.data.telling import TellingConfig
from tmca_core.device import Precision
from tmca_core.errors import ConfigError
from tmca_core.model.architecture import AlignmentArchitecture, EnhancementArchitecture, ImageEncoderArchitecture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExtraData(_Frozen):
    """A further folder to train on, every case ``repeat`` times an epoch."""

    folder: Path
    layout: str = "auto"
    repeat: int = Field(default=1, ge=1)


class DataConfig(_Frozen):
    """What is trained on. ``val_limit`` and ``train_limit`` take a fixed part of a split; 0 is all of it.

    ``folder`` decides which epoch is kept; the folders in ``more`` are trained on beside it, each scored on its own
    val split where it has one, and named in the log.
    """

    folder: Path
    layout: str = "auto"
    train_split: str = "train"
    val_split: str = "val"
    train_limit: int = Field(default=0, ge=0)
    val_limit: int = Field(default=0, ge=0)
    phantoms: int = Field(default=0, ge=0)
    more: tuple[ExtraData, ...] = ()


class ModelConfig(_Frozen):
    """Which network. Sources are local folders or hub ids; a hub id needs its revision.

    ``start_from`` continues from the weights of a model instead of the pretrained encoders; with ``image_encoder``
    beside it, the folder of an EfficientNet-Lite0, that one takes the place of the model's own image encoder. With
    ``image``, the sizes of an image encoder, only the text encoder is taken from that model: the rest starts at random.
    """

    size: Literal["tiny", "compact", "base"] = "compact"
    text_encoder: str = ""
    text_revision: str | None = None
    image_encoder: str = ""
    image_revision: str | None = None
    num_trainable_text_layers: int = Field(default=2, ge=0)
    start_from: str = ""
    image: Annotated[ImageEncoderArchitecture, Field(discriminator="kind")] | None = None
    enhancement: EnhancementArchitecture | None = None
    alignment: AlignmentArchitecture | None = None


class Stage(_Frozen):
    """Epochs at one picture size, in pixels a side."""

    image_size: int = Field(ge=32)
    epochs: int = Field(ge=1)


class ScheduleConfig(_Frozen):
    """How long, how fast, how regularised. One cosine runs over all stages.

    ``text_learning_rate_scale`` and ``image_learning_rate_scale`` slow pretrained encoders down; an image encoder that
    starts at random learns at the full rate. With ``minutes``, training ends when they are over, validation included,
    if the epochs are not done before; the learning rate falls with the clock then, and a training that was resumed does
    not end in the same weights.
    """

    stages: tuple[Stage, ...] = (Stage(image_size=224, epochs=8),)
    minutes: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    text_learning_rate_scale: float = Field(default=0.1, ge=0)
    image_learning_rate_scale: float = Field(default=0.1, ge=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    gradient_clip: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.995, ge=0, lt=1)

    @property
    def num_epochs(self) -> int:
        """Epochs of all stages."""
        return sum(stage.epochs for stage in self.stages)

    def image_size(self, epoch: int) -> int:
        """Return the picture size of an epoch, counted from 0."""
        sizes = [stage.image_size for stage in self.stages for _ in range(stage.epochs)]
        return sizes[epoch]


class RunConfig(_Frozen):
    """Where it goes, and on what. ``threads`` 0 leaves the choice to torch.

    ``workers`` prepare batches ahead where a GPU computes; 0 takes the cores that are to spare. ``compile`` lets torch
    compile the image encoder, which takes a minute and pays in long trainings on a GPU.
    """

    out: Path
    name: str = "tmca-compact"
    version: str = "0.1.0"
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    threads: int = Field(default=0, ge=0)
    workers: int = Field(default=0, ge=0)
    compile: bool = False
    checkpoint_every: int = Field(default=100, ge=1)


class TrainConfig(_Frozen):
    """Everything a training depends on."""

    data: DataConfig
    run: RunConfig
    model: ModelConfig = ModelConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    augment: AugmentConfig = AugmentConfig()
    telling: TellingConfig = TellingConfig()


def read_train_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a TOML file and apply overrides such as ``run.seed=1``.

    Raises
    ------
    ConfigError
        If the file cannot be read, a key is unknown (the valid ones are listed), or a value is out of its range.

    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: the configuration cannot be read.", hint="Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected TOML, {error}.", hint="Mend the line named.") from error
    for override in overrides:
        _apply(values, override)
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise _config_error(path, error.errors()[0]) from error


def _apply(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise ConfigError(f"'{override}': expected section.key=value.", hint="For example run.seed=1.")
    *sections, last = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
    try:
        values[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[last] = text


def _config_error(path: Path, detail: ErrorDetails) -> ConfigError:
    where = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        valid = ", ".join(_valid_keys(detail["loc"][:-1]))
        return ConfigError(f"{path.name}: unknown key '{where}'.", hint=f"Valid keys there: {valid}.")
    return ConfigError(f"{path.name}: '{where}': {detail['msg']}.", hint="Mend the value named.")


def _valid_keys(location: tuple[int | str, ...]) -> list[str]:
    model: Any = TrainConfig
    for part in location:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            model = next(a for a in (annotation, *getattr(annotation, "__args__", ())) if hasattr(a, "model_fields"))
    return sorted(model.model_fields)
