"""The omni model on a tiny random transformer: what the engine promises about conversations."""

from dataclasses import replace

import pytest
import torch

from assistant.engine.answering import Spoken, kept_characters, mel_bytes, pcm_bytes, pcm_floats
from assistant.engine.conversation import Conversation
from assistant.engine.omni import Omni
from assistant.model.transcribe import NO_WORDS
from audiocodec.numbers import CODEC_HOP_LENGTH
from tests.engine.tiny_omni import BLOCK, SILENCE, answer, next_logits, run, text


def test_answers_with_text_and_sound(omni: Omni) -> None:
    conversation = omni.open("Be kind.")
    omni.add_text(conversation, "u1", "user", "Hello")
    steps = run(omni, conversation, answer())
    said = text(steps)
    samples = sum(len(sound.pcm) // 2 for step in steps for sound in step.sounds)
    assert said
    assert samples == len(said) * CODEC_HOP_LENGTH
    assert steps[-1].usage.output_text == sum(step.tokens for step in steps)
    assert [sound.text_end for step in steps for sound in step.sounds][-1] == len(said)


def test_batch_of_answers_equals_single_ones(omni: Omni) -> None:
    def make(question: str) -> Conversation:
        conversation = omni.open("Be kind.")
        omni.add_text(conversation, "u1", "user", question)
        return conversation

    questions = ("Hello", "What is a thermostat?", "Why")
    alone = [text(run(omni, make(question), answer())) for question in questions]
    together = [make(question) for question in questions]
    for conversation in together:
        omni.begin_answer(conversation, answer())
    texts = ["", "", ""]
    running = set(range(3))
    while running:
        order = sorted(running)
        for index, step in zip(order, omni.step([together[index] for index in order]), strict=True):
            texts[index] += step.text
            if step.done:
                running.discard(index)
    assert texts == alone


def test_pieces_of_sound_do_not_matter(omni: Omni) -> None:
    logits = []
    sound = BLOCK * 3 + BLOCK[:1_000]
    for size in (1_000, len(BLOCK), 3 * len(BLOCK), len(sound)):
        conversation = omni.open("")
        for start in range(0, len(sound), size):
            omni.hear(conversation, "u1", sound[start : start + size])
        omni.end_audio(conversation, "u1")
        logits.append(next_logits(omni, conversation))
    for other in logits[1:]:
        torch.testing.assert_close(other, logits[0])


def test_cancelled_unheard_answer_never_happened(omni: Omni) -> None:
    conversation = omni.open("Be kind.")
    omni.add_text(conversation, "u1", "user", "Hello")
    before = next_logits(omni, conversation)
    position = conversation.cache.position
    omni.begin_answer(conversation, answer())
    for _ in range(3):
        omni.step([conversation])
    omni.cancel(conversation, 0, reopen=False)
    assert conversation.cache.position == position
    assert [item.name for item in conversation.items] == ["u1"]
    torch.testing.assert_close(next_logits(omni, conversation), before)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("first", [BLOCK * 2 + BLOCK[:500], SILENCE + BLOCK[:0], BLOCK])
def test_reopened_turn_goes_on_as_if_never_answered(omni: Omni, first: bytes, times: int) -> None:
    plain, reopened = omni.open("Be kind."), omni.open("Be kind.")
    for sound in (first, *[SILENCE] * (times - 1)):
        omni.hear(plain, "u1", sound)
        omni.hear(reopened, "u1", sound)
        omni.end_audio(reopened, "u1")
        omni.begin_answer(reopened, answer())
        for _ in range(4):
            omni.step([reopened])
        omni.cancel(reopened, 0, reopen=True)
    for conversation in (plain, reopened):
        omni.hear(conversation, "u1", BLOCK)
        omni.end_audio(conversation, "u1")
    assert reopened.cache.position == plain.cache.position
    torch.testing.assert_close(next_logits(omni, reopened), next_logits(omni, plain))
    assert text(run(omni, reopened, answer())) == text(run(omni, plain, answer()))


def test_interrupted_answer_keeps_what_was_heard(omni: Omni) -> None:
    conversation = omni.open("Be kind.")
    omni.add_text(conversation, "u1", "user", "Hello")
    omni.begin_answer(conversation, answer())
    said = ""
    for _ in range(6):
        said += omni.step([conversation])[0].text
    omni.cancel(conversation, 2 * CODEC_HOP_LENGTH, reopen=False)
    kept = conversation.find("a1").text
    assert 0 < len(kept) < len(said)
    assert said.startswith(kept)
    told = omni.open("Be kind.")
    omni.add_text(told, "u1", "user", "Hello")
    omni.writer.add_item(told, replace(conversation.find("a1")))
    torch.testing.assert_close(next_logits(omni, conversation), next_logits(omni, told))


def test_truncating_rewrites_what_follows(omni: Omni) -> None:
    conversation = omni.open("Be kind.")
    omni.add_text(conversation, "u1", "user", "Hello")
    said = text(run(omni, conversation, answer()))
    omni.add_text(conversation, "u2", "user", "And then?")
    omni.truncate(conversation, "a1", CODEC_HOP_LENGTH)
    kept = conversation.find("a1").text
    assert said.startswith(kept)
    assert [item.name for item in conversation.items] == ["u1", "a1", "u2"]
    told = omni.open("Be kind.")
    for name, role, words in (
        ("u1", "user", "Hello"),
        ("a1", "assistant", kept),
        ("u2", "user", "And then?"),
    ):
        omni.add_text(told, name, role, words)
    torch.testing.assert_close(next_logits(omni, conversation), next_logits(omni, told))


def test_instructions_for_one_answer_leave_the_conversation_alone(omni: Omni) -> None:
    conversation, other = omni.open("Be kind."), omni.open("Be rude and quick.")
    for one in (conversation, other):
        omni.add_text(one, "u1", "user", "Hello")
    said = text(run(omni, conversation, answer(instructions="Be rude and quick.")))
    assert said == text(run(omni, other, answer()))
    told = omni.open("Be kind.")
    omni.add_text(told, "u1", "user", "Hello")
    omni.writer.add_item(told, replace(conversation.find("a1")))
    torch.testing.assert_close(next_logits(omni, conversation), next_logits(omni, told))


def test_sound_without_words_is_never_answered_with_an_invention(omni: Omni) -> None:
    conversation = omni.open("Be kind.")
    omni.hear(conversation, "u1", SILENCE * 4)
    omni.end_audio(conversation, "u1")
    assert text(run(omni, conversation, answer(max_tokens=100))) == NO_WORDS


def test_dropped_sound_leaves_no_trace(omni: Omni) -> None:
    conversation = omni.open("Be kind.")
    omni.add_text(conversation, "u1", "user", "Hello")
    before = next_logits(omni, conversation)
    omni.hear(conversation, "u2", BLOCK * 3)
    omni.drop_audio(conversation, "u2")
    assert [item.name for item in conversation.items] == ["u1"]
    torch.testing.assert_close(next_logits(omni, conversation), before)


def test_rebuild_and_copy_hold_the_chosen_items(omni: Omni) -> None:
    conversation = omni.open("Be kind.")
    for name in ("u1", "u2", "u3"):
        omni.hear(conversation, name, BLOCK * 2)
        omni.end_audio(conversation, name)
    copied = omni.copy(conversation, "Other.", ["u3", "u1"])
    omni.rebuild(conversation, "Other.", ["u3", "u1"])
    assert [item.name for item in conversation.items] == ["u3", "u1"]
    torch.testing.assert_close(next_logits(omni, conversation), next_logits(omni, copied))
    with pytest.raises(ValueError, match="no item 'u2'"):
        omni.rebuild(conversation, "Other.", ["u2"])


def test_forced_tool_call_is_read(omni: Omni) -> None:
    conversation = omni.open("")
    omni.add_text(conversation, "u1", "user", "Hello")
    omni.begin_answer(conversation, answer(tools=True, max_tokens=200))
    assert conversation.answering is not None
    call = '<tool_call>{"name": "light", "arguments": {"on": true}}</tool_call>'
    conversation.answering.forced = tuple(omni.parts.tokenizer.encode(call))
    steps = []
    while not steps or steps[-1].done is None:
        steps += omni.step([conversation])
    assert text(steps) == ""
    assert steps[-1].done == "tool_call"
    assert steps[-1].call is not None
    assert (steps[-1].call.name, steps[-1].call.arguments) == ("light", '{"on": true}')
    assert not any(step.sounds for step in steps)


def test_long_conversation_keeps_its_memory(omni: Omni) -> None:
    conversation = omni.open("Be kind.")
    size = conversation.cache.nbytes
    for turn in range(8):
        omni.add_text(conversation, f"u{turn}", "user", "Tell me more about it, please.")
        run(omni, conversation, answer(f"a{turn}"))
    assert conversation.cache.position > conversation.cache.shape.capacity
    assert conversation.cache.nbytes == size


def test_what_was_heard_of_an_answer() -> None:
    spoken = (Spoken(0, 5), Spoken(4_800, 11), Spoken(9_600, 20))
    assert [kept_characters(spoken, heard) for heard in (0, 1, 4_800, 4_801, 99_999)] == [0, 5, 5, 11, 20]


def test_samples_survive_the_way_to_bytes() -> None:
    pcm = torch.tensor([0.0, 0.5, -0.5, 1.0, -1.0, 2.0])
    back = pcm_floats(pcm_bytes(pcm))
    torch.testing.assert_close(back, pcm.clamp(-1, 1), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="3 bytes"):
        pcm_floats(b"abc")
    assert mel_bytes(torch.tensor([[-50.0, 2.0]])) == b"\x00\xff"
