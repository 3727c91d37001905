"""Builders: one function per published size, and the one that all of them call."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from tokenizers import BertWordPieceTokenizer

from tmca_core.model.alignment import MultiLevelAlignment
from tmca_core.model.architecture import (
    AlignmentArchitecture,
    CompactImageEncoder,
    EfficientNetLiteImageEncoder,
    EnhancementArchitecture,
    ImageEncoderArchitecture,
    PreprocessArchitecture,
    TextEncoderArchitecture,
    TmcaArchitecture,
)
from tmca_core.model.bert import Bert
from tmca_core.model.decoder import Decoder
from tmca_core.model.enhancement import TargetEnhancement
from tmca_core.model.hub import (
    PretrainedSource,
    load_bert_weights,
    load_convnext_weights,
    load_efficientnet_lite,
    read_bert,
    read_convnext,
)
from tmca_core.model.image_encoder import CompactConvNeXt, EfficientNetLite, PretrainedConvNeXt
from tmca_core.model.text_encoder import ReportTokenizer, TextEncoder
from tmca_core.model.tmca import Tmca

if TYPE_CHECKING:
    from collections.abc import Sequence

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

COMPACT_ENHANCEMENT = EnhancementArchitecture(align_dim=64, attention_dim=64)

CXR_BERT = PretrainedSource("microsoft/BiomedVLP-CXR-BERT-specialized", revision="v1.1")


def build_tmca(architecture: TmcaArchitecture, vocabulary: Sequence[str]) -> Tmca:
    """Build a network with random weights.

    Parameters
    ----------
    architecture : TmcaArchitecture
        What it is made of.
    vocabulary : sequence of str
        Word pieces of the text encoder, in the order of their ids.

    Raises
    ------
    ValueError
        If the vocabulary's size is not the architecture's.

    """
    text, image = architecture.text_encoder, architecture.image_encoder
    if len(vocabulary) != text.vocab_size:
        raise ValueError(f"expected a vocabulary of {text.vocab_size} word pieces, got {len(vocabulary)}")
    return Tmca(
        image_encoder=_build_image_encoder(image),
        text_encoder=TextEncoder(Bert(text), num_trainable_layers=text.num_trainable_layers),
        tokenizer=_build_tokenizer(vocabulary, text),
        decoder=Decoder(
            channels=image.channels,
            detail_channels=image.detail_channels,
            enhancements=_build_enhancements(architecture),
            depth=architecture.decoder_depth,
            kernel_sizes=image.kernel_sizes,
        ),
        alignment=_build_alignment(architecture.alignment),
        align_dim=architecture.enhancement.align_dim,
        alignment_weight=architecture.alignment.alignment_weight,
        pixel_weight=architecture.alignment.pixel_weight,
    )


def build_tmca_base(
    *,
    image_source: PretrainedSource,
    text_source: PretrainedSource = CXR_BERT,
    enhancement: EnhancementArchitecture | None = None,
    alignment: AlignmentArchitecture | None = None,
) -> tuple[Tmca, TmcaArchitecture]:
    """Build ``tmca-base``: ConvNeXt-Tiny and CXR-BERT, or any ConvNeXt and BERT in the hub's layout.

    Parameters
    ----------
    image_source, text_source : PretrainedSource
        Hub id at a pinned revision, or a local folder. Nothing but numbers and tensors is read from either: no code in
        them ever runs.
    enhancement, alignment : optional
        Other than the defaults, for an ablation.

    Raises
    ------
    CheckpointError
        If a folder lacks a file, or its tensors do not fit.

    """
    bert, convnext = read_bert(text_source), read_convnext(image_source)
    architecture = TmcaArchitecture(
        image_encoder=convnext.architecture,
        text_encoder=bert.architecture,
        enhancement=enhancement or EnhancementArchitecture(),
        alignment=alignment or AlignmentArchitecture(),
    )
    model = build_tmca(architecture, bert.vocabulary)
    load_bert_weights(model.text_encoder.bert, bert)
    if isinstance(model.image_encoder, PretrainedConvNeXt):
        load_convnext_weights(model.image_encoder.backbone, convnext)
    return model, architecture


def build_tmca_compact(
    text_source: PretrainedSource,
    *,
    image_source: PretrainedSource | None = None,
    enhancement: EnhancementArchitecture | None = None,
    alignment: AlignmentArchitecture | None = None,
    num_trainable_layers: int = 2,
) -> tuple[Tmca, TmcaArchitecture]:
    """Build ``tmca-compact``: an image encoder of about 3 million weights for the CPU, and a small pretrained BERT.

    Parameters
    ----------
    text_source : PretrainedSource
        A small BERT such as the one `tmca_core.model.prune` makes of all-MiniLM-L6-v2.
    image_source : PretrainedSource, optional
        An EfficientNet-Lite0 as scripts/convert_efficientnet_lite.py writes it. Without one, the image encoder is a
        ConvNeXt of random weights.
    enhancement, alignment : optional
        Other than the defaults, for an ablation.
    num_trainable_layers : int
        Layers of the BERT, from the top, that training changes.

    """
    bert = read_bert(text_source)
    text = bert.architecture.model_copy(update={"num_trainable_layers": num_trainable_layers})
    architecture = TmcaArchitecture(
        image_encoder=CompactImageEncoder() if image_source is None else EfficientNetLiteImageEncoder(),
        text_encoder=text,
        enhancement=enhancement or COMPACT_ENHANCEMENT,
        alignment=alignment or AlignmentArchitecture(),
    )
    model = build_tmca(architecture, bert.vocabulary)
    load_bert_weights(model.text_encoder.bert, bert)
    if isinstance(model.image_encoder, EfficientNetLite) and image_source is not None:
        load_efficientnet_lite(model.image_encoder.backbone, image_source)
    return model, architecture


def with_efficientnet_lite(
    model: Tmca, architecture: TmcaArchitecture, image_source: PretrainedSource
) -> tuple[Tmca, TmcaArchitecture]:
    """Return a network with the text side and decoder of ``model``, and a pretrained EfficientNet-Lite0 to look with.

    The 1x1 convolutions between the two start at random: such a network has to be trained.

    Raises
    ------
    CheckpointError
        If a file of the image encoder is missing or damaged.

    """
    before = architecture.image_encoder
    image = EfficientNetLiteImageEncoder(
        channels=before.channels, kernel_sizes=before.kernel_sizes, detail_channels=before.detail_channels
    )
    model.image_encoder = EfficientNetLite(channels=image.channels, detail_channels=image.detail_channels)
    load_efficientnet_lite(model.image_encoder.backbone, image_source)
    return model, architecture.model_copy(update={"image_encoder": image})


def with_image_side(
    model: Tmca,
    architecture: TmcaArchitecture,
    image: ImageEncoderArchitecture,
    enhancement: EnhancementArchitecture | None = None,
) -> tuple[Tmca, TmcaArchitecture]:
    """Return a network with the text encoder of ``model``, and all that looks at pictures at random and of other sizes.

    Parameters
    ----------
    model, architecture : Tmca, TmcaArchitecture
        Whose words are taken over.
    image : CompactImageEncoder, EfficientNetLiteImageEncoder or ConvNeXtImageEncoder
        Sizes of the new image encoder; the decoder's follow from them.
    enhancement : EnhancementArchitecture, optional
        Other than that of ``architecture``.

    """
    update = {"image_encoder": image, "enhancement": enhancement or architecture.enhancement}
    architecture = architecture.model_copy(update=update)
    other = build_tmca(architecture, model.tokenizer.vocabulary)
    other.text_encoder.load_state_dict(model.text_encoder.state_dict())
    return other, architecture


def build_tmca_tiny(
    *, enhancement: EnhancementArchitecture | None = None, alignment: AlignmentArchitecture | None = None
) -> tuple[Tmca, TmcaArchitecture]:
    """Build a network of every part and 0.1 million random weights, for tests and first looks.

    Parameters
    ----------
    enhancement, alignment : optional
        Switches for ablation; everything is on by default, and small.

    """
    vocabulary = tiny_vocabulary()
    architecture = TmcaArchitecture(
        image_encoder=CompactImageEncoder(channels=(12, 16, 24, 32), depths=(1, 1, 1, 1), detail_channels=8),
        text_encoder=TextEncoderArchitecture(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            max_tokens=64,
        ),
        enhancement=enhancement or EnhancementArchitecture(align_dim=16, attention_dim=16, num_heads=2),
        alignment=alignment or AlignmentArchitecture(),
        preprocess=PreprocessArchitecture(image_size=96),
    )
    return build_tmca(architecture, vocabulary), architecture


def tiny_vocabulary() -> list[str]:
    """Return word pieces that spell any ASCII text, letter by letter where it is not about sides and zones."""
    characters = string.ascii_lowercase + string.digits
    words = "left right upper middle lower all lung lungs bilateral unilateral opacity consolidation no and of the in"
    return [*SPECIAL_TOKENS, *string.punctuation, *characters, *(f"##{c}" for c in characters), *words.split()]


def _build_image_encoder(
    image: ImageEncoderArchitecture,
) -> CompactConvNeXt | EfficientNetLite | PretrainedConvNeXt:
    if image.kind == "compact":
        return CompactConvNeXt(
            channels=image.channels,
            depths=image.depths,
            kernel_sizes=image.kernel_sizes,
            detail_channels=image.detail_channels,
        )
    if image.kind == "efficientnet-lite0":
        return EfficientNetLite(channels=image.channels, detail_channels=image.detail_channels)
    # Half of the time until a first answer, which tmca-compact need not wait for.
    from transformers import ConvNextConfig, ConvNextModel

    config = ConvNextConfig(hidden_sizes=list(image.channels), depths=list(image.depths))
    return PretrainedConvNeXt(ConvNextModel(config), detail_channels=image.detail_channels)


def _build_tokenizer(vocabulary: Sequence[str], text: TextEncoderArchitecture) -> ReportTokenizer:
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    return ReportTokenizer(BertWordPieceTokenizer(ids, lowercase=text.lower_case), max_tokens=text.max_tokens)


def _build_enhancements(architecture: TmcaArchitecture) -> list[TargetEnhancement] | None:
    enhancement = architecture.enhancement
    if not enhancement.enabled:
        return None
    return [
        TargetEnhancement(
            channels,
            architecture.text_encoder.hidden_size,
            align_dim=enhancement.align_dim,
            attention_dim=enhancement.attention_dim,
            num_heads=enhancement.num_heads,
            use_target=enhancement.use_target,
        )
        for channels in architecture.image_encoder.channels
    ]


def _build_alignment(alignment: AlignmentArchitecture) -> MultiLevelAlignment | None:
    if not alignment.enabled:
        return None
    return MultiLevelAlignment(
        levels=alignment.levels,
        use_soft=alignment.use_soft,
        use_pixel=alignment.use_pixel,
        report_weight=alignment.report_weight,
        softness=alignment.softness,
        temperature=alignment.temperature,
        target_temperature=alignment.target_temperature,
    )
