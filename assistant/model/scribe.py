"""Chooses among the sentences that were likely heard the one that is likely said.

The ear's probabilities and the transformer's are multiplied, the transformer's to a power, as is usual where
one part hears and another knows the language; and each token is worth something, because to a language short
sentences are always likelier. A sound may have been heard several times; then what all of them found is
weighed by all of them.
Source: rescoring of n-best lists, Mikolov et al. 2010 (Recurrent neural network based language model).
"""

import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assistant.model.chat import ChatFormat
from assistant.model.decoder import Decoder
from assistant.model.kv_cache import CacheShape, KVCache
from assistant.model.likely_sentences import Prefix, how_likely, likely_sentences
from audiocodec.reader import Reading

SENTENCES = 60  # that are looked at
FAR = 5.0  # natural log: what the ear finds so much less likely than the likeliest is left out
LANGUAGE = 0.7  # power of the transformer's probabilities
TOKEN = 2.5  # natural log of what each token is worth
PART_FRAMES, LONGEST_PART = 50, 100  # codec frames that are written at once: 4 s, and 8 s at most
CLEAR = 0.99  # blank probability of a frame between words
CONTEXT_TOKENS = 24  # written before that the transformer looks at
SHAPE = CacheShape(window=160, sinks=4, rewind=63)

Beginning = tuple[int, ...]  # tokens of a sentence


@dataclass(frozen=True, slots=True)
class Look:
    """What a sound was heard to say when it was played at another speed."""

    reading: Reading  # (T',), of all of the sound
    speed: float

    def between(self, start: int, end: int) -> Reading:
        """Its frames that were frames ``start`` to ``end`` at the sound's own speed; one at least."""
        first = min(round(start / self.speed), len(self.reading.blank) - 1)
        return self.reading.part(slice(first, max(first + 1, round(end / self.speed))))


class Scribe:
    """Writes down what frames say."""

    def __init__(self, decoder: Decoder, chat: ChatFormat, tokens: Tensor) -> None:
        """``tokens`` (V,) are those of the reader's rows."""
        self.decoder, self.chat, self.tokens = decoder, chat, tokens

    def write(self, reading: Reading, *again: Look) -> Iterator[str]:
        """Yield the text of frames (T,), piece by piece; empty pieces between the steps that it takes.

        ``again`` are further looks at the same sound.
        """
        said: list[int] = []
        parts = cut(reading)
        for start, end in parts:
            part = reading.part(slice(start, end))
            texts = self._likely([part, *(look.between(start, end) for look in again)])
            if texts.keys() == {""}:
                continue
            text = yield from self._choose(texts, said, last=end == parts[-1][1])
            text = text.strip() if not said else text
            said += self.chat.tokenizer.encode(text)
            yield text

    def _likely(self, looks: Sequence[Reading]) -> dict[str, float]:
        """Texts that were likely heard, and the natural log of how likely, by the mean of all looks."""
        near: dict[Prefix, None] = {}
        for look in looks:
            found = likely_sentences(look, SENTENCES)
            near |= dict.fromkeys(one.rows for one in found if one.score > found[0].score - FAR)
        scores = zip(*(how_likely(look, list(near)) for look in looks), strict=True)
        texts: dict[str, float] = {}
        for rows, of in zip(near, scores, strict=True):
            text = self.chat.tokenizer.decode(self.tokens[torch.tensor(rows, dtype=torch.long)].tolist())
            texts[text] = max(texts.get(text, -math.inf), sum(of) / len(of))
        return texts

    def _choose(self, texts: dict[str, float], said: list[int], last: bool) -> Generator[str, None, str]:
        encode, end = self.chat.tokenizer.encode, [self.chat.turn_end] if last else []
        sentences = [encode(text if said else text.strip()) + end for text in texts]
        prompt = torch.tensor([*self.chat.open("user"), *said[-CONTEXT_TOKENS:]])
        cache = self.decoder.new_cache(SHAPE)
        first = self.decoder.prefill(cache, prompt).logits[0]
        scores = yield from weigh(self.decoder, cache, first, sentences)
        heard = zip(texts.values(), scores, sentences, strict=True)
        together = [score + LANGUAGE * likely + TOKEN * len(tokens) for score, likely, tokens in heard]
        return list(texts)[together.index(max(together))]


def weigh(
    decoder: Decoder, cache: KVCache, first: Tensor, sentences: list[list[int]]
) -> Generator[str, None, list[float]]:
    """Give the log probabilities of sentences after what is in the cache, which is used up.

    ``first`` are the transformer's scores (vocabulary,) of the token to come. A step takes a token of each
    sentence, of those that begin alike once; after every step an empty piece is yielded.
    """
    begin = first.float().log_softmax(dim=-1)
    scores = [float(begin[sentence[0]]) if sentence else 0.0 for sentence in sentences]
    caches: dict[Beginning, KVCache] = {(): cache}
    for place in range(1, max(map(len, sentences))):
        going = [number for number, sentence in enumerate(sentences) if len(sentence) > place]
        begun = {number: tuple(sentences[number][:place]) for number in going}
        caches = _branches(caches, dict.fromkeys(begun.values()))
        inputs = torch.tensor([beginning[-1] for beginning in caches])
        logits = decoder.decode_step(list(caches.values()), inputs).logits
        likely = dict(zip(caches, logits.float().log_softmax(dim=-1), strict=True))
        for number, beginning in begun.items():
            scores[number] += float(likely[beginning][sentences[number][place]])
        yield ""
    return scores


def _branches(caches: dict[Beginning, KVCache], beginnings: Iterable[Beginning]) -> dict[Beginning, KVCache]:
    """Caches to go on from with each beginning: the first one takes its parent's, the others a copy."""
    taken: set[Beginning] = set()
    branches = {}
    for beginning in beginnings:
        parent = beginning[:-1]
        branches[beginning] = caches[parent].fork() if parent in taken else caches[parent]
        taken.add(parent)
    return branches


def cut(reading: Reading) -> list[tuple[int, int]]:
    """Cut frames (T,) where nothing is said, into parts of four seconds or somewhat more: their first frames
    and those behind their last.
    """
    clear = (reading.blank > CLEAR).tolist()
    parts, start = [], 0
    for end in range(1, len(clear) + 1):
        long = end - start >= PART_FRAMES and clear[end - 1] or end - start >= LONGEST_PART
        if long or end == len(clear):
            parts.append((start, end))
            start = end
    return parts
