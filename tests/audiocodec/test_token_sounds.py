import torch

from audiocodec.reader import TokenReader
from audiocodec.token_sounds import LONGEST, SIDES, SOUND_FEATURES, numbers, sound_features

TOKENS = {"bin": "bɪn", "bins": "bɪnz", "nib": "nɪb", "strawberry": "stɹɔbɛɹi", "bean": "bin"}


def phones_of(*sounds: str, starts: bool = True) -> torch.Tensor:
    phones = torch.zeros(len(sounds), SIDES, LONGEST, dtype=torch.uint8)
    for row, sound in zip(phones, sounds, strict=True):
        spelled = numbers(sound, starts)
        row[:, : len(spelled)] = torch.tensor(spelled, dtype=torch.uint8)
    return phones


def test_tokens_that_sound_alike_lie_close() -> None:
    features = sound_features(phones_of(*TOKENS.values()))
    assert features.shape == (len(TOKENS), SOUND_FEATURES)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(len(TOKENS)))
    close = dict(zip(TOKENS, (features @ features[0]).tolist(), strict=True))
    assert close["bins"] > close["nib"] > close["strawberry"]
    assert close["bean"] > close["strawberry"]
    assert max(close["bins"], close["bean"], close["nib"]) < 0.95 < close["bin"]


def test_what_nobody_pronounces_has_no_features() -> None:
    assert not sound_features(torch.zeros(2, SIDES, LONGEST, dtype=torch.uint8)).any()
    assert numbers("?!", starts_word=False) == []
    assert len(numbers("ə" * 40, starts_word=True)) == LONGEST


def test_where_a_word_begins_counts() -> None:
    whole, piece = phones_of("ɪk"), phones_of("ɪk", starts=False)
    assert float((sound_features(whole) * sound_features(piece)).sum()) < 0.9


def make_reader(*sounds: str) -> TokenReader:
    torch.manual_seed(4)
    count = len(sounds)
    return TokenReader(torch.randn(count, 12), torch.arange(count), phones_of(*sounds), sound_width=16)


def test_rows_by_number_are_those_of_all() -> None:
    reader = make_reader(*TOKENS.values())
    index = torch.tensor([[3, 0], [1, 1]])
    assert reader.rows().shape == (5, 28)
    torch.testing.assert_close(reader.rows(index), reader.rows()[index])


def test_a_token_never_trained_is_found_by_its_sound() -> None:
    reader, told = make_reader("bɪn", "kɪt", "kɪn", "bæn", "bæt", "kæn"), list(range(5))
    mouth = torch.nn.Linear(SOUND_FEATURES, 16, bias=False)  # tells a frame's phones, as an encoder learns to
    features = sound_features(reader.phones)
    optimizer = torch.optim.Adam([*mouth.parameters(), *reader.parameters()], 0.02)
    for _ in range(60):
        frames = torch.cat([torch.zeros(5, 12), mouth(features[told])], dim=-1)[None]
        scores = reader(frames, torch.tensor(told))[0]
        loss = torch.nn.functional.cross_entropy(scores, torch.arange(1, 6))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    unheard = torch.cat([torch.zeros(1, 12), mouth(features[5:])], dim=-1)[None]
    assert int(reader(unheard)[0, 0, 1:].argmax()) == 5
