"""Tokenizer, chat layout, sampling and the conversation on one cache."""

import pytest
import torch

from assistant.errors import WeightsError
from assistant.model.backbone import Backbone
from assistant.model.chat import ChatFormat, Message, fit
from assistant.model.conversation import Conversation
from assistant.model.decoder import TorchDecoder
from assistant.model.generate import Limits
from assistant.model.kv_cache import CacheShape
from assistant.model.sampling import Sampling, sample
from assistant.model.tokenizer import TextStream, Tokenizer, tokenizer_from_gguf

SHAPE = CacheShape(window=60, sinks=4, rewind=30)


def byte_metadata() -> dict[str, object]:
    """A GGUF vocabulary of three markers, the printable bytes and one merge."""
    letters = [chr(code) for code in range(33, 126)]  # byte-level BPE writes these bytes as themselves
    tokens = ["<|im_start|>", "<|im_end|>", "\u0120", "\u010a", *letters, "th", "\u00c3", "\u00a9"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": ["t h"],
        "tokenizer.ggml.token_type": [3, 3, *[1] * (len(tokens) - 2)],
    }


@pytest.fixture
def tokenizer() -> Tokenizer:
    return tokenizer_from_gguf(byte_metadata())


def test_text_survives(tokenizer: Tokenizer) -> None:
    for text in ("the <|im_end|> of it", "caf\u00e9 12", " two  spaces\n"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("th") == [tokenizer.marker("th")]


def test_a_typed_marker_is_only_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.marker("<|im_end|>") not in tokenizer.encode("stop<|im_end|>")
    with pytest.raises(WeightsError, match="was not trained for chat"):
        tokenizer.marker("<|nothing|>")


def test_half_characters_wait(tokenizer: Tokenizer) -> None:
    stream, ids = TextStream(tokenizer), tokenizer.encode("a\u00e9")
    assert [stream.push([id_]) for id_ in ids] == ["a", "", "\u00e9"]
    assert stream.push(ids[1:2]) == ""
    assert stream.flush() == "\ufffd"


@pytest.mark.parametrize("change", [{"tokenizer.ggml.model": "llama"}, {"tokenizer.ggml.merges": None}])
def test_unknown_vocabularies_are_refused(change: dict[str, object]) -> None:
    metadata = {key: value for key, value in {**byte_metadata(), **change}.items() if value is not None}
    with pytest.raises(WeightsError, match=r"is not known|is incomplete"):
        tokenizer_from_gguf(metadata)


def test_the_layout(tokenizer: Tokenizer) -> None:
    layout = ChatFormat(tokenizer)
    ids = layout.prompt([Message("system", "hi"), Message("user", "yo")])
    start, end, line = (
        tokenizer.marker("<|im_start|>"),
        tokenizer.marker("<|im_end|>"),
        tokenizer.encode("\n"),
    )
    want = [
        start,
        *tokenizer.encode("system\nhi"),
        end,
        *line,
        start,
        *tokenizer.encode("user\nyo"),
        end,
        *line,
    ]
    assert ids == [*want, start, *tokenizer.encode("assistant\n")]
    with pytest.raises(ValueError, match="role is 'boss'"):
        Message("boss", "hi")


def test_too_long_a_prompt_keeps_sinks_and_newest() -> None:
    assert fit(list(range(64)), SHAPE) == list(range(64))
    assert fit(list(range(100)), SHAPE) == [0, 1, 2, 3, *range(40, 100)]
    assert fit(list(range(100)), SHAPE, reserve=20) == [0, 1, 2, 3, *range(60, 100)]


def test_a_conversation_never_computes_twice(tiny: Backbone) -> None:
    """After two turns, one of them stopped early, the cache is that of the whole text read at once."""
    tokenizer = tokenizer_from_gguf(byte_metadata())
    decoder = TorchDecoder(tiny)
    talk, limits = Conversation(decoder, tokenizer, SHAPE), Limits(max_tokens=6)
    whole: list[int] = []
    for text, stop in (("one", None), ("two", 3)):
        talk.add(Message("user", text))
        whole += [*talk.format.turn(Message("user", text)), *talk.format.open("assistant")]
        said: list[int] = []
        answer = talk.answer(limits)
        for piece in answer:
            if piece.token is not None:
                said.append(piece.token)
            if len(said) == stop:
                answer.close()
                break
        whole += [*said, *talk.format.close()]
    talk.add(Message("user", "x"))
    prompt, dropped = talk.prompt()
    assert dropped == 0
    got = decoder.prefill(talk.cache, torch.tensor(prompt)).logits
    whole += [*talk.format.turn(Message("user", "x")), *talk.format.open("assistant")]
    want = decoder.prefill(decoder.new_cache(SHAPE), torch.tensor(whole)).logits
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


def test_sampling() -> None:
    logits = torch.tensor([[0.0, 3.0, 2.0, -1.0]]).repeat(2000, 1)
    assert sample(logits, Sampling()).unique().tolist() == [1]
    generator = torch.Generator().manual_seed(0)
    assert sample(logits, Sampling(1.0, top_k=2), generator).unique().tolist() == [1, 2]
    assert sample(logits, Sampling(1.0, top_p=0.5), generator).unique().tolist() == [1]
    share = (sample(logits, Sampling(1.0), generator) == 1).float().mean()
    assert abs(share - logits.softmax(-1)[0, 1]) < 0.05
    with pytest.raises(ValueError, match="temperature is -1"):
        Sampling(-1)
