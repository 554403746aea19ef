"""From sound to what the transformer reads: codec frames become embeddings while the person still speaks.

Neighbouring frames with the same best token are one run; a run becomes one embedding: the expected token
under the frames' own probabilities, plus a projection of how it was said. After the last run of an utterance
a few more embeddings tell how the whole was said, one a trait. Blocks are 160 ms; sound may come in pieces of
any size, and the result does not depend on the pieces.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from assistant.model.agreement import Agreement
from assistant.model.manner import TRAITS, Manner, MannerConfig, MannerOutput
from assistant.model.trait_words import TraitWords, joined
from audiocodec.listener import EAR_BOOKS, Frames, Listener, ListenerState, RawFrames
from audiocodec.numbers import CODEC_HOP_LENGTH, ENCODER_BLOCK_LENGTH
from audiocodec.prosody import PROSODY_WIDTH
from audiocodec.reader import Reading, TokenReader

AUDIO_OPEN, AUDIO_CLOSE = 8, 10  # reserved entries of the vocabulary around what is heard
BEHIND_WORDS = len(TRAITS) + 1  # inputs behind the last word of a sound: how it was said, and the marker


@dataclass(frozen=True, slots=True)
class Run:
    """Frames with the same best token, not yet ended."""

    best: int
    frames: int
    tokens: Tensor  # (frames, 2): those that each may say
    shares: Tensor  # (frames, 2)
    prosody: Tensor  # (frames, PROSODY_WIDTH)


@dataclass(frozen=True, slots=True)
class HearingState:
    """What a stream of sound carries; values only, so that a copy is a reference and a rewind is an older
    value.
    """

    pcm: Tensor  # (samples,) at 24 kHz, less than a block
    listener: ListenerState
    manner: Tensor
    run: Run | None
    output: MannerOutput | None  # the newest judgement
    frames: int  # codec frames heard
    runs: int  # runs ended
    last: int  # best token of the newest frame, 0 for the blank


@dataclass(frozen=True, slots=True)
class HeardBlock:
    """What some sound gave."""

    embeddings: Tensor  # (k, D) ready for prefill; k may be 0
    finished: float  # 0..1, how likely the speaker has finished, after the last whole block
    speech: float  # 0..1, how much of the last whole block is speech
    frames: int  # codec frames given since the beginning: what came later has not been judged
    codes: Tensor  # (frames of this call, K) codec tokens
    reading: Reading  # of the same frames: what they are written down from


@dataclass(frozen=True, slots=True)
class Impression:
    """How an utterance sounded: for each trait its likeliest kind and how sure that is."""

    kinds: dict[str, tuple[str, float]]
    shares: dict[str, dict[str, float]]  # of every kind of a trait


class Hearing(nn.Module):
    """Everything between samples and the transformer's input."""

    def __init__(self, listener: Listener, embedding: Tensor, config: MannerConfig) -> None:
        """``embedding`` (vocabulary, D) is the transformer's own, not trained here and not
        stored with this.
        """
        super().__init__()
        self.listener, self.manner = listener, Manner(config)
        self.agreement = Agreement(config.model_width)
        self.say_how = nn.Linear(PROSODY_WIDTH, config.model_width)
        self.trait_words = TraitWords(config.model_width)
        nn.init.zeros_(self.say_how.weight)
        nn.init.zeros_(self.say_how.bias)
        self.register_buffer("embedding", embedding, persistent=False)

    embedding: Tensor

    @property
    def reader(self) -> TokenReader:
        """What reads tokens from frames."""
        return self.listener.reader

    def initial_state(self) -> HearingState:
        """Before the first sample of an utterance."""
        empty = torch.zeros(0)
        listener = self.listener.initial_state(1)
        return HearingState(empty, listener, self.manner.initial_state(1), None, None, 0, 0, 0)

    @torch.inference_mode()
    def step(self, state: HearingState, pcm: Tensor) -> tuple[HeardBlock, HearingState]:
        """Hear (n,) float samples in [-1, 1] at 24 kHz, any number; encodes whole blocks and
        keeps the rest.
        """
        return self._step(state, pcm, 1)

    def _step(self, state: HearingState, pcm: Tensor, blocks: int) -> tuple[HeardBlock, HearingState]:
        """See ``step``; so many blocks are encoded by one look of the encoder."""
        pcm = torch.cat([state.pcm, audible(pcm)])
        embeddings: list[Tensor] = []
        named: list[Frames] = []
        speech = 0.0
        for part in torch.split(
            pcm[: len(pcm) // ENCODER_BLOCK_LENGTH * ENCODER_BLOCK_LENGTH], blocks * ENCODER_BLOCK_LENGTH
        ):
            if not len(part):
                break
            raw, listener = self.listener.hear(part[None], state.listener, blocks)
            count = raw.semantic.shape[1]
            early = min(max(0, self.listener.delay - state.frames), count)
            state = replace(state, listener=listener, frames=state.frames + count)
            if early == count:  # the silence before the utterance
                continue
            raw = raw.frames(slice(early, None))
            named.append(self.listener.name(raw))
            found, state = self._read(raw, named[-1], state)
            embeddings += found
        state = replace(state, pcm=pcm[len(pcm) // ENCODER_BLOCK_LENGTH * ENCODER_BLOCK_LENGTH :])
        if state.output is not None:
            speech = float(state.output.speech[0].sigmoid().mean())
        return self._block(embeddings, named, state, speech), state

    @torch.inference_mode()
    def flush(self, state: HearingState) -> tuple[HeardBlock, HearingState]:
        """End the utterance: hear what is left over and the silence that the encoder looks
        ahead to, all at one look; end the last run, tell how it was said.

        Gives no embeddings at all after sound without a word.
        """
        if not state.frames and not len(state.pcm):
            return self._block([], [], state, 0.0), state
        behind = self.listener.delay * CODEC_HOP_LENGTH
        left = behind + -(len(state.pcm) + behind) % ENCODER_BLOCK_LENGTH
        blocks = (len(state.pcm) + left) // ENCODER_BLOCK_LENGTH
        block, state = self._step(state, torch.zeros(left), blocks)
        embeddings = list(block.embeddings)
        if state.run is not None:
            embeddings.append(self._embed(state.run))
            state = replace(state, run=None, runs=state.runs + 1, last=0)
        if state.runs and state.output is not None:
            embeddings += self.trait_words(self.embedding, joined(trait_shares(state.output)))
        return replace(block, embeddings=self._stack(embeddings)), state

    def hear_alone(self, pcm: Tensor) -> Tensor:
        """Codes (frames, K) of one sound (n,) from its beginning to its end."""
        block, state = self.step(self.initial_state(), pcm)
        last, _ = self.flush(state)
        return torch.cat([block.codes, last.codes])

    @torch.inference_mode()
    def only_agrees(self, codes: Tensor) -> float:
        """P(who made this burst only shows that they listen), of its codes (frames, K); 1 for no sound."""
        if not len(codes):
            return 1.0
        heard, blank = self.listener.decode(codes[None]), self.listener.read(codes[None]).blank
        logits = self.agreement(
            heard.semantic, heard.prosody, blank, torch.tensor([len(codes)], device=codes.device)
        )
        return float(logits.sigmoid())

    def impression(self, state: HearingState) -> Impression:
        """How the utterance so far sounded."""
        if state.output is None:
            return Impression({}, {})
        shares = {
            name: dict(zip(TRAITS[name], of.tolist(), strict=True))
            for name, of in trait_shares(state.output).items()
        }
        kinds = {name: max(of.items(), key=lambda pair: pair[1]) for name, of in shares.items()}
        return Impression(kinds, shares)

    def _read(self, raw: RawFrames, frames: Frames, state: HearingState) -> tuple[list[Tensor], HearingState]:
        """Embeddings of the runs that end with some frames, and the next state."""
        reading = self.listener.read(frames.codes[0])
        tokens = self.reader.tokens[reading.rows]
        output, manner = self.manner(
            frames.semantic, frames.prosody, reading.blank[None], raw.acoustic, state.manner
        )
        ended: list[Run] = []
        run, last = state.run, state.last
        for index, best in enumerate(reading.best.tolist()):
            if run is not None and best != run.best:
                ended.append(run)
                run = None
            if best:
                here = slice(index, index + 1)
                parts = (tokens[here], reading.shares[here], frames.prosody[0, here])
                run = Run(best, 1, *parts) if run is None else longer(run, parts)
            last = best
        found = [self._embed(one) for one in ended]
        state = replace(
            state,
            manner=manner,
            run=run,
            output=output,
            runs=state.runs + len(ended),
            last=last,
        )
        return found, state

    def _embed(self, run: Run) -> Tensor:
        words = (self.embedding[run.tokens].float() * run.shares[..., None]).sum(dim=1).mean(dim=0)
        how: Tensor = self.say_how(run.prosody.mean(dim=0))
        return words + how

    def _block(
        self, embeddings: list[Tensor], named: list[Frames], state: HearingState, speech: float
    ) -> HeardBlock:
        finished = 0.0 if state.output is None else float(state.output.finished[0, -1].sigmoid())
        nothing = torch.zeros(0, EAR_BOOKS, dtype=torch.long)
        codes = torch.cat([one.codes[0] for one in named]) if named else nothing
        reading = Reading.joined([one.reading.part(0) for one in named])
        given = max(0, state.frames - self.listener.delay)
        return HeardBlock(self._stack(embeddings), finished, speech, given, codes, reading)

    def _stack(self, embeddings: list[Tensor]) -> Tensor:
        width = self.embedding.shape[1]
        return torch.stack(embeddings) if embeddings else torch.zeros(0, width)


def audible(pcm: Tensor) -> Tensor:
    """Samples of any kind as float32 in [-1, 1]."""
    return torch.nan_to_num(pcm.float(), posinf=1.0, neginf=-1.0).clamp(-1, 1)


def trait_shares(output: MannerOutput) -> dict[str, Tensor]:
    """How likely each kind of each trait is after the last frame of one utterance."""
    return {name: logits[0, -1].softmax(dim=-1) for name, logits in output.traits.items()}


def longer(run: Run, parts: tuple[Tensor, Tensor, Tensor]) -> Run:
    """A run with one more frame; only the first 25 (two seconds) are kept, so that it stays bounded."""
    if run.frames >= LONGEST_RUN:
        return replace(run, frames=run.frames + 1)
    joined = [torch.cat(pair) for pair in zip((run.tokens, run.shares, run.prosody), parts, strict=True)]
    return Run(run.best, run.frames + 1, *joined)


LONGEST_RUN = 25  # frames
