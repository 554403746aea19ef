"""Text and token states in, sound out, while the text is still being produced.

A word is spoken when the word after it is known. Everything that a stream carries is in ``SpeakerState``,
which is returned anew, so that states can be kept, forked and dropped at will; how the text was cut into
pieces changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from assistant.errors import ConfigError
from assistant.model.speaking.config import STYLES
from assistant.model.speaking.frames import FrameState, places, stretch
from assistant.model.speaking.head import MelHead
from assistant.model.speaking.normalize import ReaderState, Word, read
from assistant.model.speaking.pronouncer import LONGEST_WORD
from assistant.model.speaking.prosody import windows
from assistant.model.speaking.units import START, spoken, stresses, unit_ids
from audiocodec.mel import SILENCE
from audiocodec.numbers import MEL_HOP_LENGTH, N_MELS
from audiocodec.source import LOWEST_HZ
from audiocodec.vocoder import PITCH_REFERENCE_HZ, SourceFilterVocoder, VocoderState

RATES = (0.5, 2.0)
PITCHES = (0.6, 1.6)
VOLUMES = (0.0, 4.0)
LEAD_HOPS = (
    1  # mel frame t of the head is centred at its hop's first sample, one hop later than the vocoder counts
)
LONGEST_UNIT_FRAMES = 120
SENTENCE_PAUSE_FRAMES = 12  # silence between two sentences, besides what each ends and begins with
INAUDIBLE = 0.002  # of full scale: 54 dB below it
KEPT_BEFORE = 48  # samples before the first audible one


@dataclass(frozen=True, slots=True)
class Manner:
    """How to speak."""

    style: str = "neutral"
    rate: float = 1.0
    pitch: float = 1.0
    volume: float = 1.0

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise ConfigError(f"style is {self.style!r}, must be one of {', '.join(STYLES)}")
        for name, (low, high) in (("rate", RATES), ("pitch", PITCHES), ("volume", VOLUMES)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} is {getattr(self, name):g}, must be {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class Piece:
    """The sound of one or more words."""

    mel: Tensor  # (frames, N_MELS) float32, natural log
    pcm: Tensor  # (samples,) float32, 24 kHz
    text_end: int  # characters of the text that are spoken when this sound ends


@dataclass(frozen=True, slots=True)
class Known:
    """A word that is read but not yet spoken."""

    word: Word
    state: Tensor  # (2 * D,)


@dataclass(frozen=True, slots=True)
class SentenceState:
    """What the prosody of a sentence depends on; new at each sentence."""

    memory: Tensor  # (1, 1, width)
    frames: FrameState
    before: tuple[int, ...]  # units of the last word
    owed: float  # frames by which the sound is behind the exact durations
    f0_hz: Tensor  # (1, 1) pitch of the last frame, 0 where unvoiced or where there is none


@dataclass(frozen=True, slots=True)
class SpeakerState:
    """Small state, returned anew."""

    manner: Manner
    reader: ReaderState
    ends: tuple[
        tuple[int, Tensor], ...
    ]  # text positions at which tokens end, with their states, oldest first
    length: int  # characters taken in
    last: str  # letters of the word spoken last
    waiting: tuple[Known, ...]
    sentence: SentenceState | None
    vocoder: VocoderState
    started: bool
    lead: int  # hops of the vocoder's lead-in still to be dropped


class Speaker:
    """Runs mel head and vocoder over streams; holds weights only."""

    def __init__(self, head: MelHead, vocoder: SourceFilterVocoder) -> None:
        self.head, self.vocoder = head.eval(), vocoder.eval()
        self.ids, self.stress_of = unit_ids(), stresses()

    @property
    def layer(self) -> int:
        """Transformer layer whose output is needed, besides the embedding."""
        return self.head.config.layer

    def initial_state(
        self,
        style: str = "neutral",
        rate: float = 1.0,
        pitch: float = 1.0,
        volume: float = 1.0,
        seed: int = 0,
    ) -> SpeakerState:
        """State before the first character.

        Args:
            style: one of STYLES.
            rate: factor on the pace.
            pitch: factor on the pitch.
            volume: factor on the samples.
            seed: of the breath noise.

        Raises:
            ConfigError: an unknown style or a number out of range.
        """
        return self._begin(Manner(style, rate, pitch, volume), seed)

    def _begin(self, manner: Manner, seed: int) -> SpeakerState:
        vocoder = self.vocoder.initial_state(1, seed)
        return SpeakerState(manner, ReaderState(), (), 0, "", (), None, vocoder, False, self._held_hops)

    @property
    def _held_hops(self) -> int:
        """Hops of sound that come after the mel frames that they belong to."""
        return self.vocoder.delay_frames - LEAD_HOPS

    def token_state(self, embedding: Tensor, hidden: Tensor) -> Tensor:
        """Join what ``push`` wants: a token's embedding (D,) and the output (D,) of ``layer``."""
        return torch.cat([embedding.float(), hidden.float()], dim=-1)

    @torch.inference_mode()
    def push(self, state: SpeakerState, text: str, hidden: Tensor) -> tuple[list[Piece], SpeakerState]:
        """Take in the next token's text and give the sound that is certain now.

        Args:
            state: of the last call.
            text: what the token adds to the text; may be empty or part of a word.
            hidden: (2 * D,) from ``token_state``.
        """
        if hidden.shape != (self.head.config.state_width,):
            raise ValueError(f"hidden is {tuple(hidden.shape)}, must be ({self.head.config.state_width},)")
        length = state.length + len(text)
        words, reader = read(state.reader, text)
        state = replace(state, reader=reader, ends=(*state.ends, (length, hidden.float())), length=length)
        return self._speak(self._know(state, words), last=False)

    @torch.inference_mode()
    def finish(self, state: SpeakerState) -> list[Piece]:
        """Speak what is left; nothing can be pushed after it."""
        words, _ = read(state.reader, "", last=True)
        pieces, state = self._speak(self._know(state, words), last=True)
        if state.started:
            silence = self._silence(self._held_hops)
            pcm, vocoder = self.vocoder.synthesize(
                silence, state.vocoder, silence.new_zeros(silence.shape[:2])
            )
            pieces.append(Piece(silence[0, :0], pcm[0] * state.manner.volume, state.length))
        return pieces

    def _silence(self, frames: int) -> Tensor:
        return torch.full((1, frames, N_MELS), SILENCE)

    def _know(self, state: SpeakerState, words: Sequence[Word]) -> SpeakerState:
        """Find each word's token state: that of the token that completes its written form."""
        waiting, ends = list(state.waiting), state.ends
        for word in words:
            while len(ends) > 1 and ends[0][0] < word.end:
                ends = ends[1:]
            hidden = ends[0][1] if ends else torch.zeros(self.head.config.state_width)
            pieces = [word.text[i : i + LONGEST_WORD] for i in range(0, len(word.text), LONGEST_WORD)]
            for index, text in enumerate(pieces):
                mark = word.mark if index + 1 == len(pieces) else ""
                waiting.append(Known(replace(word, text=text, mark=mark), hidden))
        return replace(state, waiting=tuple(waiting), ends=ends)

    def _speak(self, state: SpeakerState, last: bool) -> tuple[list[Piece], SpeakerState]:
        """Speak every waiting word whose successor is known."""
        pieces = []
        while state.waiting and (last or len(state.waiting) > 1):
            piece, state = self._word(state)
            pieces.append(piece)
        return pieces, state

    def _pronounce(self, before: str, known: Known, after: str) -> list[int]:
        word = known.word
        phones = self.head.pronouncer.say(before, word.text, after, word.capital, known.state)
        return spoken(phones, self.stress_of)

    def _word(self, state: SpeakerState) -> tuple[Piece, SpeakerState]:
        """Speak the first waiting word."""
        known, rest = state.waiting[0], state.waiting[1:]
        word = known.word
        follower = rest[0] if rest and not word.ends_sentence else None
        phones = self._pronounce(state.last, known, follower.word.text if follower else "")
        # The word after the follower may not be known yet, so it never counts.
        later = self._pronounce(word.text, follower, "") if follower else []
        first = state.sentence is None
        sentence = state.sentence or self._new_sentence()
        boundary = word.mark or (" " if follower else ".")
        own = [self.ids[START]] * first + [*phones, self.ids[boundary]]
        mel, f0, sentence = self._frames(state.manner, sentence, own, later, known, follower)
        ends = word.ends_sentence or not follower
        if ends and rest:
            pause = self._silence(SENTENCE_PAUSE_FRAMES)
            mel = torch.cat([mel, pause], dim=1)
            f0 = torch.cat([f0, f0.new_zeros(1, SENTENCE_PAUSE_FRAMES)], dim=1)
        pcm, vocoder = self.vocoder.synthesize(mel, state.vocoder, f0)
        skip = min(state.lead, mel.shape[1])
        sound = pcm[0, skip * MEL_HOP_LENGTH :]
        if not state.started:
            sound = without_lead(sound)
        piece = Piece(mel[0], sound * state.manner.volume, word.end)
        state = replace(
            state,
            waiting=rest,
            sentence=None if ends else sentence,
            last="" if ends else word.text,
            vocoder=vocoder,
            started=True,
            lead=state.lead - skip,
        )
        return piece, state

    def _new_sentence(self) -> SentenceState:
        width = self.head.config.width
        frames = self.head.frames.initial_state(1)
        return SentenceState(torch.zeros(1, 1, width), frames, (), 0.0, torch.zeros(1, 1))

    def _frames(
        self,
        manner: Manner,
        sentence: SentenceState,
        own: list[int],
        later: list[int],
        known: Known,
        follower: Known | None,
    ) -> tuple[Tensor, Tensor, SentenceState]:
        """Mel (1, T, N_MELS) and pitch (1, T) of one word, and the sentence's next state."""
        net, style = self.head.prosody, torch.tensor([STYLES.index(manner.style)])
        window = windows([(sentence.before, own, later)])
        after = follower.state if follower else torch.zeros_like(known.state)
        x, summary = net.encode(window, style, known.state[None], after[None])
        memory, hidden = net.memory(summary[None], sentence.memory)
        prosody = net.decide(window, x, memory[0])
        exact = (torch.exp2(prosody.log_spans) - 0.3).clamp(1.0, LONGEST_UNIT_FRAMES) / manner.rate
        borders = torch.round(exact.double().cumsum(0) + sentence.owed)
        spans = borders.diff(prepend=borders.new_zeros(1)).clamp_min(1).long()
        owed = float(exact.double().sum()) + sentence.owed - float(spans.sum())
        features = torch.cat([stretch(prosody.features, spans), places(spans)], dim=-1)[None]
        heard, pitch_state = self.head.frames.intone(features, sentence.frames.pitch)
        f0 = torch.exp2(heard[..., 0]) * PITCH_REFERENCE_HZ * manner.pitch
        f0 = torch.where((heard[..., 1] > 0) & (f0 > LOWEST_HZ), f0, 0)
        energy = stretch(prosody.energy, spans)[None]
        mel, mel_state = self.head.frames.paint(features, f0, energy, style, sentence.frames.mel)
        frames = FrameState(pitch_state, mel_state)
        return mel, steadied(f0, sentence.f0_hz), SentenceState(hidden, frames, tuple(own), owed, f0[:, -1:])


def without_lead(pcm: Tensor) -> Tensor:
    """Sound from where it can be heard on: what comes before is only waited for."""
    heard = (pcm.abs() > INAUDIBLE).nonzero()
    first = max(0, int(heard[0]) - KEPT_BEFORE) if len(heard) else len(pcm)
    return pcm[first:]


def steadied(f0_hz: Tensor, before: Tensor) -> Tensor:
    """Each voiced frame's mean with its voiced neighbours, for pitch (B, T) after ``before`` (B, 1).

    The head gives each frame by itself, and at most frames its pitch bends more than the teacher's. What
    follows the last frame is not known yet and counts for nothing.
    """
    known = torch.cat([before, f0_hz, torch.zeros_like(before)], dim=1)
    voiced = (known > 0).to(known.dtype)
    pitch, count = (part.unfold(1, 3, 1).sum(-1) for part in (known, voiced))
    return torch.where(f0_hz > 0, pitch / count.clamp_min(1), 0)
