"""The tables of hearing: words, understanding, manner, ends of turns, sound without words, cost."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from assistant.bench import hearing_sets as sets
from assistant.bench.ends import ends, listened, wait_figures
from assistant.bench.judges.words import Recognizer, WordError, word_error
from assistant.bench.memory import peak_mb
from assistant.bench.trust import by_trust, most_patient
from assistant.bench.turns import SmartTurn, ends_right, told_right, traits_right, worn
from assistant.model.generate import Limits, generate
from assistant.model.hearing import AUDIO_CLOSE, AUDIO_OPEN
from assistant.model.transcribe import Transcriber, utterances
from assistant.model.turn_head import TurnHead
from assistant.session.turn import TurnPolicy
from assistant.training.word_errors import greedy
from audiocodec.numbers import SAMPLE_RATE

NOISE_DB = 10.0
CHOOSING_DB = 15.0  # trained voices in silence are too easy
ANSWER_TOKENS = 60
SYSTEM = "You are Viva, a friendly voice assistant. Answer briefly."
GAP_SAMPLES = SAMPLE_RATE // 2  # between clips that are heard without a break


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tables."""

    what: str
    figures: dict[str, float]
    count: int
    examples: tuple[str, ...] = field(default=())


def words(
    transcriber: Transcriber, others: list[Recognizer], clips: list[sets.Clip], real: int
) -> Iterator[Row]:
    """Word error in percent of some clips, the same in noise, and of so many of real people."""
    kinds = {
        "clean": clips,
        f"noise at {NOISE_DB:.0f} dB": sets.noisy(clips, NOISE_DB),
        "real prompts (telephone)": sets.prompts(real) if real else [],
        "real reading (novel)": sets.readings() if real else [],
    }
    for what, clips in kinds.items():
        totals: dict[str, WordError] = {}
        examples = []
        for clip in clips:
            heard = {"viva": written(transcriber, clip)} | {o.name: o.hear(clip.audio) for o in others}
            for name, text in heard.items():
                totals[name] = totals.get(name, WordError(0, 0)) + word_error(clip.text, text)
            examples.append(f"{clip.text} | {heard['viva']}")
        if clips:
            figures = {name: total.percent for name, total in totals.items()}
            yield Row(f"words, {what}", figures, len(clips), tuple(examples[:8]))


def choosing(transcriber: Transcriber, count: int) -> Iterator[Row]:
    """Word error in percent on sentences on which settings may be chosen, in some noise."""
    for maker, clean in sets.for_choosing(count).items():
        clips = sets.noisy(clean, CHOOSING_DB)
        total = WordError(0, 0)
        for clip in clips:
            total = total + word_error(clip.text, written(transcriber, clip))
        yield Row(f"words, for choosing settings: {maker}", {"viva": total.percent}, len(clips))


def written(transcriber: Transcriber, clip: sets.Clip) -> str:
    """What the transformer writes down of a clip."""
    return " ".join(one.text for one in transcriber([torch.from_numpy(clip.audio)]))


def frames(transcriber: Transcriber, clips: list[sets.Clip], count: int) -> Iterator[Row]:
    """Word error in percent of the encoder alone, its best token of each frame: of the frames as they are,
    and of what their codes stand for; on some clips and on so many of each maker that it was trained on.
    """
    listener = transcriber.hearing.listener
    reader = listener.reader
    decode = transcriber.chat.tokenizer.decode
    kinds = {"voices not learned": clips}
    kinds |= {f"{maker}, trained on": sets.trained_on(maker, count) for maker in ("hibari", "kokoro")}
    for what, clips in kinds.items():
        totals = {"frames": WordError(0, 0), "codes": WordError(0, 0)}
        for clip in clips:
            sound = torch.nn.functional.pad(torch.from_numpy(clip.audio), (0, GAP_SAMPLES))
            with torch.inference_mode():
                raw = listener.hear_all(sound[None])
                heard = {"frames": raw.semantic, "codes": listener.name(raw).semantic}
                for name, semantic in heard.items():
                    [rows] = greedy(reader(semantic), torch.tensor([semantic.shape[1]]))
                    text = decode(reader.tokens[rows].tolist())
                    totals[name] = totals[name] + word_error(clip.text, text)
        if clips:
            figures = {name: total.percent for name, total in totals.items()}
            yield Row(f"encoder alone, {what}", figures, len(clips))


def wordless(transcriber: Transcriber, count: int) -> Row:
    """How often silence, noise and music are given words, in percent."""
    clips = sets.wordless(count)
    invented = [text for clip in clips if (text := written(transcriber, clip))]
    share = 100 * len(invented) / len(clips)
    return Row("words in silence, noise, music (%)", {"viva": share}, len(clips), tuple(invented[:8]))


def manner(transcriber: Transcriber, head: TurnHead, clips: list[sets.Clip]) -> list[Row]:
    """Traits and ends of turns named right, in percent, beside Smart-Turn."""
    hearing = transcriber.hearing
    judged = worn(hearing, clips)
    rows = [
        Row(f"{name} named right (%)", {"viva": 100 * hit / max(1, total)}, total)
        for name, (hit, total) in traits_right(hearing, judged).items()
    ]
    told = told_right(judged, lambda audio: answer(transcriber, SYSTEM, audio, "How did I sound?"))
    rows += [
        Row(f'{name} told right, asked "How did I sound?" (%)', {"viva": 100 * hit / max(1, total)}, total)
        for name, (hit, total) in told.items()
    ]
    ours, by_sound, total = ends_right(transcriber, head, judged)
    theirs, _ = SmartTurn().ends_right(judged)
    counts = {"viva": ours, "by its sound alone": by_sound, "smart-turn": theirs}
    figures = {name: 100 * right / max(1, total) for name, right in counts.items()}
    return [*rows, Row("end of turn right at 200 ms (%)", figures, total)]


def ends_followed(transcriber: Transcriber, head: TurnHead, clips: list[sets.Clip]) -> Row:
    """The turn machine on whole and broken off sentences: how often it takes the floor in pauses of the usual
    lengths, and how long who has finished waits for it.
    """
    policy, found = TurnPolicy(), ends(clips)
    waits = [(kind, one.wait_ms(policy)) for kind, one in listened(transcriber, head, found)]
    return Row("ends, followed through the silence", wait_figures(waits, policy), len(waits))


def trust(transcriber: Transcriber, head: TurnHead, clips: list[sets.Clip]) -> Iterator[Row]:
    """How far words and sound are best trusted, for each longest wait."""
    sounds = ends(clips)
    shown = track(
        listened(transcriber, head, sounds), "ends followed", len(sounds), console=Console(stderr=True)
    )
    found = by_trust(shown, head, TurnPolicy())
    for longest, best in most_patient(found):
        figures = dict(zip(("words", "sound", "bias"), best, strict=True)) | found[best]
        yield Row(f"most patient with 95 % within {longest} ms", figures, len(clips))


def cost(transcriber: Transcriber, seconds: float = 20.0) -> Row:
    """Compute time of encoder and prefill as a part of the sound's time, in percent."""
    clips = sets.held_out(40)
    sound = torch.cat([torch.from_numpy(clip.audio) for clip in clips])[: round(seconds * SAMPLE_RATE)]
    begin = time.perf_counter()
    found = list(utterances(transcriber.hearing, [sound]))
    heard_s = time.perf_counter() - begin
    begin = time.perf_counter()
    for heard in found:
        cache = transcriber.decoder.new_cache()
        for part in torch.split(heard.embeddings, 2):
            transcriber.decoder.prefill(cache, part)
    prefilled_s = time.perf_counter() - begin
    whole = len(sound) / SAMPLE_RATE
    return Row(
        "part of real time (%)", {"encoder": 100 * heard_s / whole, "prefill": 100 * prefilled_s / whole}, 1
    )


def long_listening(transcriber: Transcriber, minutes: float) -> Row:
    """Hear for so long without a break, as fast as it goes: word error of the first and of the last minute,
    and how much the process grew in between, in MB.
    """
    clips = sets.held_out(200)
    hearing, state = transcriber.hearing, transcriber.hearing.initial_state()
    order = itertools.cycle(clips)
    errors = {"first minute": WordError(0, 0), "last minute": WordError(0, 0)}
    before, heard_s = 0.0, 0.0
    while heard_s < 60 * minutes:
        clip = next(order)
        sound = np.pad(clip.audio, (0, GAP_SAMPLES))
        block, state = hearing.step(state, torch.from_numpy(sound))
        minute = "first minute" if heard_s < 60 else "last minute" if heard_s >= 60 * minutes - 60 else ""
        if minute:
            text = transcriber.write_down(block.reading)
            errors[minute] = errors[minute] + word_error(clip.text, text)
        heard_s += len(sound) / SAMPLE_RATE
        before = before or (peak_mb() if heard_s >= 60 else 0.0)
    figures = {name: error.percent for name, error in errors.items()} | {"MB grown": peak_mb() - before}
    return Row(f"word error over {minutes:.0f} minutes without a break", figures, 1)


def answer(transcriber: Transcriber, system: str, audio: sets.Audio | None, typed: str) -> str:
    """Answer a spoken or typed question, greedily."""
    from assistant.model.chat import Message

    chat, decoder = transcriber.chat, transcriber.decoder
    head = torch.tensor(chat.turn(Message("system", system)) + chat.open("user"))
    tail = torch.tensor([*chat.tokenizer.encode(typed), *chat.close(), *chat.open("assistant")])
    parts = [decoder.embed(head)]
    if audio is not None:
        heard = utterances(transcriber.hearing, [torch.from_numpy(audio)])
        found = [stretch.embeddings for stretch in heard]
        if not found:
            return ""
        parts += [
            decoder.embed(torch.tensor([AUDIO_OPEN])),
            *found,
            decoder.embed(torch.tensor([AUDIO_CLOSE])),
        ]
    parts.append(decoder.embed(tail))
    limits = Limits(max_tokens=ANSWER_TOKENS, stop=frozenset({chat.turn_end}), loops=False)
    return chat.tokenizer.decode(
        list(generate(decoder, decoder.new_cache(), torch.cat(parts), limits))
    ).strip()


def understanding(
    tuned: Transcriber, untuned: Transcriber, recognizer: Recognizer, clips: list[sets.Clip]
) -> Row:
    """Answers judged right, in percent: spoken; typed; what the transformer itself writes down of the spoken,
    typed; through the chain of a recogniser and the same transformer; and typed to the untuned transformer.
    """
    from assistant.bench.judges.similarity import MiniLM
    from assistant.bench.understanding import Question, questions, table

    def spoken(question: Question) -> str:
        return answer(tuned, SYSTEM, question.audio, "")

    def typed(question: Question) -> str:
        return answer(tuned, SYSTEM, None, question.text)

    def transcribed(question: Question) -> str:
        return answer(tuned, SYSTEM, None, written(tuned, sets.Clip(question.audio, "")))

    def chained(question: Question) -> str:
        return answer(tuned, SYSTEM, None, recognizer.hear(question.audio))

    def before(question: Question) -> str:
        return answer(untuned, SYSTEM, None, question.text)

    asked = questions(clips)
    ways: dict[str, Callable[[Question], str]] = {
        "spoken": spoken,
        "typed": typed,
        "its transcript typed": transcribed,
        "chain": chained,
        "typed, untuned": before,
    }
    rows = table(asked, ways, MiniLM())
    examples = [
        f"{q.text} | {a} | {b}" for q, a, b in zip(asked, rows["spoken"][1], rows["typed"][1], strict=True)
    ]
    figures = {name: 100 * share for name, (share, _) in rows.items()}
    return Row("answers judged right (%)", figures, len(asked), tuple(examples[:10]))
