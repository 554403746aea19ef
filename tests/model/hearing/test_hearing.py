"""From samples to embeddings: the pieces in which sound comes do not matter, and silence gives nothing."""

import itertools
from pathlib import Path

import pytest
import torch

from assistant.errors import WeightsError
from assistant.model.hearing import Hearing, HearingState
from assistant.model.hearing_files import (
    ADAPTER_FILE,
    CODEBOOKS_FILE,
    ENCODER_FILE,
    load_adapter,
    load_hearing,
    new_hearing,
    save_codes,
    save_encoder,
)
from assistant.model.listening import quicken_hearing
from assistant.model.manner import TRAITS, MannerConfig
from assistant.model.native import build
from assistant.model.turn_head import TurnHead
from audiocodec.encoder import EncoderConfig
from audiocodec.numbers import ENCODER_BLOCK_LENGTH
from audiocodec.token_sounds import LONGEST, SIDES

WIDTH = 12
CONFIG = EncoderConfig(
    width=24,
    heads=2,
    layers=1,
    feed_forward=32,
    projector_width=16,
    projector_heads=2,
    projector_layers=1,
    projector_feed_forward=32,
    model_width=WIDTH,
    sound_width=4,
    window_blocks=5,
    past_blocks=3,
)


def make_hearing(seed: int = 0) -> Hearing:
    torch.manual_seed(seed)
    embedding = torch.randn(40, WIDTH)
    phones = torch.randint(1, 40, (25, SIDES, LONGEST))
    hearing = new_hearing(CONFIG, MannerConfig(WIDTH, 8, 16, 24, 8), embedding, torch.arange(5, 30), phones)
    assert hearing.listener.encoder.spell is not None
    torch.nn.init.normal_(hearing.listener.encoder.spell.weight)
    for name, value in hearing.listener.codebooks.named_buffers():
        value.copy_(torch.ones_like(value) if name.endswith("scale") else torch.randn_like(value) * 0.5)
    torch.nn.init.normal_(hearing.say_how.weight)
    return hearing.eval()


def speechlike(blocks: int = 7) -> torch.Tensor:
    return torch.randn(blocks * ENCODER_BLOCK_LENGTH - 700, generator=torch.Generator().manual_seed(3)) * 0.2


def hear(
    hearing: Hearing, pcm: torch.Tensor, sizes: list[int]
) -> tuple[torch.Tensor, list[float], HearingState]:
    state, found, finished, start = hearing.initial_state(), [], [], 0
    for size in itertools.cycle(sizes):
        if start >= len(pcm):
            break
        block, state = hearing.step(state, pcm[start : start + size])
        start += size
        found.append(block.embeddings)
    block, state = hearing.flush(state)
    finished.append(block.finished)
    return torch.cat([*found, block.embeddings]), finished, state


def test_any_pieces_give_the_same() -> None:
    hearing, pcm = make_hearing(), speechlike()
    whole, finished, _ = hear(hearing, pcm, [len(pcm)])
    assert len(whole) > 2
    for sizes in ([1_000], [ENCODER_BLOCK_LENGTH], [17, 5_000, 240], [3_839, 1]):
        pieces, judged, state = hear(hearing, pcm, sizes)
        torch.testing.assert_close(pieces, whole, rtol=0, atol=0)
        assert judged == finished
        assert state.frames == 18  # the last four of silence that the encoder looks ahead to


def test_a_sound_alone_has_the_codes_of_the_live_path() -> None:
    hearing, pcm = make_hearing(), speechlike()
    found, state = [], hearing.initial_state()
    for part in torch.split(pcm, 1_000):
        block, state = hearing.step(state, part)
        found.append(block.codes)
    block, _ = hearing.flush(state)
    codes = hearing.hear_alone(pcm)
    assert torch.equal(codes, torch.cat([*found, block.codes]))
    assert len(codes) == 14  # seven blocks, the last one begun


def test_state_is_a_value() -> None:
    """Going on twice from one state gives the same twice: what a rewind needs."""
    hearing, pcm = make_hearing(), speechlike()
    _, state = hearing.step(hearing.initial_state(), pcm[:9_000])
    first, _ = hearing.step(state, pcm[9_000:20_000])
    second, _ = hearing.step(state, pcm[9_000:20_000])
    torch.testing.assert_close(first.embeddings, second.embeddings, rtol=0, atol=0)


def test_bad_samples_are_silence_or_clipped() -> None:
    hearing, pcm = make_hearing(), speechlike()
    bad = pcm.clone()
    bad[100:200] = torch.nan
    bad[300] = torch.inf
    good = pcm.clone()
    good[100:200] = 0
    good[300] = 1
    torch.testing.assert_close(
        hear(hearing, bad, [5_000])[0], hear(hearing, good, [5_000])[0], rtol=0, atol=0
    )


def test_no_words_give_no_embeddings() -> None:
    hearing = make_hearing()
    with torch.no_grad():
        hearing.reader.blank_bias.fill_(1_000)
    embeddings, _, state = hear(hearing, speechlike(), [4_000])
    assert embeddings.shape == (0, WIDTH)
    assert state.runs == 0


def test_nothing_heard_is_nothing() -> None:
    hearing = make_hearing()
    block, state = hearing.flush(hearing.initial_state())
    assert block.embeddings.shape == (0, WIDTH)
    assert block.codes.shape == (0, 5)
    assert block.finished == 0
    assert hearing.impression(state).kinds == {}


def test_codes_and_impression() -> None:
    hearing = make_hearing()
    block, state = hearing.step(hearing.initial_state(), speechlike())
    assert block.codes.shape == (8, 5)  # of the 12 frames heard, four wait for what comes
    assert 0 <= block.finished <= 1
    assert 0 <= block.speech <= 1
    kinds = hearing.impression(state).kinds
    assert set(kinds) == set(TRAITS)
    assert all(kind in TRAITS[name] for name, (kind, _) in kinds.items())


def test_files_bring_it_back(tmp_path: Path) -> None:
    hearing, pcm = make_hearing(), speechlike()
    hearing.load_state_dict({name: value.half().float() for name, value in hearing.state_dict().items()})
    save_encoder(tmp_path / ENCODER_FILE, hearing.listener)
    save_codes(tmp_path / CODEBOOKS_FILE, hearing, TurnHead(WIDTH))
    loaded, _ = load_hearing(tmp_path, hearing.embedding)
    torch.testing.assert_close(hear(loaded, pcm, [4_000])[0], hear(hearing, pcm, [4_000])[0])


def test_missing_and_wrong_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights at"):
        load_hearing(tmp_path, torch.zeros(40, WIDTH))
    (tmp_path / ENCODER_FILE).write_bytes(b"not tensors")
    with pytest.raises(WeightsError, match="damaged"):
        load_hearing(tmp_path, torch.zeros(40, WIDTH))
    with pytest.raises(WeightsError, match="no weights at"):
        load_adapter(tmp_path / ADAPTER_FILE)


def test_rounded_to_int8_it_hears_the_same() -> None:
    plain, rounded = make_hearing(), make_hearing()
    quicken_hearing(rounded)
    pcm = speechlike()
    whole, _, _ = hear(rounded, pcm, [len(pcm)])
    torch.testing.assert_close(hear(rounded, pcm, [500])[0], whole, atol=1e-4, rtol=1e-4)
    with torch.inference_mode():
        raw = [one.listener.hear_all(pcm[None]).semantic for one in (plain, rounded)]
    assert (raw[0] - raw[1]).norm() < 0.02 * raw[0].norm()


def test_without_a_compiler_hearing_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "find_compiler", lambda: None)
    hearing = make_hearing()
    quicken_hearing(hearing)
    assert hearing.reader.match is None
    assert isinstance(hearing.listener.encoder.widen, torch.nn.Linear)
