"""Fast and patient, without a clock: the turn machine follows the silence behind what is whole and what is
not.

Each sound is heard once, frame by frame, and closed wherever the turn machine wants an answer begun, as a
session does; the transformer and the ear are the real ones, only the waiting is not. So a few hundred ends
are judged in minutes, and one hearing tells what another policy would have done.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from assistant.bench.hearing_sets import Clip
from assistant.bench.patience import LONGEST_PAUSE_S, ROOM_LEVEL, SHORTEST_PAUSE_S
from assistant.bench.turns import SILENCE_S, last_word_stream
from assistant.model.hearing import HearingState
from assistant.model.transcribe import Transcriber
from assistant.model.turn_head import TurnHead
from assistant.session.clock import FRAME_SAMPLES
from assistant.session.turn import Decision, TurnPolicy, TurnTaker
from assistant.session.vad import WebRtcVoice
from assistant.training.speech_data import trimmed
from assistant.training.texts import BEGUN
from audiocodec.numbers import CODEC_HOP_LENGTH, SAMPLE_RATE

Audio = NDArray[np.float32]
BEFORE_S, BEHIND_S = 0.3, 3.0  # quiet around each sound
CUTS = 2  # of each sentence


@dataclass(frozen=True, slots=True)
class End:
    """A voice that stops."""

    audio: Audio  # up to where it stops, at 24 kHz
    kind: str  # "finished", "cut", "begun"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the nets make of everything up to a moment."""

    covered: int  # samples of the sound
    words: float | None  # logit of the words alone, where there are any
    sound: float  # P(finished) by the sound alone


@dataclass(frozen=True, slots=True)
class Moment:
    """The sound up to one frame, ready to be closed."""

    state: HearingState
    embeddings: tuple[torch.Tensor, ...]


def judged(head: TurnHead, found: Judgement) -> float:
    """P(finished), from the sound alone where the words say nothing."""
    return found.sound if found.words is None else head.judge(found.words, found.sound)


def ends(clips: list[Clip], seed: int = 1) -> list[End]:
    """Every whole sentence finished, and cut off after a word of its last two thirds; beginnings as said."""
    rng, found = random.Random(seed), []
    for clip in clips:
        record = clip.record
        if record is None:
            continue
        pcm, before = trimmed(np.asarray(clip.audio * 32_767, np.int16))
        audio = np.asarray(pcm / 32_768, np.float32)
        if record.kind == BEGUN:
            found.append(End(audio, "begun"))
            continue
        found.append(End(audio, "finished"))
        inner = [end - before for end in record.word_ends[len(record.word_ends) // 3 : -1]]
        for stop in rng.sample(inner, min(CUTS, len(inner))):
            found.append(End(audio[:stop], "cut"))
    return found


class Listened:
    """One sound with the silence behind it, heard once; asked for judgements at any of its frames."""

    def __init__(self, transcriber: Transcriber, head: TurnHead, end: End, seed: int = 1) -> None:
        self.transcriber, self.head = transcriber, head
        quiet = (round(BEFORE_S * SAMPLE_RATE), round(BEHIND_S * SAMPLE_RATE))
        sound = np.pad(end.audio, quiet)
        sound += np.random.default_rng(seed).normal(0, ROOM_LEVEL, len(sound)).astype(np.float32)
        self.stop = quiet[0] + len(end.audio)  # sample
        self.frames = sound[: len(sound) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
        voice = WebRtcVoice()
        self.speech = [voice.speech(frame) for frame in self.frames]
        self.moments: list[Moment] = []
        self.streamed: list[Judgement | None] = []  # of the block that a frame completes
        hearing, state = transcriber.hearing, transcriber.hearing.initial_state()
        embeddings: tuple[torch.Tensor, ...] = ()
        for frame in self.frames:
            block, state = hearing.step(state, torch.from_numpy(frame))
            embeddings += tuple(block.embeddings)
            self.moments.append(Moment(state, embeddings))
            judged = Judgement(block.frames * CODEC_HOP_LENGTH, None, block.finished)
            self.streamed.append(judged if len(block.codes) else None)
        self._closed: dict[int, Judgement] = {}

    def closed(self, index: int) -> Judgement:
        """The judgement when the sound is closed behind a frame."""
        if index not in self._closed:
            moment = self.moments[index]
            block, _ = self.transcriber.hearing.flush(moment.state)
            embeddings, words = [*moment.embeddings, *block.embeddings], None
            if embeddings:
                stream = last_word_stream(
                    self.transcriber.decoder, self.transcriber.chat, torch.stack(embeddings)
                )
                words = float(self.head.read(stream).detach())
            self._closed[index] = Judgement((index + 1) * FRAME_SAMPLES, words, block.finished)
        return self._closed[index]

    def finished(self, head: TurnHead) -> bool:
        """Whether the speaker is found to have finished after ``SILENCE_S`` of silence."""
        behind = self.stop + round(SILENCE_S * SAMPLE_RATE)
        return judged(head, self.closed(behind // FRAME_SAMPLES)) > 0.5

    def wait_ms(self, policy: TurnPolicy, head: TurnHead | None = None) -> int | None:
        """Silence from where the voice stops until the turn is over, at least 0; nothing if it is not over
        when the sound ends. Another ``head`` may join words and sound otherwise, not read otherwise.
        """
        taker, words, head = TurnTaker(policy), None, head or self.head
        heard, last_speech = 0, 0  # embeddings at the last closing; sample behind the last speech
        for index, speech in enumerate(self.speech):
            decision, now = taker.frame(speech), (index + 1) * FRAME_SAMPLES
            if speech and taker.silence_ms == 0:
                last_speech = now
            found = self.streamed[index]
            if decision is Decision.SPECULATE:
                found = self.closed(index)
                words, heard = found.words, len(self.moments[index].embeddings)
            elif len(self.moments[index].embeddings) > heard:
                words = None
            if found is not None and decision is not Decision.END:
                finished = judged(head, replace(found, words=words))
                decision = taker.score((found.covered - last_speech) * 1_000 // SAMPLE_RATE, finished)
            if decision is Decision.END:
                return max(0, round((now - self.stop) * 1_000 / SAMPLE_RATE))
        return None


def taken(wait_ms: int | None) -> float:
    """How likely a wait ends within a pause, of pauses from the shortest to the longest alike."""
    if wait_ms is None:
        return 0.0
    shortest, longest = 1_000 * SHORTEST_PAUSE_S, 1_000 * LONGEST_PAUSE_S
    return min(1.0, max(0.0, (longest - wait_ms) / (longest - shortest)))


def listened(transcriber: Transcriber, head: TurnHead, found: list[End]) -> Iterator[tuple[str, Listened]]:
    """Hear each; yields its kind."""
    for number, end in enumerate(found):
        yield end.kind, Listened(transcriber, head, end, number)


def wait_figures(waits: list[tuple[str, int | None]], policy: TurnPolicy) -> dict[str, float]:
    """Pauses in which the floor would be taken, in percent, and waits behind what is finished."""
    out = {}
    for kind, title in (("cut", "taken in pauses (%)"), ("begun", "taken as begun (%)")):
        shares = [taken(wait) for of, wait in waits if of == kind]
        if shares:
            out[title] = 100 * float(np.mean(shares))
    done = [policy.patience_ms if wait is None else wait for of, wait in waits if of == "finished"]
    for share in (50, 90, 95):
        out[f"{share} % answered within (ms)"] = float(np.percentile(done, share)) if done else 0.0
    return out
