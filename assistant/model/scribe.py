"""Chooses among the sentences that were likely heard the one that is likely said.

The ear's probabilities and the transformer's are multiplied, the transformer's to a power, as is usual where
one part hears and another knows the language; and each token is worth something, because to a language short
sentences are always likelier.
Source: rescoring of n-best lists, Mikolov et al. 2010 (Recurrent neural network based language model).
"""

from collections.abc import Generator, Iterable, Iterator

import torch
from torch import Tensor

from assistant.model.chat import ChatFormat
from assistant.model.decoder import Decoder
from assistant.model.kv_cache import CacheShape, KVCache
from assistant.model.likely_sentences import Sentence, likely_sentences
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


class Scribe:
    """Writes down what frames say."""

    def __init__(self, decoder: Decoder, chat: ChatFormat, tokens: Tensor) -> None:
        """``tokens`` (V,) are those of the reader's rows."""
        self.decoder, self.chat, self.tokens = decoder, chat, tokens

    def write(self, reading: Reading) -> Iterator[str]:
        """Yield the text of frames (T,), piece by piece; empty pieces between the steps that it takes."""
        said: list[int] = []
        parts = cut(reading)
        for part in parts:
            found = likely_sentences(part, SENTENCES)
            near = [one for one in reversed(found) if one.score > found[0].score - FAR]
            texts = {self._text(one): one.score for one in near}  # the likelier ones count
            if texts.keys() == {""}:
                continue
            text = yield from self._choose(texts, said, last=part is parts[-1])
            text = text.strip() if not said else text
            said += self.chat.tokenizer.encode(text)
            yield text

    def _text(self, sentence: Sentence) -> str:
        tokens = self.tokens[torch.tensor(sentence.rows, dtype=torch.long)].tolist()
        return self.chat.tokenizer.decode(tokens)

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


def cut(reading: Reading) -> list[Reading]:
    """Cut frames (T,) where nothing is said, into parts of four seconds or somewhat more."""
    clear = (reading.blank > CLEAR).tolist()
    parts, start = [], 0
    for end in range(1, len(clear) + 1):
        long = end - start >= PART_FRAMES and clear[end - 1] or end - start >= LONGEST_PART
        if long or end == len(clear):
            parts.append(reading.part(slice(start, end)))
            start = end
    return parts
