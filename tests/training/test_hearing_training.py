"""Training of hearing on a corpus of tones: data is resumable, losses fall, runs agree with the live path."""

import copy
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch

from assistant.errors import DependencyError
from assistant.model.hearing import Hearing
from assistant.model.hearing_files import new_hearing, save_encoder, start_from_shipped
from assistant.model.manner import MannerConfig
from assistant.training.augment import Wear
from assistant.training.features import (
    FeatureSet,
    HeardUtterance,
    hear_corpus,
    pace,
    prepare,
    read_features,
    taught_manner,
)
from assistant.training.heard_runs import embeddings_of, runs_of
from assistant.training.speech_batches import Sound, SpeechBatches, place
from assistant.training.speech_data import CorpusAudio, make_corpus, plain, read_corpus, trimmed
from assistant.training.texts import Line, lines
from assistant.training.train_encoder import EncoderRecipe, Pace, ctc, rows_to_keep
from assistant.training.train_manner import AHEAD_WEIGHT, MannerRecipe, moved, through_codebooks
from assistant.training.voices import OldEngines, Spoken, repaired_wav, whispered, word_ends
from assistant.training.whisper_start import start_from
from assistant.training.word_errors import edits, greedy
from audiocodec.encoder import Encoder, EncoderConfig

WIDTH = 12
CONFIG = EncoderConfig(
    width=384,
    heads=6,
    layers=1,
    feed_forward=16,
    projector_width=16,
    projector_heads=2,
    projector_layers=1,
    projector_feed_forward=32,
    model_width=WIDTH,
    sound_width=4,
    window_blocks=10,
    ahead_blocks=1,  # then the last look is like every other, and a whole sound is heard as a stream is
    past_blocks=3,
)


class ToneVoice:
    """Says a sentence as one tone a word."""

    def speak(self, text: str, rng: np.random.Generator) -> Spoken:
        parts = []
        for word in text.split():
            time = np.arange(4_800) / 24_000
            parts.append(0.5 * np.sin(2 * np.pi * (150 + 40 * len(word)) * time).astype(np.float32))
        ends = tuple(4_800 * (index + 1) for index in range(len(parts)))
        return Spoken(np.concatenate(parts), "tone", ends, 1.0, 200.0)


LINES = [
    Line("a bb ccc dd", "ask", "one"),
    Line("ccc a bb", "answer", "one"),
    Line("dd dd a ccc bb", "cutoff", "x"),
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    list(make_corpus(tmp_path / "tones", ToneVoice(), plain(LINES), 0.01, seed=3))
    return tmp_path / "tones"


@pytest.fixture
def hearing() -> Hearing:
    torch.manual_seed(0)
    hearing = new_hearing(CONFIG, MannerConfig(WIDTH, 8, 16), torch.randn(40, WIDTH), torch.arange(5, 30))
    for name, value in hearing.listener.codebooks.named_buffers():
        value.copy_(torch.ones_like(value) if name.endswith("scale") else torch.randn_like(value) * 0.5)
    return hearing.eval()


def batches(corpus: Path) -> SpeechBatches:
    def rows(text: str) -> list[int]:
        return [len(word) for word in text.split()]

    return SpeechBatches(Sound((corpus,), (1.0,), corpus, noise_s=2.0), rows, frozenset(), seed=1)


def test_a_corpus_knows_what_it_holds_and_goes_on(corpus: Path) -> None:
    records = read_corpus(corpus)
    audio = CorpusAudio(corpus)
    assert len(records) == 100
    record = records[5]
    assert len(audio(record)) == record.length
    assert record.word_ends[-1] == record.length
    assert list(make_corpus(corpus, ToneVoice(), plain(LINES), 0.01, seed=3)) == []
    list(make_corpus(corpus, ToneVoice(), plain(LINES), 0.03, seed=3))
    assert read_corpus(corpus)[:100] == records


def test_silence_around_a_voice_is_cut() -> None:
    pcm = np.concatenate([np.zeros(9_000), np.full(5_000, 4_000), np.zeros(7_000)]).astype(np.int16)
    cut, before = trimmed(pcm)
    assert before == 9_000 - 960
    assert len(cut) == pytest.approx(5_000 + 2 * 960, abs=2)


def test_words_are_placed_behind_where_they_end() -> None:
    placed = place([[(3, 100), (4, 1_900), (5, 8_000)], None], 8)
    assert placed[0].tolist() == [-1, 3, 4, -1, -1, 5, -1, -1]
    assert placed[1].tolist() == [-2] * 8


def test_batches_are_the_same_for_the_same_step(corpus: Path) -> None:
    first, again, other = (batches(corpus).batch(step, 3) for step in (3, 3, 4))
    torch.testing.assert_close(first.mel, again.mel, rtol=0, atol=0)
    assert first.targets == again.targets
    assert first.mel.shape != other.mel.shape or not torch.equal(first.mel, other.mel)
    assert first.mel.shape[2] % 16 == 0
    assert int(first.frames.max()) <= first.placed.shape[1]


def whisper() -> dict[str, torch.Tensor]:
    """Random weights of the names and shapes of Whisper tiny.en's encoder."""
    generator = torch.Generator().manual_seed(2)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.05

    tensors = {"conv1/weight": random(384, 80, 3), "conv1/bias": random(384), "conv2/bias": random(384)}
    tensors |= {"conv2/weight": random(384, 384, 3), "position_encodings/encodings": random(1_500, 384)}
    for layer in range(4):
        for part, shapes in (
            ("self_attention", ((1_152, 384), (384, 384))),
            ("ffn", ((1_536, 384), (384, 1_536))),
        ):
            for index, shape in enumerate(shapes):
                tensors[f"layer_{layer}/{part}/linear_{index}/weight"] = random(*shape)
                tensors[f"layer_{layer}/{part}/linear_{index}/bias"] = random(shape[0])
            tensors[f"layer_{layer}/{part}/layer_norm/gamma"] = torch.ones(384)
            tensors[f"layer_{layer}/{part}/layer_norm/beta"] = torch.zeros(384)
    tensors |= {"layer_norm/gamma": torch.ones(384), "layer_norm/beta": torch.zeros(384)}
    return {f"encoder/{name}": value for name, value in tensors.items()}


@torch.inference_mode()
def test_the_encoder_starts_as_whisper() -> None:
    """Its layers, over a window, are those of the reference with the same weights."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    tensors, config = whisper(), EncoderConfig()
    encoder = Encoder(config).eval()
    start_from(encoder, tensors)
    steps = len(encoder.positions)
    reference = WhisperEncoder(
        WhisperConfig(d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1_536,
                      max_source_positions=steps)
    ).eval()  # fmt: skip
    names = {
        "self_attention/linear_1": "self_attn.out_proj",
        "self_attention/layer_norm": "self_attn_layer_norm",
        "ffn/layer_norm": "final_layer_norm",
        "ffn/linear_0": "fc1",
        "ffn/linear_1": "fc2",
    }
    state = {"layer_norm.weight": tensors["encoder/layer_norm/gamma"],
             "layer_norm.bias": tensors["encoder/layer_norm/beta"],
             "embed_positions.weight": tensors["encoder/position_encodings/encodings"][:steps]}  # fmt: skip
    for conv in ("conv1", "conv2"):
        state |= {f"{conv}.{part}": tensors[f"encoder/{conv}/{part}"] for part in ("weight", "bias")}
    for index in range(4):
        ours, theirs = f"encoder/layer_{index}", f"layers.{index}"
        for name, other in names.items():
            kinds = ("gamma", "beta") if "norm" in name else ("weight", "bias")
            for kind, part in zip(kinds, ("weight", "bias"), strict=True):
                state[f"{theirs}.{other}.{part}"] = tensors[f"{ours}/{name}/{kind}"]
        joined = tensors[f"{ours}/self_attention/linear_0/weight"].chunk(3)
        biases = tensors[f"{ours}/self_attention/linear_0/bias"].chunk(3)
        for part, weight, bias in zip(("q", "k", "v"), joined, biases, strict=True):
            state[f"{theirs}.self_attn.{part}_proj.weight"] = weight
            if part != "k":
                state[f"{theirs}.self_attn.{part}_proj.bias"] = bias
    reference.load_state_dict(state)
    mel = torch.randn(1, 80, 2 * steps, generator=torch.Generator().manual_seed(3))
    want = reference(mel).last_hidden_state
    # The reference pads both ends by zeros; ours has an older end instead, and hears one frame later.
    first = torch.nn.functional.gelu(encoder.conv1(torch.nn.functional.pad(mel, (1, 1))))
    x = torch.nn.functional.gelu(encoder.conv2(torch.nn.functional.pad(first, (1, 0)))).transpose(1, 2)
    x = x + encoder.positions
    for layer in encoder.layers:
        x = layer(x)
    torch.testing.assert_close(encoder.norm(x), want, atol=1e-4, rtol=1e-4)


def test_encoder_learns(corpus: Path, hearing: Hearing) -> None:
    pace = Pace(head=5e-3, encoder=1e-3, warm_up=2, batch_s=6, steps=40, frequent_rows=25, other_rows=1)
    recipe = EncoderRecipe(hearing.listener.encoder.train(), hearing.reader, batches(corpus), pace)
    losses = [recipe.step(number) for number in range(12)]
    assert np.mean([loss["ctc"] for loss in losses[-4:]]) < 0.8 * np.mean(
        [loss["ctc"] for loss in losses[:3]]
    )


def test_an_encoder_can_begin_where_the_shipped_one_ended(tmp_path: Path, hearing: Hearing) -> None:
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, hearing.listener)
    torch.manual_seed(9)
    wider = EncoderConfig(**{**CONFIG.to_dict(), "window_blocks": CONFIG.window_blocks + 1})
    other = new_hearing(wider, MannerConfig(WIDTH, 8, 16), torch.randn(40, WIDTH), torch.arange(5, 30))
    missing = start_from_shipped(path, other.listener)
    assert missing == ["encoder.positions"]
    torch.testing.assert_close(
        other.listener.encoder.project.weight, hearing.listener.encoder.project.weight, atol=1e-3, rtol=1e-3
    )


def test_layers_that_the_shipped_encoder_lacks_begin_by_adding_nothing(
    tmp_path: Path, hearing: Hearing
) -> None:
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, hearing.listener)
    deeper = EncoderConfig(**{**CONFIG.to_dict(), "projector_layers": CONFIG.projector_layers + 1})
    other = new_hearing(deeper, MannerConfig(WIDTH, 8, 16), torch.randn(40, WIDTH), torch.arange(5, 30))
    start_from_shipped(path, other.listener)
    mel = torch.randn(1, 80, 64)
    frames = [one.encoder(mel, one.encoder.initial_state(1))[1] for one in (hearing.listener, other.listener)]
    torch.testing.assert_close(frames[1], frames[0], atol=2e-3, rtol=2e-3)  # the file is in half precision


def test_frozen_layers_stay_as_they_are(corpus: Path, hearing: Hearing) -> None:
    encoder = hearing.listener.encoder.train()
    before = {name: value.clone() for name, value in encoder.named_parameters()}
    pace = Pace(warm_up=1, batch_s=6, steps=40, frequent_rows=25, other_rows=1, frozen_layers=1)
    EncoderRecipe(encoder, hearing.reader, batches(corpus), pace).step(0)
    moved = {name for name, value in encoder.named_parameters() if not torch.equal(value, before[name])}
    assert not any(name.startswith(("conv", "positions", "layers.0.")) for name in moved)
    assert "project.weight" in moved


def test_every_parameter_of_the_encoder_has_one_optimiser(corpus: Path, hearing: Hearing) -> None:
    encoder = hearing.listener.encoder.train()
    recipe = EncoderRecipe(encoder, hearing.reader, batches(corpus), Pace())
    learned = {name: [id(p) for group in optimizer.param_groups for p in group["params"]]
               for name, optimizer in recipe.optimizers().items()}  # fmt: skip
    wanted = [id(p) for module in recipe.modules().values() for p in module.parameters()]
    assert sorted(learned["inner"] + learned["others"]) == sorted(wanted)
    first = encoder.projector.own_layers()[0]
    assert {id(encoder.layers[0].up.weight), id(first.attention.out.weight)} <= set(learned["inner"])
    assert {id(first.attention.distance_bias), id(encoder.project.weight)} <= set(learned["others"])


def test_said_rows_always_take_part(corpus: Path) -> None:
    batch = batches(corpus).batch(1, 6)
    pace = Pace(frequent_rows=2, other_rows=3)
    keep, index = rows_to_keep(batch, 25, np.random.default_rng(0), pace)
    said = {row for target in batch.targets for row in target}
    assert said <= set(keep.tolist())
    assert all(int(index[row]) - 1 == keep.tolist().index(row) for row in said)
    logits = torch.zeros(len(batch.targets), batch.placed.shape[1], len(keep) + 1)
    assert torch.isfinite(ctc(logits, batch, index))


def test_greedy_merges_and_counts() -> None:
    logits = torch.nn.functional.one_hot(torch.tensor([[0, 2, 2, 0, 2, 3, 3]]), 5).float()
    assert greedy(logits, torch.tensor([6])) == [[1, 1, 2]]
    assert edits(["a", "b", "c"], ["a", "x", "c", "d"]) == 2


def test_heard_frames_train_manner_and_make_the_live_runs(
    tmp_path: Path, corpus: Path, hearing: Hearing
) -> None:
    wear = Wear(corpus, [], strength=0.2, noise_s=2.0)
    list(
        hear_corpus(
            tmp_path / "heard", corpus, hearing.listener, wear, lambda record: record.kind != "scrambled"
        )
    )
    features, blanks = through_codebooks(hearing.listener, read_features(tmp_path / "heard"))
    assert sum(record.frames for record in features.records) == len(features.semantic) == len(blanks)
    assert {record.finished for record in features.records} == {True, False}
    taught = {one.text for one in features.for_manner().records}
    assert taught == {one.text for one in features.records if taught_manner(one.text)}
    known = [taught_manner(line.text) for line in lines(test=False)]
    assert 0.7 < sum(known) / len(known) < 0.8  # the others are for the turn head
    twin = copy.deepcopy(hearing.manner)
    recipe = MannerRecipe(hearing.manner.train(), features, blanks, 60)
    losses = [recipe.step(number) for number in range(12)]
    assert sum(losses[-1].values()) < sum(losses[0].values())
    assert losses[-1]["ahead"] < losses[0]["ahead"] == pytest.approx(AHEAD_WEIGHT * log(2))
    torch.manual_seed(99)  # chance before a step is nothing to it: a run goes on as if it had not stopped
    assert MannerRecipe(twin.train(), features, blanks, 60).step(0) == losses[0]


@torch.inference_mode()
def test_runs_of_kept_frames_are_those_of_the_live_path(hearing: Hearing) -> None:
    pcm = torch.randn(6 * 3_840, generator=torch.Generator().manual_seed(3)) * 0.2
    raw = hearing.listener.hear_all(pcm[None])
    frames = hearing.listener.name(raw)
    record = HeardUtterance(0, 12, 0, 12, True, "", "ask", "", 0, "", {})
    features = FeatureSet(
        frames.semantic[0], frames.prosody[0], raw.acoustic[0], (record,), frames.codes[0].int()
    )
    runs = runs_of(hearing, features, record)
    block, state = hearing.step(hearing.initial_state(), pcm)
    last, _ = hearing.flush(state)
    live = torch.cat([block.embeddings, last.embeddings])
    kept = embeddings_of(hearing, runs)
    torch.testing.assert_close(kept, live, atol=2e-3, rtol=2e-3)
    assert runs.manner is not None
    assert torch.tensor(runs.manner).sigmoid() == pytest.approx(last.finished, abs=1e-3)
    other = replace(features, acoustic=features.acoustic.flip(0))
    assert runs_of(hearing, other, record).manner != pytest.approx(runs.manner, abs=1e-3)


def test_what_is_prepared_tells_its_truth(corpus: Path) -> None:
    rng, wear = np.random.default_rng(2), Wear(corpus, [], strength=0.0, noise_s=2.0)
    record = next(one for one in read_corpus(corpus) if one.kind == "cutoff")
    made = [prepare(record, CorpusAudio(corpus)(record), wear, rng) for _ in range(20)]
    assert {one.finished for one in made} == {True, False}
    assert all(one.start < one.end < len(one.sound) for one in made)
    assert all(("intent" in one.traits) == one.finished for one in made)


def test_pace_is_syllables_a_second() -> None:
    text = "what is the capital of France"  # eight syllables
    assert [pace(text, seconds) for seconds in (4.0, 2.4, 1.6)] == ["slow", "usual", "fast"]
    assert pace("no way", 1.0) is None
    assert pace("what is 4 times 12 minus 7", 1.0) is None


def test_makers_helpers() -> None:
    durations = np.asarray([2, 1, 1, 1, 3, 2, 4], np.float32)
    assert word_ends("ab cd", durations) == (4 * 600, 10 * 600)
    voiced = (8_000 * np.sin(np.arange(24_000) * 0.05)).astype(np.int16)
    breath = whispered(voiced, np.random.default_rng(0))
    assert breath.shape == voiced.shape
    assert np.abs(breath).max() > 8_000
    header = b"RIFF\xff\xff\xff\xffWAVEfmt " + bytes(20) + b"data\xff\xff\xff\xff"
    mended = repaired_wav(header + bytes(100))
    assert int.from_bytes(mended[4:8], "little") == len(mended) - 8
    assert int.from_bytes(mended[len(header) - 4 : len(header)], "little") == 100


def test_old_engines_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for seed in range(10):
        with pytest.raises(DependencyError, match="missing: install espeak-ng, flite, festival"):
            OldEngines().speak("Hello.", np.random.default_rng(seed))


def test_another_voice_is_higher_and_louder_where_it_is_voiced() -> None:
    octaves, voicing = torch.tensor([0.5, 0.0, -0.5, 0.0]), torch.tensor([0.9, 0.1, 0.8, 0.2])
    prosody = torch.cat([octaves, voicing, torch.tensor([1.0, -3.0, 0.0, 0.0])]).expand(2, 3, -1)
    higher, same = moved(prosody, torch.tensor([[0.25, 0.0], [-0.5, 0.0]], dtype=torch.float64))
    assert torch.equal(same, prosody[1])
    assert higher[0].tolist() == pytest.approx([0.75, 0, -0.25, 0, 0.9, 0.1, 0.8, 0.2, 0.5, -3.5, -0.5, -0.5])
