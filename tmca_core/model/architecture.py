"""What a network is made of, as frozen values that are stored beside its weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CompactImageEncoder(_Frozen):
    """See `tmca_core.model.image_encoder.CompactConvNeXt`."""

    kind: Literal["compact"] = "compact"
    channels: tuple[int, int, int, int] = (64, 128, 192, 256)
    depths: tuple[int, int, int, int] = (2, 2, 4, 2)
    kernel_sizes: tuple[int, int, int, int] = (3, 7, 7, 7)
    detail_channels: int = 24


class EfficientNetLiteImageEncoder(_Frozen):
    """See `tmca_core.model.image_encoder.EfficientNetLite`; the kernels are the decoder's."""

    kind: Literal["efficientnet-lite0"] = "efficientnet-lite0"
    channels: tuple[int, int, int, int] = (64, 128, 192, 256)
    kernel_sizes: tuple[int, int, int, int] = (3, 7, 7, 7)
    detail_channels: int = 24


class ConvNeXtImageEncoder(_Frozen):
    """A ConvNeXt of transformers; defaults are ConvNeXt-Tiny."""

    kind: Literal["convnext"] = "convnext"
    channels: tuple[int, int, int, int] = (96, 192, 384, 768)
    depths: tuple[int, int, int, int] = (3, 3, 9, 3)
    kernel_sizes: tuple[int, int, int, int] = (3, 7, 7, 7)
    detail_channels: int = 48


ImageEncoderArchitecture = CompactImageEncoder | EfficientNetLiteImageEncoder | ConvNeXtImageEncoder


class TextEncoderArchitecture(_Frozen):
    """A BERT; defaults are BERT-base as CXR-BERT has it.

    ``max_tokens`` is the longest segment in word pieces; ``num_trainable_layers`` counts from the top.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    layer_norm_eps: float = 1e-12
    lower_case: bool = True
    max_tokens: int = Field(default=128, ge=8)
    num_trainable_layers: int = Field(default=2, ge=0)


class EnhancementArchitecture(_Frozen):
    """LTEM. ``enabled = false`` gives an image-only network; ``use_target = false`` plain attention to the words."""

    enabled: bool = True
    use_target: bool = True
    align_dim: int = 128
    attention_dim: int = 128
    num_heads: int = 4


class AlignmentArchitecture(_Frozen):
    """Multi-level alignment and TSDM, a switch per part: `tmca_core.model.alignment.MultiLevelAlignment`."""

    enabled: bool = True
    levels: tuple[Literal[1, 2, 3, 4], ...] = (1, 2, 3, 4)
    use_soft: bool = True
    use_pixel: bool = True
    report_weight: float = Field(default=0.5, ge=0, le=1)
    softness: float = Field(default=0.8, ge=0, le=1)
    temperature: float = Field(default=0.07, gt=0)
    target_temperature: float = Field(default=0.1, gt=0)
    alignment_weight: float = Field(default=0.1, ge=0)
    pixel_weight: float = Field(default=1.0, ge=0)


class PreprocessArchitecture(_Frozen):
    """How a scan becomes the network's input. See `tmca_core.model.preprocess`."""

    image_size: int = Field(default=224, ge=32)
    low_percentile: float = 0.5
    high_percentile: float = 99.5


class TmcaArchitecture(_Frozen):
    """Everything `tmca_core.model.build.build_tmca` needs, apart from the vocabulary and the weights."""

    image_encoder: Annotated[ImageEncoderArchitecture, Field(discriminator="kind")] = CompactImageEncoder()
    text_encoder: TextEncoderArchitecture = TextEncoderArchitecture()
    decoder_depth: int = Field(default=1, ge=1)
    enhancement: EnhancementArchitecture = EnhancementArchitecture()
    alignment: AlignmentArchitecture = AlignmentArchitecture()
    preprocess: PreprocessArchitecture = PreprocessArchitecture()
