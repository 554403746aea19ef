"""The committed voice obeys: rate, styles and context change what is measured."""

import pytest
import torch
from torch import Tensor

from assistant.model.speaking.recital import Reciter, load_reciter, token_states
from assistant.model.speaking.speaker import Manner
from assistant.model.tokenizer import TextStream
from audiocodec.mel import LogMel
from audiocodec.numbers import MEL_HOP_LENGTH

pytestmark = pytest.mark.weights
TEXT = "The train to the coast leaves from platform nine in the morning."


@pytest.fixture(scope="module")
def reciter() -> Reciter:
    return load_reciter()


def sound(reciter: Reciter, manner: Manner) -> Tensor:
    return torch.cat([piece.pcm for piece in reciter.recite(TEXT, manner)])


@torch.inference_mode()
def pitch(reciter: Reciter, pcm: Tensor) -> Tensor:
    """Log2 of pitch of the voiced frames, as the vocoder's own pitch net hears it."""
    log_mel = LogMel()
    whole = pcm[None, : len(pcm) // MEL_HOP_LENGTH * MEL_HOP_LENGTH]
    mel, _ = log_mel(whole, log_mel.initial_state(1))
    vocoder = reciter.speaker.vocoder
    heard, _ = vocoder.pitch((mel + 5) / 3, vocoder.pitch.stack.initial_state(1))
    loud = mel.mean(dim=-1) > -9
    return heard[..., 0][(heard[..., 1] > 0) & loud]


def test_rate_is_followed(reciter: Reciter) -> None:
    normal, slow, fast = (len(sound(reciter, Manner(rate=rate))) for rate in (1.0, 0.7, 1.4))
    assert slow / normal == pytest.approx(1 / 0.7, rel=0.1)
    assert fast / normal == pytest.approx(1 / 1.4, rel=0.1)


def test_whisper_has_no_voice(reciter: Reciter) -> None:
    spoken, whispered = (pitch(reciter, sound(reciter, Manner(style))) for style in ("neutral", "whisper"))
    assert len(whispered) < len(spoken) / 2


def test_excited_is_higher_and_livelier(reciter: Reciter) -> None:
    neutral, excited = (pitch(reciter, sound(reciter, Manner(style))) for style in ("neutral", "excited"))
    assert excited.mean() > neutral.mean() + 0.05
    assert excited.std() > neutral.std() * 1.1


@torch.inference_mode()
def words_after(reciter: Reciter, ask: str) -> Tensor:
    """Frames and mean pitch in octaves of each word of one answer: (words, 2), NaN where unvoiced."""
    tokenizer, speaker = reciter.tokenizer, reciter.speaker
    prompt = [tokenizer.marker("<|im_start|>"), *tokenizer.encode(f"user\n{ask}")]
    prompt += [tokenizer.marker("<|im_end|>"), *tokenizer.encode("\n")]
    prompt += [tokenizer.marker("<|im_start|>"), *tokenizer.encode("assistant\n")]
    state, stream, pieces = speaker.initial_state(), TextStream(tokenizer), []
    ids = tokenizer.encode("Oh, I hear you. Tell me more about it.")
    for token, hidden in token_states(reciter.decoder, ids, speaker.layer, prompt):
        more, state = speaker.push(state, stream.push([token]), hidden)
        pieces += more
    rows = []
    for mel in (piece.mel for piece in [*pieces, *speaker.finish(state)] if len(piece.mel)):
        net = speaker.vocoder.pitch
        heard, _ = net((mel[None] + 5) / 3, net.stack.initial_state(1))
        voiced = (heard[0, :, 1] > 0) & (mel.mean(dim=-1) > -9)
        rows.append((float(len(mel)), float(heard[0, voiced, 0].mean())))
    return torch.tensor(rows)


def test_context_changes_prosody(reciter: Reciter) -> None:
    """The same words after different contexts are said differently, and after the same one alike."""
    won = words_after(reciter, "I just won the lottery! I can't believe it!")
    lost = words_after(reciter, "My dog died this morning. I'm so tired and sad.")
    again = words_after(reciter, "I just won the lottery! I can't believe it!")
    torch.testing.assert_close(again, won, equal_nan=True)
    assert len(won) == len(lost) == 9
    assert (won[:, 0] != lost[:, 0]).any()
    assert float((won - lost)[:, 1].abs().nanmean()) > 0.005  # octaves
