"""The judge of bursts: which phrases are drawn, and what it learns."""

import json
from random import Random

import torch

from assistant.training.bursts import AGREE, FLOOR, PHRASES, burst_lines, words
from assistant.training.train_agreement import AgreementRecipe, Bursts
from tests.model.hearing.test_hearing import make_hearing

AGREES, WANTS = (torch.randint(2_048, (6, 5), generator=torch.Generator().manual_seed(n)) for n in (1, 2))


def test_no_phrase_is_of_both_kinds() -> None:
    phrases = json.loads(PHRASES.read_text(encoding="utf-8"))
    assert not {words(one) for one in phrases[AGREE]} & {words(one) for one in phrases[FLOOR]}


def test_bursts_are_short_and_half_of_them_agree() -> None:
    draw, rng = burst_lines(), Random(3)
    drawn = [draw(rng) for _ in range(400)]
    assert 160 < sum(line.kind == AGREE for line in drawn) < 240
    assert {line.kind for line in drawn} == {AGREE, FLOOR}
    assert all(1 <= len(line.text.split()) <= 4 for line in drawn)
    agreeing = {words(line.text) for line in drawn if line.kind == AGREE}
    assert not agreeing & {words(line.text) for line in drawn if line.kind == FLOOR}


def test_it_learns_to_tell_two_sounds_apart() -> None:
    hearing = make_hearing()
    bursts = Bursts.of([(AGREES, True), (WANTS, False), (AGREES[:5], True), (WANTS[:4], False)])
    recipe = AgreementRecipe(hearing, bursts, steps=60)
    losses = [recipe.step(number)["loss"] for number in range(60)]
    assert losses[-1] < 0.5 * losses[0]
    hearing.eval()
    assert hearing.only_agrees(AGREES) > 0.8 > 0.2 > hearing.only_agrees(WANTS)


def test_what_lies_behind_a_burst_in_a_batch_is_nothing_to_it() -> None:
    hearing = make_hearing()
    both = Bursts.of([(AGREES, True), (WANTS[:2], False)])
    assert both.frames.tolist() == [6, 2]
    heard, blank = hearing.listener.decode(both.codes), hearing.listener.read(both.codes).blank
    with torch.inference_mode():
        logits = hearing.agreement(heard.semantic, heard.prosody, blank, both.frames)
    torch.testing.assert_close(float(logits[1].sigmoid()), hearing.only_agrees(WANTS[:2]))


def test_sets_of_different_length_become_one() -> None:
    joined = Bursts.joined([Bursts.of([(AGREES, True)]), Bursts.of([(WANTS[:3], False)])])
    assert joined.codes.shape == (2, 6, 5)
    assert torch.equal(joined.codes[1, :3], WANTS[:3])
    assert joined.agrees.tolist() == [1, 0]


def test_no_sound_is_no_wish_to_speak() -> None:
    assert make_hearing().only_agrees(torch.zeros(0, 8, dtype=torch.long)) == 1
