"""The omni model behind the engine: hearing, transformer and voice, one conversation's cache at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from assistant.engine.answering import Answering, Voice, VoicePiece, kept_characters, pcm_floats
from assistant.engine.conversation import Conversation, OpenAudio, ReopenMark, Segment
from assistant.engine.model import Heard, Sound, Step
from assistant.engine.writing import Writer
from assistant.errors import EngineError
from assistant.model.decoder import Decoder
from assistant.model.hearing import AUDIO_CLOSE, AUDIO_OPEN, BEHIND_WORDS, HeardBlock, Hearing
from assistant.model.kv_cache import CacheShape
from assistant.model.scribe import Scribe
from assistant.model.tokenizer import TextStream, Tokenizer
from assistant.model.transcribe import NO_WORDS, between_markers
from assistant.model.turn_head import TurnHead
from assistant.session.engine import Answer, Usage
from audiocodec.numbers import CODEC_HOP_LENGTH
from audiocodec.reader import Reading

WRITTEN_AT_ONCE = 4  # embeddings: one or four, a pass of the transformer reads all its weights
CANNOT_SEE = "(The user shows a picture, but you cannot see pictures yet.)"


@dataclass(frozen=True, slots=True)
class Parts:
    """What an omni model is made of. Without ``hearing`` it only reads; without ``voice`` it is silent."""

    decoder: Decoder
    tokenizer: Tokenizer
    hearing: Hearing | None = None
    turn_head: TurnHead | None = None
    voice: Voice | None = None
    shape: CacheShape = CacheShape()


class Omni:
    """Implements ``assistant.engine.model.OmniModel``; everything runs on the engine's thread."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.writer = Writer(parts.decoder, parts.tokenizer)
        self._end = parts.tokenizer.marker("<|im_end|>")

    # ---- conversations ---------------------------------------------------------------------------

    def open(self, instructions: str) -> Conversation:
        """See ``OmniModel.open``."""
        conversation = Conversation(self.parts.decoder.new_cache(self.parts.shape), instructions)
        self.writer.begin(conversation)
        return conversation

    def copy(self, source: Conversation, instructions: str, items: Sequence[str]) -> Conversation:
        """See ``OmniModel.copy``."""
        conversation = self.open(instructions)
        for name in items:
            found = source.find(name)
            self.writer.add_item(conversation, replace(found, segments=list(found.segments)))
        return conversation

    def rebuild(self, conversation: Conversation, instructions: str, items: Sequence[str]) -> None:
        """See ``OmniModel.rebuild``."""
        kept = [conversation.find(name) for name in items]
        conversation.instructions = instructions
        self.writer.rewrite(conversation, kept)

    def close(self, conversation: Conversation) -> None:
        """See ``OmniModel.close``; the memory goes with the conversation."""
        conversation.items.clear()

    # ---- hearing ---------------------------------------------------------------------------------

    def hear(self, conversation: Conversation, item: str, pcm: bytes) -> list[Heard]:
        """See ``OmniModel.hear``."""
        hearing = self._hearing()
        audio = self._open_audio(conversation, item)
        block, state = hearing.step(audio.state, pcm_floats(pcm))
        return self._take_in(conversation, replace(audio, state=state), block)

    def end_audio(self, conversation: Conversation, item: str) -> list[Heard]:
        """See ``OmniModel.end_audio``."""
        hearing = self._hearing()
        audio = self._open_audio(conversation, item)
        conversation.reopen = ReopenMark(item, audio, conversation.cache.position)
        block, state = hearing.flush(audio.state)
        whole = replace(audio, state=state).longer(block)
        embeddings = whole.heard()
        current = self.writer.enter(conversation, item, "user")
        if embeddings is not None:
            inputs = between_markers(self.parts.decoder, embeddings)
            current.segments.append(Segment("audio", inputs, Reading.joined(whole.readings)))
            audio = replace(audio, words=self._close(conversation, whole))
            conversation.reopen = replace(conversation.reopen, audio=audio)
        else:  # nothing was said: the marker is taken back, so that the sound leaves no trace
            conversation.cache.rewind(audio.begin)
        conversation.audio = None
        return [self._judged(audio, block)]

    def _close(self, conversation: Conversation, audio: OpenAudio) -> float | None:
        """Write what is left of a sound and the marker behind it; gives the transformer's logit that its
        words are all.
        """
        decoder, head = self.parts.decoder, self.parts.turn_head
        inputs = torch.cat([audio.newest(), decoder.embed(torch.tensor([AUDIO_CLOSE]))])
        layer = None if head is None else decoder.config.layers
        stream = self.writer.close_sound(conversation, inputs, layer)
        if head is None or stream is None:
            return None
        with torch.inference_mode():
            return float(head.read(stream[-1 - BEHIND_WORDS]))

    def _judged(self, audio: OpenAudio, block: HeardBlock) -> Heard:
        """What is reported of a block: the words' judgement counts while nothing has been said since."""
        finished, head = block.finished, self.parts.turn_head
        if head is not None and audio.words is not None:
            finished = head.judge(audio.words, finished)
        return Heard(block.frames * CODEC_HOP_LENGTH, finished, block.speech)

    def drop_audio(self, conversation: Conversation, item: str) -> None:
        """See ``OmniModel.drop_audio``."""
        audio = conversation.audio
        if audio is None or audio.item != item:
            return
        conversation.audio = None
        current = conversation.open_item
        if current is not None and not current.segments:
            self.writer.remove(conversation, current)
        else:
            conversation.cache.rewind(audio.begin)

    def _open_audio(self, conversation: Conversation, item: str) -> OpenAudio:
        if conversation.audio is not None and conversation.audio.item == item:
            return conversation.audio
        self.writer.enter(conversation, item, "user")
        begin = conversation.cache.position
        self.writer.write(conversation, torch.tensor([AUDIO_OPEN]))
        conversation.audio = OpenAudio(item, self._hearing().initial_state(), begin)
        conversation.reopen = None
        return conversation.audio

    def _take_in(self, conversation: Conversation, audio: OpenAudio, block: HeardBlock) -> list[Heard]:
        audio = audio.longer(block)
        if audio.unwritten > WRITTEN_AT_ONCE:  # the last word waits: at the end the turn head reads there
            self.writer.write(conversation, audio.newest()[:-1])
            audio = replace(audio, unwritten=1)
        conversation.audio = audio
        return [self._judged(audio, block)] if len(block.codes) else []

    def _hearing(self) -> Hearing:
        if self.parts.hearing is None:
            raise EngineError("this model has no ears: its weights hold no hearing")
        return self.parts.hearing

    # ---- text and pictures -----------------------------------------------------------------------

    def add_text(self, conversation: Conversation, item: str, role: str, text: str) -> None:
        """See ``OmniModel.add_text``."""
        current = self.writer.enter(conversation, item, role)
        tokens = self.parts.tokenizer.encode(text)
        if tokens:
            segment = Segment("text", torch.tensor(tokens))
            current.segments.append(segment)
            self.writer.write(conversation, segment.inputs)

    def add_frame(self, conversation: Conversation, item: str, image: bytes) -> None:
        """Note that there was a picture; understanding it is not part of this model yet."""
        if not any(segment.kind == "image" for known in conversation.items for segment in known.segments):
            current = self.writer.enter(conversation, item, "user")
            segment = Segment("image", torch.tensor(self.parts.tokenizer.encode(CANNOT_SEE)))
            current.segments.append(segment)
            self.writer.write(conversation, segment.inputs)

    # ---- answering -------------------------------------------------------------------------------

    def begin_answer(self, conversation: Conversation, answer: Answer) -> None:
        """See ``OmniModel.begin_answer``."""
        if answer.instructions is not None and answer.instructions != conversation.instructions:
            self.writer.detour(conversation, answer.instructions)
        asked = conversation.open_item
        counts = self.writer.count(conversation)
        self.writer.enter(conversation, answer.item, "assistant")
        assert conversation.last is not None
        unheard = asked is not None and asked.role == "user" and not asked.segments
        voice = self.parts.voice if answer.aloud else None
        how = answer.speech
        conversation.answering = Answering(
            options=answer,
            text_stream=TextStream(self.parts.tokenizer),
            generator=torch.Generator().manual_seed(answer.seed),
            voice_state=voice and voice.initial_state(how.style, how.rate, how.pitch, how.volume),
            logits=conversation.last.logits,
            forced=tuple(self.parts.tokenizer.encode(NO_WORDS)) if unheard else (),
            input_counts=counts,
            cached=asked.start if asked is not None else conversation.cache.position,
        )

    def step(self, conversations: Sequence[Conversation]) -> list[Step]:
        """See ``OmniModel.step``."""
        answers = []
        for conversation in conversations:
            if conversation.answering is None:
                raise ValueError("a conversation without an answer cannot be stepped")
            answers.append(conversation.answering)
        running = []
        for conversation, answering in zip(conversations, answers, strict=True):
            if answering.done is None and self._choose(answering):
                running.append((conversation.cache, answering))
        hidden: dict[int, Tensor] = {}
        if running:
            layer = self.parts.voice.layer if self.parts.voice is not None else None
            tokens = torch.tensor([answering.tokens[-1] for _, answering in running])
            out = self.parts.decoder.decode_step([cache for cache, _ in running], tokens, layer)
            for row, (_, answering) in enumerate(running):
                answering.logits = out.logits[row : row + 1]
                if out.hidden is not None:
                    hidden[id(answering)] = out.hidden[row]
        return [
            self._report(conversation, answering, hidden.get(id(answering)))
            for conversation, answering in zip(conversations, answers, strict=True)
        ]

    def _choose(self, answering: Answering) -> bool:
        """Choose the next token; false when the text has ended."""
        answering.fresh = False
        token = answering.next_token(self._end)
        if token == self._end:
            answering.end("stop")
        elif len(answering.tokens) >= answering.options.max_tokens:
            answering.end("max_tokens")
        else:
            answering.add(token)
        return answering.done is None

    def _report(self, conversation: Conversation, answering: Answering, hidden: Tensor | None) -> Step:
        answering.look_for_call()
        text = "" if answering.done == "tool_call" else answering.showable()
        sounds = self._speak(answering, text, hidden)
        step = Step(text=text, tokens=int(answering.fresh), sounds=sounds)
        answering.fresh = False
        if answering.done is None:
            return step
        return replace(
            step, call=answering.call, done=answering.done, usage=self._keep(conversation, answering)
        )

    def _speak(self, answering: Answering, text: str, hidden: Tensor | None) -> tuple[Sound, ...]:
        voice, state = self.parts.voice, answering.voice_state
        if voice is None or state is None:
            return ()
        pieces: Sequence[VoicePiece] = ()
        if text:
            embedding = self.parts.decoder.embed(torch.tensor(answering.tokens[-1:]))[0]
            if hidden is None:  # the last characters came without a step of their own
                hidden = torch.zeros_like(embedding)
            pieces, state = voice.push(state, text, voice.token_state(embedding, hidden))
        if answering.done is not None:
            pieces, state = [*pieces, *voice.finish(state)], None
        answering.voice_state = state
        return tuple(answering.sound(piece) for piece in pieces if len(piece.pcm))

    def _keep(self, conversation: Conversation, answering: Answering) -> Usage:
        """Make the whole answer an item of the conversation."""
        item = conversation.find(answering.options.item)
        item.segments = [Segment("text", torch.tensor(answering.tokens))] if answering.tokens else []
        item.text, item.spoken = answering.text, tuple(answering.spoken)
        self.writer.come_back(conversation, item)
        return answering.usage()

    def cancel(self, conversation: Conversation, heard: int, reopen: bool) -> Usage:
        """See ``OmniModel.cancel``."""
        answering = conversation.answering
        if answering is None:
            return Usage()
        conversation.answering = None
        item = self.writer.come_back(conversation, conversation.find(answering.options.item))
        item.text = answering.text[: kept_characters(tuple(answering.spoken), heard)]
        if item.text:
            count = sum(1 for end in answering.ends if end <= len(item.text)) or 1
            item.segments = [Segment("text", torch.tensor(answering.tokens[:count]))]
            item.spoken = tuple(answering.spoken)
            self.writer.rewrite_from(conversation, item)
        else:
            self.writer.remove(conversation, item)
            if reopen and conversation.reopen is not None:
                self._reopen(conversation, conversation.reopen)
        return answering.usage()

    def _reopen(self, conversation: Conversation, mark: ReopenMark) -> None:
        """Undo ``end_audio``: the same item can be heard on."""
        current = self.writer.enter(conversation, mark.item, "user")
        if current.segments and current.segments[-1].kind == "audio":
            current.segments.pop()
        conversation.audio, conversation.reopen = mark.audio, None
        if conversation.cache.earliest <= mark.position <= conversation.cache.position:
            conversation.cache.rewind(mark.position)
            return
        self.writer.rewrite_from(conversation, current)
        conversation.audio = replace(mark.audio, begin=conversation.cache.position, unwritten=0)
        self.writer.write(conversation, torch.tensor([AUDIO_OPEN]))
        embeddings = mark.audio.heard()
        if embeddings is not None:
            self.writer.write(conversation, embeddings)

    def truncate(self, conversation: Conversation, item: str, heard: int) -> None:
        """See ``OmniModel.truncate``."""
        found = conversation.find(item)
        kept = kept_characters(found.spoken, heard)
        found.text = found.text[:kept]
        tokens = self.parts.tokenizer.encode(found.text)
        found.segments = [Segment("text", torch.tensor(tokens))] if tokens else []
        self.writer.rewrite_from(conversation, found)

    # ---- transcripts -----------------------------------------------------------------------------

    def transcribe(self, conversation: Conversation, item: str) -> Iterator[str]:
        """See ``OmniModel.transcribe``."""
        found = [segment.reading for segment in conversation.find(item).segments]
        readings = [one for one in found if one is not None]
        if readings:
            yield from self.write_down(Reading.joined(readings))

    def overhear(self, pcm: bytes) -> float:
        """See ``OmniModel.overhear``."""
        hearing = self._hearing()
        return hearing.only_agrees(hearing.hear_alone(pcm_floats(pcm)))

    def write_down(self, reading: Reading) -> Iterator[str]:
        """Write down what frames (T,) say, piece by piece."""
        scribe = Scribe(self.parts.decoder, self.writer.format, self._hearing().reader.tokens)
        yield from scribe.write(reading)
