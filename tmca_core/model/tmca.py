"""The TMCA network: the whole forward pass on one screen.

Target-informed multi-level contrastive alignment, after M. Li et al., arXiv 2412.13533. The design of the three parts
(TSDM, multi-level alignment, LTEM) is this project's own; the paper's equations are not public.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, normalize, pad

from tmca_core.model.blocks import masked_mean
from tmca_core.model.decoder import Decoder, level_attention
from tmca_core.model.image_encoder import CompactConvNeXt, EfficientNetLite, ImageFeatures, PretrainedConvNeXt
from tmca_core.model.losses import segmentation_loss
from tmca_core.model.semantic_distance import foreground_sums

if TYPE_CHECKING:
    from tmca_core.model.alignment import MultiLevelAlignment
    from tmca_core.model.enhancement import Enhanced
    from tmca_core.model.text_encoder import ReportEmbedding, ReportTokenizer, ReportTokens, TextEncoder


@dataclass(frozen=True, eq=False)
class TmcaOutput:
    """What the network says about a batch.

    Attributes
    ----------
    logits : Tensor, shape (B, 1, H, W)
        At the size of the pictures.
    levels : tuple of Enhanced
        Level 1 to 4: g_l and A_l. Empty when LTEM is switched off.
    report : ReportEmbedding
        E.
    report_embeddings : Tensor, shape (B, d)
        e, the mean of E.
    report_vectors : Tensor, shape (B, d_a)
        z.

    """

    logits: Tensor
    levels: tuple[Enhanced, ...]
    report: ReportEmbedding
    report_embeddings: Tensor
    report_vectors: Tensor


@dataclass(frozen=True, eq=False)
class TmcaLoss:
    """Total and parts of the training loss; each a scalar."""

    total: Tensor
    segmentation: Tensor
    soft: Tensor
    pixel: Tensor


class Tmca(nn.Module):
    """Image encoder, text encoder, decoder with LTEM, and the alignment that trains them.

    Parameters
    ----------
    image_encoder : CompactConvNeXt, EfficientNetLite or PretrainedConvNeXt
        Pictures to features.
    text_encoder : TextEncoder
        Sentences to token embeddings.
    tokenizer : ReportTokenizer
        Sentences to tokens; belongs to the text encoder's vocabulary.
    decoder : Decoder
        Features and report to logits.
    alignment : MultiLevelAlignment or None
        ``None`` trains on the segmentation loss alone. For ablation.
    align_dim : int
        d_a.
    alignment_weight, pixel_weight : float
        lambda and beta of METHOD.

    """

    def __init__(
        self,
        *,
        image_encoder: CompactConvNeXt | EfficientNetLite | PretrainedConvNeXt,
        text_encoder: TextEncoder,
        tokenizer: ReportTokenizer,
        decoder: Decoder,
        alignment: MultiLevelAlignment | None,
        align_dim: int,
        alignment_weight: float = 0.1,
        pixel_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self.decoder = decoder
        self.alignment = alignment
        self.to_align = nn.Linear(text_encoder.dim, align_dim)
        self.alignment_weight = alignment_weight
        self.pixel_weight = pixel_weight

    def forward(self, images: Tensor, reports: ReportTokens) -> TmcaOutput:
        """Segment a batch of (B, 3, H, W) pictures by a batch of tokenised reports."""
        return self.decode(self.encode_image(images), self.encode_reports(reports))

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """Return the features of (B, 3, H, W) pictures of any size: padded here to the encoder's stride."""
        height, width = images.shape[-2:]
        stride = self.image_encoder.stride
        padded = pad(images, (0, -width % stride, 0, -height % stride), mode="replicate")
        detail, (level_1, level_2, level_3, level_4) = self.image_encoder(padded)
        return ImageFeatures(detail, (level_1, level_2, level_3, level_4), (height, width))

    def encode_reports(self, reports: ReportTokens) -> ReportEmbedding:
        """Return E of a batch of reports."""
        embedding: ReportEmbedding = self.text_encoder(reports)
        return embedding

    def decode(self, features: ImageFeatures, report: ReportEmbedding) -> TmcaOutput:
        """Return masks and maps from features and reports of equal batch size."""
        report_embeddings = masked_mean(report.tokens.float(), report.mask)
        report_vectors = self.text_vectors(report_embeddings)
        decoded = self.decoder(features, report, report_vectors)
        return TmcaOutput(decoded.logits, decoded.levels, report, report_embeddings, report_vectors)

    def text_vectors(self, embeddings: Tensor) -> Tensor:
        """Return z, (N, d_a) of unit length, of mean token embeddings (N, d)."""
        return normalize(self.to_align(embeddings), dim=-1)

    def sentence_attention(self, output: TmcaOutput, sentences: ReportEmbedding) -> list[Tensor]:
        """Return the maps of each sentence of a report: per level (S, 1, h, w), 0..1; empty without LTEM.

        Parameters
        ----------
        output : TmcaOutput
            Of one picture, batch size 1.
        sentences : ReportEmbedding
            Of a single report; not always what the picture was segmented by.

        """
        numbers = torch.arange(sentences.num_sentences, device=sentences.sentence.device)
        member = (sentences.sentence == numbers[:, None]).float()  # (S, T)
        # A product of matrices: an (S, T, d) copy of the tokens would need 50 GB for a report of 10,000 words.
        return self.text_attention(output, sentences.tokens[0], member)

    def text_attention(self, output: TmcaOutput, tokens: Tensor, member: Tensor) -> list[Tensor]:
        """Return the maps of parts of a text, such as its words: per level (W, 1, h, w), 0..1; empty without LTEM.

        Parameters
        ----------
        output : TmcaOutput
            Of one picture, batch size 1.
        tokens : Tensor, shape (T, d)
            Token embeddings.
        member : Tensor, shape (W, T)
            1 where a token belongs to a part, else 0.

        """
        means = member @ tokens.float() / member.sum(1, keepdim=True).clamp_min(1.0)  # (W, d)
        return level_attention(self.decoder, output.levels, self.text_vectors(means))

    def target_sums(self, output: TmcaOutput) -> list[Tensor]:
        """Return, per level, the summed embeddings (B, d_a) of what the network itself takes for the target."""
        probability = output.logits.sigmoid()
        sums = []
        for level in output.levels:
            embeddings = level.pixel_embeddings.float()
            share = adaptive_avg_pool2d(probability, (embeddings.shape[-2], embeddings.shape[-1]))
            sums.append(foreground_sums(embeddings, share))
        return sums

    def loss(
        self,
        output: TmcaOutput,
        targets: Tensor,
        is_own_report: Tensor | None = None,
        pixel_weights: Tensor | None = None,
    ) -> TmcaLoss:
        """Return the training loss of a batch.

        Parameters
        ----------
        output : TmcaOutput
            Of a batch.
        targets : Tensor, shape (B, 1, H, W)
            0..1.
        is_own_report : Tensor of bool, shape (B,), optional
            False where the report is another case's: that pair takes no part in the alignment. All true by default.
        pixel_weights : Tensor, shape (B, 1, H, W), optional
            How much each pixel counts in the segmentation loss; 1 by default.

        """
        segmentation = segmentation_loss(output.logits, targets, pixel_weights)
        soft = pixel = segmentation.new_zeros(())
        if self.alignment is not None and output.levels:
            embeddings = [level.pixel_embeddings for level in output.levels]
            has_report = output.report.has_report
            # Without a target a pair is left out of both losses.
            pairs = targets if is_own_report is None else targets * is_own_report[:, None, None, None]
            aligned = self.alignment(embeddings, output.report_vectors, output.report_embeddings, has_report, pairs)
            soft, pixel = aligned.soft, aligned.pixel
        total = segmentation + self.alignment_weight * (soft + self.pixel_weight * pixel)
        return TmcaLoss(total, segmentation, soft, pixel)
