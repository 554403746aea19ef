"""Text to token ids and back; byte-level BPE from a GGUF file's own vocabulary or a hub tokenizer.json.

Markers such as ``<|im_end|>`` are only ever written by id: in text they are ordinary characters, so that
nothing a user types can close a turn.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as FastTokenizer

from assistant.errors import WeightsError

CONTROL = 3  # GGUF token type of a marker
REPLACEMENT = "\ufffd"  # what the decoder gives for an incomplete character

# GGUF's name of the splitting rule -> whether digits stand alone
_DIGITS_ALONE = {"smollm": True, "gpt-2": False, "default": False, "qwen2": True}


class Tokenizer:
    """A vocabulary with its merges; immutable."""

    def __init__(self, fast: FastTokenizer) -> None:
        self._fast = fast
        self._fast.encode_special_tokens = True

    @property
    def size(self) -> int:
        """Number of entries, markers included."""
        return int(self._fast.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str) -> list[int]:
        """Turn text into ids; markers inside the text are plain characters."""
        return list(self._fast.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Turn ids into text without markers."""
        return str(self._fast.decode(list(ids), skip_special_tokens=True))

    def marker(self, name: str) -> int:
        """Give the id of a marker such as ``<|im_end|>``.

        Raises:
            WeightsError: the vocabulary has no such entry.
        """
        found = self._fast.token_to_id(name)
        if found is None:
            raise WeightsError(f"the vocabulary has no {name}: this model was not trained for chat")
        return int(found)

    def save(self, path: Path) -> None:
        """Write a tokenizer.json."""
        self._fast.save(str(path))


def tokenizer_from_file(path: Path) -> Tokenizer:
    """Read a hub tokenizer.json.

    Raises:
        WeightsError: the file is missing or is no tokenizer.
    """
    try:
        return Tokenizer(FastTokenizer.from_file(str(path)))
    except Exception as error:  # the library raises nothing narrower
        raise WeightsError(f"{path} is not a usable tokenizer.json: {error}") from error


def tokenizer_from_gguf(metadata: Mapping[str, Any]) -> Tokenizer:
    """Build the tokenizer that a GGUF file carries.

    Source: llama.cpp, src/llama-vocab.cpp, the splitting rules named by ``tokenizer.ggml.pre``.

    Raises:
        WeightsError: another kind of vocabulary, or parts of it are missing.
    """
    kind, rule = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre", "default")
    if kind != "gpt2" or rule not in _DIGITS_ALONE:
        raise WeightsError(
            f"vocabulary {kind!r} with splitting rule {rule!r} is not known; put a tokenizer.json beside"
        )
    try:
        tokens, merges = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.merges"]
        types = metadata["tokenizer.ggml.token_type"]
        pairs = [tuple(merge.split(" ", 1)) for merge in merges]
        fast = FastTokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, pairs))
    except (KeyError, ValueError) as error:
        raise WeightsError(f"the GGUF vocabulary is incomplete: {error}") from error
    splitters: list[Any] = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    if _DIGITS_ALONE[rule]:
        splitters.insert(0, pre_tokenizers.Digits(individual_digits=True))
    fast.pre_tokenizer = pre_tokenizers.Sequence(splitters)
    fast.decoder = decoders.ByteLevel()
    markers = [token for token, type_ in zip(tokens, types, strict=True) if type_ == CONTROL]
    fast.add_special_tokens([AddedToken(marker, special=True, normalized=False) for marker in markers])
    return Tokenizer(fast)


class TextStream:
    """Turns ids into text as they come, holding back bytes of a character that is not complete."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._pending: list[int] = []

    def push(self, ids: Iterable[int]) -> str:
        """Add ids and give the text that is certain now."""
        self._pending.extend(ids)
        text = self._tokenizer.decode(self._pending)
        if text.endswith(REPLACEMENT):
            return ""
        self._pending.clear()
        return text

    def flush(self) -> str:
        """Give what is left, incomplete characters replaced."""
        text = self._tokenizer.decode(self._pending)
        self._pending.clear()
        return text
