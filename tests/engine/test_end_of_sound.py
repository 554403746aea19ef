"""What happens at the end of a sound: who judges it, and what is written when."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from assistant.engine import omni as omni_module
from assistant.engine.conversation import Conversation
from assistant.engine.omni import Omni
from assistant.model.chat import ChatFormat
from assistant.model.turn_head import TurnHead
from tests.engine.tiny_omni import BLOCK, CONFIG, SILENCE, answer, next_logits


def test_words_and_sound_judge_the_end_together(omni: Omni) -> None:
    torch.manual_seed(4)
    head = TurnHead(CONFIG.width)
    with torch.no_grad():
        head.leave.weight.normal_()
    judging = Omni(replace(omni.parts, turn_head=head))
    conversation = judging.open("")
    assert [heard.finished for heard in judging.hear(conversation, "u1", BLOCK)] == [0.5]  # the sound alone
    [ended] = judging.end_audio(conversation, "u1")
    mark = conversation.reopen
    assert mark is not None
    assert mark.audio.words is not None
    assert ended.finished == pytest.approx(head.judge(mark.audio.words, 0.5))
    assert ended.finished != pytest.approx(0.5, abs=1e-3)

    judging.begin_answer(conversation, answer())
    judging.cancel(conversation, 0, reopen=True)
    [quiet] = judging.hear(conversation, "u1", SILENCE)
    assert quiet.finished == pytest.approx(ended.finished)  # no new words: their judgement still counts
    [loud] = judging.hear(conversation, "u1", BLOCK)
    assert loud.finished == 0.5


@pytest.mark.parametrize("blocks", [1, 4, 5, 6, 11])
def test_the_turn_head_reads_where_the_last_word_is(omni: Omni, blocks: int) -> None:
    """However many words were written before the end, and with silence behind the last one."""
    torch.manual_seed(4)
    head, decoder = TurnHead(CONFIG.width), omni.parts.decoder
    judging = Omni(replace(omni.parts, turn_head=head))
    conversation = judging.open("")
    for _ in range(blocks):
        judging.hear(conversation, "u1", BLOCK)
    judging.hear(conversation, "u1", 2 * SILENCE)
    judging.end_audio(conversation, "u1")
    mark, cache = conversation.reopen, decoder.new_cache(conversation.cache.shape)
    assert mark is not None
    decoder.prefill(cache, torch.tensor(ChatFormat(omni.parts.tokenizer).open("user")))
    [segment] = conversation.items[0].segments
    hidden = decoder.prefill(cache, segment.inputs[: 1 + blocks], CONFIG.layers).hidden
    assert hidden is not None
    assert mark.audio.words == pytest.approx(float(head.read(hidden[-1]).detach()), abs=1e-4)


def test_the_turn_head_does_not_change_what_is_written(omni: Omni) -> None:
    judging = Omni(replace(omni.parts, turn_head=TurnHead(CONFIG.width)))
    logits = []
    for one in (omni, judging):
        conversation = one.open("")
        one.hear(conversation, "u1", BLOCK)
        one.end_audio(conversation, "u1")
        logits.append(next_logits(one, conversation))
    torch.testing.assert_close(logits[0], logits[1])


@pytest.mark.parametrize("at_once", [1, 3])
def test_when_runs_are_written_changes_nothing(
    omni: Omni, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = []
    for size in (omni_module.WRITTEN_AT_ONCE, at_once):
        monkeypatch.setattr(omni_module, "WRITTEN_AT_ONCE", size)
        conversation = omni.open("")
        for _ in range(5):
            omni.hear(conversation, "u1", BLOCK)
        omni.end_audio(conversation, "u1")
        omni.begin_answer(conversation, answer())
        omni.cancel(conversation, 0, reopen=True)
        omni.hear(conversation, "u1", BLOCK)
        omni.end_audio(conversation, "u1")
        logits.append(next_logits(omni, conversation))
    torch.testing.assert_close(logits[0], logits[1])


def test_markers_read_ahead_leave_no_trace(omni: Omni) -> None:
    """The answer behind a sound is the same whether its markers were read ahead, or something else came."""

    def forget(conversation: Conversation) -> None:
        conversation.ahead = None

    logits: list[Tensor] = []
    for between in (lambda _: None, forget):
        conversation = omni.open("")
        omni.hear(conversation, "u1", BLOCK)
        omni.end_audio(conversation, "u1")
        assert conversation.ahead is not None
        between(conversation)
        omni.begin_answer(conversation, answer())
        assert conversation.ahead is None
        assert conversation.last is not None
        logits += [conversation.last.logits, next_logits(omni, conversation)]
    torch.testing.assert_close(logits[0], logits[2])
    torch.testing.assert_close(logits[1], logits[3])

    typed = omni.open("")
    omni.hear(typed, "u1", BLOCK)
    omni.end_audio(typed, "u1")
    omni.add_text(typed, "u1", "user", "and this")
    anew = omni.copy(typed, "", ["u1"])
    for conversation in (typed, anew):
        omni.begin_answer(conversation, answer())
    torch.testing.assert_close(next_logits(omni, typed), next_logits(omni, anew))
