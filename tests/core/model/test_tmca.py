from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from tmca_core.model.architecture import AlignmentArchitecture, EnhancementArchitecture
from tmca_core.model.build import build_tmca, build_tmca_tiny, tiny_vocabulary

REPORTS = [["Opacity in the left lower zone.", "No effusion."], ["Both lungs are clear."]]


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    model, _ = build_tmca_tiny()
    return model.eval()


def open_gates(model) -> None:
    for enhancement in model.decoder.enhancements:
        torch.nn.init.normal_(enhancement.gamma)


@pytest.mark.parametrize("shape", [(64, 64), (70, 101), (33, 200), (1, 1)], ids=str)
def test_any_size_gives_logits_of_that_size_and_maps_of_four_levels(tiny, shape):
    with torch.inference_mode():
        output = tiny(torch.randn(2, 3, *shape), tiny.tokenizer(REPORTS))
    assert output.logits.shape == (2, 1, *shape)
    padded = [-(-side // 32) * 32 for side in shape]
    assert [tuple(level.attention.shape) for level in output.levels] == [
        (2, 1, padded[0] // stride, padded[1] // stride) for stride in (4, 8, 16, 32)
    ]
    assert all(float(level.attention.min()) >= 0 and float(level.attention.max()) <= 1 for level in output.levels)


def test_padding_a_report_changes_nothing(tiny):
    open_gates(tiny)
    image = torch.randn(1, 3, 64, 64)
    long = ["A very long report about something else, with many words in it."] * 6
    with torch.inference_mode():
        alone = tiny(image, tiny.tokenizer(REPORTS[:1]))
        padded = tiny(image.expand(2, -1, -1, -1), tiny.tokenizer([REPORTS[0], long]))
    torch.testing.assert_close(padded.logits[:1], alone.logits, rtol=1e-4, atol=1e-5)
    for one, other in zip(alone.levels, padded.levels, strict=True):
        torch.testing.assert_close(other.attention[:1], one.attention, rtol=1e-4, atol=1e-5)


def test_wider_padding_of_the_tokens_changes_nothing(tiny):
    tokens = tiny.tokenizer(REPORTS)
    pad = torch.nn.functional.pad
    wider = replace(tokens, input_ids=pad(tokens.input_ids, (0, 9)), attention_mask=pad(tokens.attention_mask, (0, 9)))
    with torch.inference_mode():
        a, b = tiny.encode_reports(tokens), tiny.encode_reports(wider)
    torch.testing.assert_close(a.tokens, b.tokens, rtol=1e-4, atol=1e-5)


def test_an_untrained_gate_makes_the_empty_report_equal_to_the_image_only_network(tiny):
    _, architecture = build_tmca_tiny()
    image_only = build_tmca(
        architecture.model_copy(update={"enhancement": EnhancementArchitecture(enabled=False, align_dim=16)}),
        tiny_vocabulary(),
    ).eval()
    image_only.load_state_dict(
        {k: v for k, v in tiny.state_dict().items() if not k.startswith("decoder.enhancements.")}
    )
    image = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        with_gates = tiny(image, tiny.tokenizer([None, ()]))
        without = image_only(image, image_only.tokenizer([None, ()]))
    assert torch.equal(with_gates.logits, without.logits)
    assert not with_gates.report.has_report.any()


def test_gradients_flow_into_every_part(tiny):
    open_gates(tiny)
    tiny.train()
    targets = torch.zeros(3, 1, 64, 64)
    targets[:, :, 20:40, 10:30] = 1.0
    output = tiny(torch.randn(3, 3, 64, 64), tiny.tokenizer([*REPORTS, None]))
    tiny.loss(output, targets).total.backward()
    without = [
        name
        for name, parameter in tiny.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not bool(parameter.grad.abs().sum() > 0))
    ]
    # A key's bias moves all scores of a row alike, and softmax does not see it.
    assert [name for name in without if not name.endswith("key.bias")] == []


def test_overfitting_one_batch_reaches_dice_095_in_seconds(tiny):
    started = time.process_time()
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 64, 64, generator=generator)
    targets = torch.zeros(2, 1, 64, 64)
    targets[0, :, 30:60, 5:30] = 1.0
    targets[1, :, 5:30, 35:60] = 1.0
    tiny.train()
    optimizer = torch.optim.AdamW(tiny.parameters(), lr=5e-3)
    tokens = tiny.tokenizer([["lower left lung"], ["upper right lung"]])
    for _ in range(60):
        output = tiny(images, tokens)
        optimizer.zero_grad()
        tiny.loss(output, targets).total.backward()
        optimizer.step()
    prediction = output.logits > 0
    dice = 2 * (prediction * targets).sum((1, 2, 3)) / (prediction.sum((1, 2, 3)) + targets.sum((1, 2, 3)))
    assert dice.min().item() > 0.95
    assert time.process_time() - started < 60


@pytest.mark.parametrize(
    "alignment",
    [
        AlignmentArchitecture(enabled=False),
        AlignmentArchitecture(use_soft=False),
        AlignmentArchitecture(use_pixel=False),
        AlignmentArchitecture(levels=(1,)),
        AlignmentArchitecture(softness=0.0),
    ],
    ids=["none", "no soft", "no pixel", "level 1", "hard targets"],
)
def test_every_part_of_the_alignment_can_be_switched_off(alignment):
    _, architecture = build_tmca_tiny()
    model = build_tmca(architecture.model_copy(update={"alignment": alignment}), tiny_vocabulary())
    output = model(torch.randn(2, 3, 64, 64), model.tokenizer(REPORTS))
    loss = model.loss(output, (torch.rand(2, 1, 64, 64) > 0.5).float())
    loss.total.backward()
    assert (loss.soft.item() == 0) == (not alignment.enabled or not alignment.use_soft)
    assert (loss.pixel.item() == 0) == (not alignment.enabled or not alignment.use_pixel)


def test_a_sentence_has_its_own_map(tiny):
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        outputs = [tiny(image, tiny.tokenizer([report])) for report in (REPORTS[0], None)]
        maps, none = (tiny.sentence_attention(output, output.report) for output in outputs)
    assert [tuple(level.shape) for level in maps] == [(2, 1, 16, 16), (2, 1, 8, 8), (2, 1, 4, 4), (2, 1, 2, 2)]
    assert not torch.equal(maps[0][0], maps[0][1])
    assert [len(level) for level in none] == [0, 0, 0, 0]


def test_the_map_of_a_one_sentence_report_is_the_report_s_map(tiny):
    with torch.inference_mode():
        output = tiny(torch.randn(1, 3, 64, 64), tiny.tokenizer(REPORTS[1:]))
        maps = tiny.sentence_attention(output, output.report)
    for level, sentence in zip(output.levels, maps, strict=True):
        torch.testing.assert_close(level.attention, sentence)


def test_maps_can_be_of_sentences_that_the_picture_was_not_segmented_by(tiny):
    with torch.inference_mode():
        told = tiny.tokenizer([["opacity in the left lung."], REPORTS[0]])
        both = tiny.encode_reports(told)
        output = tiny.decode(tiny.encode_image(torch.randn(1, 3, 64, 64)), both.at(0))
        maps = tiny.sentence_attention(output, both.at(1))
    assert [len(level) for level in maps] == [len(REPORTS[0])] * 4


def test_one_report_of_a_batch_is_what_it_is_alone(tiny):
    with torch.inference_mode():
        batch = tiny.encode_reports(tiny.tokenizer([*REPORTS, None]))
        for index, report in enumerate((*REPORTS, None)):
            one, alone = batch.at(index), tiny.encode_reports(tiny.tokenizer([report]))
            torch.testing.assert_close(one.tokens, alone.tokens)
            assert torch.equal(one.mask, alone.mask)
            assert torch.equal(one.sentence, alone.sentence)
            assert torch.equal(one.has_report, alone.has_report)


def test_a_long_report_is_split_and_never_cut(tiny):
    words = ["opacity in the left lung " * 400]
    tokens = tiny.tokenizer([words])
    limit = tiny.tokenizer.max_tokens
    assert tokens.input_ids.shape[1] <= limit
    with torch.inference_mode():
        embedding = tiny.encode_reports(tokens)
    pieces = len(tiny.tokenizer.offsets(words[0])) - 2 * len(tokens.segments[0])
    assert int(embedding.mask.sum()) == pieces + 2 * len(tokens.segments[0])


def test_equal_sentences_are_encoded_once(tiny):
    tokens = tiny.tokenizer([["No effusion.", "No effusion."], ["No effusion."]])
    assert tokens.input_ids.shape[0] == 1
    assert [len(report) for report in tokens.segments] == [2, 1]


@pytest.mark.parametrize("text", ["", "\x00\x07", "مرحبا", "\ud800 lone", "🫁" * 300, "x" * 50_000])
def test_any_text_is_tokenised(tiny, text):
    with torch.inference_mode():
        embedding = tiny.encode_reports(tiny.tokenizer([[text]]))
    assert bool(embedding.tokens.isfinite().all())


def test_position_codes_ignore_the_padding(tiny):
    position = tiny.decoder.enhancements[0].position
    with torch.inference_mode():
        whole = position(8, 8)
        padded = position(16, 8, extent=(0.5, 1.0))
    torch.testing.assert_close(padded[..., :8, :], whole)


def test_plain_attention_to_the_words_differs_by_the_gate_alone(tiny):
    open_gates(tiny)
    _, architecture = build_tmca_tiny()
    enhancement = architecture.enhancement.model_copy(update={"use_target": False})
    plain = build_tmca(architecture.model_copy(update={"enhancement": enhancement}), tiny_vocabulary()).eval()
    plain.load_state_dict(tiny.state_dict())
    image = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        own, other = tiny(image, tiny.tokenizer(REPORTS)), plain(image, plain.tokenizer(REPORTS))
        assert not torch.equal(own.logits, other.logits)
        for network in (tiny, plain):
            for one in network.decoder.enhancements:
                one.attention_shift.fill_(100.0)  # a gate that is open everywhere is no gate
        torch.testing.assert_close(
            tiny(image, tiny.tokenizer(REPORTS)).logits, plain(image, plain.tokenizer(REPORTS)).logits
        )
