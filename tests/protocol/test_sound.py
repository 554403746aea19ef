"""G.711 and the resampler."""

import base64

import numpy as np
import pytest

from assistant.protocol import sound
from assistant.session.errors import Refused
from assistant.session.resample import Resampler


@pytest.mark.parametrize(
    ("encode", "decode"),
    [(sound.encode_mu_law, sound.decode_mu_law), (sound.encode_a_law, sound.decode_a_law)],
    ids=["mu-law", "A-law"],
)
def test_g711_round_trip(encode, decode) -> None:
    codes = bytes(range(256))
    again = encode(decode(codes))
    same = sum(a == b for a, b in zip(codes, again, strict=True))
    assert same >= 255  # mu-law has two zeros
    wave = 0.5 * np.sin(np.arange(800) / 7).astype(np.float32)
    error = decode(encode(wave)) - wave
    assert 10 * np.log10(np.mean(wave**2) / np.mean(error**2)) > 30


def test_known_codes() -> None:
    assert sound.decode_mu_law(b"\xff")[0] == 0
    assert sound.decode_mu_law(b"\x00")[0] == pytest.approx(-32_124 / 32_768)
    assert sound.decode_a_law(b"\xd5")[0] == pytest.approx(8 / 32_768)
    assert sound.decode_a_law(b"\x2a")[0] == pytest.approx(-32_256 / 32_768)


@pytest.mark.parametrize(("up", "down"), [(2, 3), (3, 1), (1, 3)])
def test_resampling_is_the_same_for_any_cutting(up: int, down: int) -> None:
    rng = np.random.default_rng(0)
    wave = rng.normal(0, 0.1, 4_801).astype(np.float32)
    whole = Resampler(up, down).process(wave)
    streaming, pieces, at = Resampler(up, down), [], 0
    while at < len(wave):
        size = int(rng.integers(1, 500))
        pieces.append(streaming.process(wave[at : at + size]))
        at += size
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)
    assert abs(len(whole) - len(wave) * up / down) <= 1


def test_a_tone_keeps_its_level() -> None:
    wave = np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000).astype(np.float32)
    slow = Resampler(2, 3).process(wave)[1_000:]
    assert np.sqrt(np.mean(slow**2)) == pytest.approx(np.sqrt(0.5), rel=0.01)


def test_appended_sound() -> None:
    assert sound.SoundReader().read(base64.b64encode(bytes(4)).decode(), "audio") == bytes(4)
    telephone = sound.SoundReader(sound.MU_LAW)
    pcm = telephone.read(base64.b64encode(b"\xff" * 160).decode(), "audio")
    assert len(pcm) == 2 * 480
    with pytest.raises(Refused):
        sound.SoundReader().read("A", "audio")
