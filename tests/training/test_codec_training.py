"""The codec's training on a few synthetic sounds and tiny nets."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from assistant.errors import WeightsError
from assistant.training import runs
from assistant.training.codec_clips import CodecClips, CodedProsody, coloured, crop
from assistant.training.coded_clips import CodedClips, kept_clips
from assistant.training.ear_loss import EarLoss
from assistant.training.speech_data import write_shard
from assistant.training.texts import Line
from assistant.training.train_codec import CodecNets, CodecRecipe, Pace, missing_colour, room
from assistant.training.train_renderer import Kept
from assistant.training.train_vocoder import VocoderPlan, VocoderRecipe
from assistant.training.voices import Spoken
from audiocodec.colour import Colour
from audiocodec.encoder import Encoder, EncoderConfig
from audiocodec.front_end import FrontEnd
from audiocodec.listener import Codebooks
from audiocodec.mel import LogMel
from audiocodec.mel_decoder import DecoderConfig, MelDecoder
from audiocodec.numbers import CODEC_HOP_LENGTH, N_MELS
from audiocodec.prosody import PROSODY_WIDTH
from audiocodec.sound_codes import SoundCoder, SoundCoderConfig
from audiocodec.vocoder import SourceFilterVocoder, VocoderConfig

EAR = EncoderConfig(24, 2, 4, 32, 16, 2, 1, 32, 12, 0)
VOCODER = VocoderConfig(1, 16, 32, 3, 1, 1, 16)


@pytest.fixture
def clips(tmp_path: Path) -> CodecClips:
    """Tones that rise, in a corpus of its own."""
    spoken = []
    for number in range(4):
        time = np.arange(48_000) / 24_000
        tone = np.sin(2 * np.pi * (120 + 30 * number + 40 * time) * time) * (0.4 + 0.3 * np.sin(9 * time))
        made = Spoken(tone.astype(np.float32), "voice", (40_000,), 1.0, 150.0)
        spoken.append((Line("la la", "ask", "a"), "La la.", made))
    write_shard(tmp_path, 0, spoken)
    return CodecClips({tmp_path: 1})


def books() -> Codebooks:
    torch.manual_seed(2)
    made = Codebooks(16)
    for name, value in made.named_buffers():
        value.copy_(torch.ones_like(value) if name.endswith("scale") else torch.rand_like(value))
    return made


def make_recipe(clips: CodecClips, steps: int = 40, critic_from: int = 10**9) -> CodecRecipe:
    torch.manual_seed(1)
    nets = CodecNets(
        SoundCoder(SoundCoderConfig(32, 16, 1, 1, 3)),
        Colour(),
        MelDecoder(DecoderConfig(32, 24, 16, 1, 1, 1, 3)),
    )
    pace = Pace(steps, 5e-3, 2, critic_from, fitted=2, colours=2)
    return CodecRecipe(nets, clips, CodedProsody(books()), EarLoss(Encoder(EAR)), pace)


def test_the_codes_are_learned_and_a_run_goes_on_as_if_it_had_not_stopped(
    clips: CodecClips, tmp_path: Path
) -> None:
    recipe = make_recipe(clips)
    losses = [recipe.step(number) for number in range(12)]
    assert losses[-1]["mel"] < 0.8 * losses[0]["mel"]
    assert losses[-1]["ear"] < losses[0]["ear"]
    first = make_recipe(clips)
    for number in range(3):
        first.step(number)
    runs.save(tmp_path / "run", first, 3, {})
    torch.manual_seed(99)
    second = make_recipe(clips)
    assert runs.restore(tmp_path / "run", second) == 3
    assert second.step(3) == losses[3]


def test_a_critic_joins_a_run_that_began_without(clips: CodecClips, tmp_path: Path) -> None:
    runs.save(tmp_path / "run", make_recipe(clips), 0, {})
    recipe = make_recipe(clips, critic_from=1)
    assert runs.restore(tmp_path / "run", recipe) == 0
    losses = [recipe.step(number) for number in range(4)]
    assert "critic" not in losses[0]
    assert losses[1]["critic"] == pytest.approx(2, abs=0.3)  # it knows nothing yet
    assert losses[3]["critic"] < losses[1]["critic"]
    runs.save(tmp_path / "run", recipe, 4, {})
    again = make_recipe(clips, critic_from=1)
    assert runs.restore(tmp_path / "run", again) == 4
    assert again.step(4) == recipe.step(4)


def test_bands_of_the_ear_are_found_in_decoded_spectra(clips: CodecClips) -> None:
    loss, rng = EarLoss(Encoder(EAR)), np.random.default_rng(3)
    loss.fit(clips.draw(rng, 6, 32) for _ in range(6))
    pcm = clips.draw(rng, 6, 32)
    log_mel, front_end = LogMel(), FrontEnd()
    mel, _ = log_mel(pcm, log_mel.initial_state(6))
    _, power, _, _ = front_end(pcm, front_end.initial_state(6))
    found = loss.power(mel)
    spread = (power - power.mean(dim=(0, 2), keepdim=True)).abs().mean()
    assert (found - power)[..., 8:-2].abs().mean() < 0.3 * spread
    assert float(loss(mel, mel)) == 0
    assert 0 < float(loss(mel + 0.1 * torch.randn_like(mel), mel)) < float(loss(mel.flip(0), mel))


def test_a_vocoder_learns_from_what_the_codes_leave(clips: CodecClips) -> None:
    recipe = make_recipe(clips)
    noise = torch.randint(-9_000, 9_000, (400 * 300,)).short()
    kept = Kept(torch.zeros(400, 1), torch.full((400,), 150.0), noise, torch.zeros(1, 1), torch.tensor([400]))
    coded = CodedClips(recipe.nets, kept_clips(kept), CodedProsody(books()))
    drawn = [coded.draw(random.Random(seed), 2, 40) for seed in range(12)]
    assert 0 < sum(clip.mel is None for clip in drawn) < 8
    clip = next(clip for clip in drawn if clip.mel is not None)
    assert clip.mel is not None
    assert clip.mel.shape == (2, 40, N_MELS)
    assert (clip.f0_hz == 150).all()
    assert clip.f0_hz.shape == (2, 40)
    assert clip.pcm.shape == (2, 40 * 240)
    plan = VocoderPlan(steps=4, batch=1, hops=20, adversarial_from=0)
    vocoding = VocoderRecipe(SourceFilterVocoder(VOCODER), plan, coded, torch.device("cpu"))
    assert {"spectra", "critic"} <= vocoding.step(0).keys()


def test_pitch_lies_between_that_of_frames() -> None:
    pitch = torch.tensor([100.0, 200.0, 0.0, 0.0, 300.0])
    kept = Kept(torch.zeros(5, 1), pitch, torch.zeros(5 * 300).short(), torch.zeros(1, 1), torch.tensor([5]))
    found = kept_clips(kept).f0
    np.testing.assert_allclose(found, [100, 130, 200, 0, 0, 300], atol=1e-3)


def test_crops_are_as_long_as_asked_and_of_other_levels() -> None:
    sound, rng = (np.ones(30_000) * 9_000).astype(np.int16), np.random.default_rng(1)
    crops = [crop(sound, rng, 3 * CODEC_HOP_LENGTH) for _ in range(30)]
    assert {one.shape for one in crops} == {(3 * CODEC_HOP_LENGTH,)}
    levels = [float(np.abs(one).max()) for one in crops]
    assert min(levels) < 0.1 < max(levels) < 0.5
    long = crop(sound, rng, 40 * CODEC_HOP_LENGTH)
    assert len(long) == 40 * CODEC_HOP_LENGTH
    assert not long[-20_000:].any()


def test_the_colour_is_fitted_in_the_end(clips: CodecClips) -> None:
    recipe = make_recipe(clips, steps=2)
    recipe.step(0)
    assert not recipe.average.colour.axes.any()
    recipe.step(1)
    axes = recipe.average.colour.axes
    torch.testing.assert_close(axes @ axes.T, torch.eye(len(axes)), atol=1e-4, rtol=1e-4)
    assert torch.equal(recipe.nets.colour.axes, axes)


def test_another_colour_is_as_loud_and_the_same_all_the_time() -> None:
    rng = np.random.default_rng(5)
    half = rng.normal(0, 0.1, 24_000)
    other = coloured(torch.from_numpy(np.concatenate([half, half])).float()[None], rng)[0].numpy()
    assert np.square(other).mean() == pytest.approx(0.01, rel=0.05)
    spectra = [np.abs(np.fft.rfft(one)) for one in (half, other[:24_000], other[24_000:])]
    bands = [one[:12_000].reshape(100, 120).mean(axis=1) for one in spectra]
    assert np.abs(np.log(bands[1] / bands[2])).max() < 0.02
    assert np.log(bands[1] / bands[0]).std() > 0.2


def test_missing_colour_is_that_of_means_of_what_sounds() -> None:
    true = torch.full((1, 4, 3), -2.0)
    true[:, 3] = -9.0
    made = true.clone()
    made[:, 0] += 1
    made[:, 1] -= 1
    assert not missing_colour(made, true).any()
    made[:, 3] += 5  # does not sound
    assert not missing_colour(made, true).any()
    made[:, 2, 0] += 3
    torch.testing.assert_close(missing_colour(made, true), torch.tensor([[-1.0, 0, 0]]))


def test_room_comes_and_goes() -> None:
    drawn = room(np.random.default_rng(1), 400, 32)
    assert 0.4 < float(drawn.float().mean()) < 0.55
    shares = drawn.float().mean(dim=1)
    assert bool((shares == 1).any())
    assert bool((shares == 0).any())


def test_coded_prosody_is_a_row_of_the_books() -> None:
    made = books()
    prosody = CodedProsody(made)(torch.randn(2, 5 * CODEC_HOP_LENGTH) * 0.1)
    assert prosody.shape == (2, 5, PROSODY_WIDTH)
    assert (made.loudness.codebooks[0] == prosody[0, 0, 8:]).all(dim=1).any()


def test_without_speech_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="speech-data"):
        CodecClips({tmp_path: 1})
