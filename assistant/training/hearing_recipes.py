"""Puts hearing's training together: where things lie, what starts from what, and in which order.

The order: speech (made once), encoder, heard frames, codebooks and manner, joint training, files.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from assistant.errors import WeightsError
from assistant.model.adapters import Adapter
from assistant.model.chat import ChatFormat
from assistant.model.hearing import AUDIO_CLOSE, AUDIO_OPEN, Hearing
from assistant.model.hearing_files import (
    ADAPTER_FILE,
    CODEBOOKS_FILE,
    ENCODER_FILE,
    load_adapter,
    load_listener,
    load_parts,
    new_hearing,
    save_encoder,
    start_from_shipped,
)
from assistant.model.listening import quicken_hearing
from assistant.model.loading import load_backbone
from assistant.model.manner import MannerConfig
from assistant.model.tokenizer import Tokenizer, tokenizer_from_gguf
from assistant.paths import RUNS, WEIGHTS, cache_dir
from assistant.training.features import KEPT, FeatureSet, hear_corpus, read_features
from assistant.training.lora import Adapted
from assistant.training.precision import working_dtype
from assistant.training.runs import load_module
from assistant.training.speech_batches import FULL_STEPS, Sound, SpeechBatches
from assistant.training.speech_data import (
    Utterance,
    never_learned,
    read_corpus,
)
from assistant.training.speech_makers import (
    BEGUN_CORPORA,
    SHARES,
    corpora,
    drawn_shares,
    speech_folder,
)
from assistant.training.texts import Line, always_capital, for_choices, lines, spoken_form
from assistant.training.token_sounds import token_sounds
from assistant.training.train_encoder import EncoderRecipe, Pace
from assistant.training.train_manner import MannerRecipe, through_codebooks
from assistant.training.train_omni import OmniPace, OmniRecipe, Speech
from assistant.training.whisper_start import read_ctranslate2, start_from
from assistant.training.wide_texts import WIDE, WideTexts, package_sentences, read_words
from assistant.weights import store
from assistant.weights.gguf import GGUFFile
from audiocodec.encoder import EncoderConfig

BACKBONE = ("smollm2-135m-instruct", "model.gguf")
ENCODER_RUN, CODES_RUN, MANNER_RUN = "hearing-encoder", "hearing-codes", "hearing-manner"
OMNI_RUN = "omni"
SHIPPED_MARK = "shipped"
HEARD_WEAR = 0.6  # strength


@dataclass(frozen=True, slots=True)
class Language:
    """The transformer's side of hearing: its words and where they lie."""

    tokenizer: Tokenizer
    embedding: Tensor  # (vocabulary, D) float32
    tokens: Tensor  # (V,) those that occur in what is spoken in training
    phones: Tensor  # (V, SIDES, LONGEST): how they sound
    names: frozenset[str]  # words written with a capital letter

    @property
    def space(self) -> tuple[Tensor, Tensor, Tensor]:
        """What is heard is named in: all embeddings, the tokens that can be heard, and their phones."""
        return self.embedding, self.tokens, self.phones


def read_language() -> Language:
    """Read the transformer's vocabulary, and the tokens of all that is spoken in training."""
    file = GGUFFile(store.path(*BACKBONE))
    tokenizer = tokenizer_from_gguf(file.metadata)
    texts = [line.text for line in lines(test=False)]
    names = always_capital(texts)
    found: Counter[int] = Counter()
    words = read_words()
    for text in [*(spoken_form(text, names) for text in texts), *(word.text for word in words)]:
        found.update(tokenizer.encode(" " + text))
    tokens, embedding = torch.tensor(sorted(found)), file.tensor("token_embd.weight").float()
    phones = token_sounds(words, tokens, tokenizer.encode, tokenizer.decode)
    return Language(tokenizer, embedding, tokens, phones, names)


def speech_batches(language: Language, seed: int = 1) -> SpeechBatches:
    """Batches over all corpora that have been made."""
    found = corpora()
    shares = drawn_shares({maker: sum(r.length for r in read_corpus(path)) for maker, path in found.items()})
    sound = Sound(tuple(found.values()), tuple(shares[maker] for maker in found), rooms())
    return SpeechBatches(sound, row_reader(language), language.names, seed)


def row_reader(language: Language) -> Callable[[str], list[int]]:
    """What turns words into the reader's rows."""
    known = {int(token): row for row, token in enumerate(language.tokens)}

    def rows(text: str) -> list[int]:
        encoded = language.tokenizer.encode(" " + text) if text else []
        return [known[token] for token in encoded if token in known]

    return rows


def rooms() -> Path:
    """Recorded impulse responses."""
    return store.path("room-impulses")


def encoder_recipe(language: Language, pace: Pace, shipped: bool = False) -> EncoderRecipe:
    """The encoder's training, started from Whisper's weights, or where the shipped encoder ended."""
    hearing = new_hearing(EncoderConfig(), MannerConfig(), *language.space)
    start_from(hearing.listener.encoder, read_ctranslate2(store.path("whisper-tiny.en", "model.bin")))
    batches = speech_batches(language)
    if shipped:  # what the beginning of a run is for has been learned
        start_from_shipped(WEIGHTS / ENCODER_FILE, hearing.listener)
        pace = replace(pace, placed_steps=1)
        batches.worn_before = FULL_STEPS // 2
    return EncoderRecipe(hearing.listener.encoder, hearing.reader, batches, pace)


def snapshot_encoder(language: Language, shipped: bool = False) -> None:
    """Set down the encoder as the last run left it, or the shipped one; all that is trained behind it is
    trained on this one. What an older one heard is dropped, unless it is the same and as much was kept of it.
    """
    if shipped:
        listener = load_listener(WEIGHTS / ENCODER_FILE, language.embedding)
        step = f"{SHIPPED_MARK} {hashlib.sha256((WEIGHTS / ENCODER_FILE).read_bytes()).hexdigest()}"
    else:
        hearing = new_hearing(EncoderConfig(), MannerConfig(), *language.space)
        step = str(load_module(RUNS / ENCODER_RUN, "encoder", hearing.listener.encoder))
        load_module(RUNS / ENCODER_RUN, "reader", hearing.reader)
        listener = hearing.listener
    mark, step = snapshot_mark(), f"{step} {' '.join(KEPT)}"
    if not mark.exists() or mark.read_text() != step:
        shutil.rmtree(cache_dir() / "heard", ignore_errors=True)
        mark.parent.mkdir(parents=True, exist_ok=True)
        save_encoder(snapshot_path(), listener)
        mark.write_text(step)


def snapshot_path() -> Path:
    """Where the encoder lies that everything behind it uses."""
    return RUNS / CODES_RUN / ENCODER_FILE


def snapshot_mark() -> Path:
    """Where it is written down which encoder that is."""
    return snapshot_path().with_suffix(".step")


def trained_encoder(language: Language) -> Hearing:
    """Hearing with the encoder that was set down; everything behind it is new."""
    listener = load_listener(snapshot_path(), language.embedding)
    return Hearing(listener, language.embedding, MannerConfig()).eval()


def features_folder(maker: str) -> Path:
    """Where a corpus's heard frames lie."""
    return cache_dir() / "heard" / maker


def hear(language: Language, utterances: dict[str, int], shipped: bool = False) -> Iterator[tuple[str, int]]:
    """Hear at most so many sensible utterances of each corpus; yields corpus and count."""
    snapshot_encoder(language, shipped)
    hearing = trained_encoder(language)
    quicken_hearing(hearing)  # as it hears when it is used
    batches = speech_batches(language)
    batches.wear.strength = HEARD_WEAR
    for maker, count in utterances.items():
        records = read_corpus(speech_folder(maker))
        picked = _first_asks(records, count)
        marks = {(record.shard, record.offset) for record in picked}

        def keep(record: Utterance, marks: set[tuple[int, int]] = marks) -> bool:
            return (record.shard, record.offset) in marks

        for done in hear_corpus(
            features_folder(maker), speech_folder(maker), hearing.listener, batches.wear, keep
        ):
            yield maker, done


def _first_asks(records: list[Utterance], count: int) -> list[Utterance]:
    """Asks first, because answers need them; then everything else in the order in which it was made."""
    return sorted(records, key=lambda record: record.kind not in ("ask", "cutoff"))[:count]


def heard_features(begun: bool = False) -> FeatureSet:
    """All frames that have been heard, but for those of sentences on which settings are chosen; those of mere
    beginnings as well where ``begun``.
    """
    wanted = (*SHARES, *BEGUN_CORPORA) if begun else SHARES
    folders = [features_folder(maker) for maker in wanted if features_folder(maker).exists()]
    if not folders:
        raise WeightsError("nothing has been heard yet: run `vivavoce train hear`")
    features = read_features(*folders)
    learned = tuple(one for one in features.records if not never_learned(one.source, one.voice))
    return replace(features, records=learned)


def codes_path() -> Path:
    """Where fitted codebooks are kept until they are shipped."""
    return RUNS / CODES_RUN / "codebooks.safetensors"


def with_codebooks(language: Language) -> Hearing:
    """Hearing with the trained encoder and fitted codebooks; with the shipped ones where the encoder is the
    shipped one and none were fitted anew.
    """
    hearing = trained_encoder(language)
    if codes_path().exists():
        hearing.listener.codebooks.load_state_dict(load_file(codes_path()))
    elif snapshot_mark().read_text().startswith(SHIPPED_MARK):
        load_parts(WEIGHTS / CODEBOOKS_FILE, {"codebooks": hearing.listener.codebooks})
    else:
        raise WeightsError("no codebooks yet: run `vivavoce train codebooks`")
    return hearing


def manner_recipe(hearing: Hearing, steps: int, shipped: bool = False) -> MannerRecipe:
    """The manner net's training on what the codes stand for, begun anew or where the shipped net ended."""
    if shipped:
        load_parts(WEIGHTS / CODEBOOKS_FILE, {"manner": hearing.manner})
    features, blanks = through_codebooks(hearing.listener, heard_features(begun=True).for_manner())
    return MannerRecipe(hearing.manner.train(), features, blanks, steps)


def other_texts() -> list[Line]:
    """Sentences that are not the dialogues', but for those on which settings are chosen."""
    known = WideTexts(read_words(), package_sentences()).lines
    return [line for line in known if line.kind == WIDE and not for_choices(line.source)]


def omni_recipe(
    language: Language, pace: OmniPace, imagine: bool = False, shipped: bool = False
) -> OmniRecipe:
    """Joint training of the transformer with what is heard, or with what is only imagined;
    begun anew or where what is shipped of it ended.
    """
    if imagine:
        features = None
        hearing = new_hearing(EncoderConfig(), MannerConfig(), *language.space).eval()
    else:
        hearing = with_codebooks(language)
        load_module(RUNS / MANNER_RUN, "average", hearing.manner)
        features, _ = through_codebooks(hearing.listener, heard_features())
    hearing.manner.eval().requires_grad_(False)
    backbone = load_backbone(store.path(*BACKBONE), working_dtype("cpu"))
    speech = Speech(ChatFormat(language.tokenizer), row_reader(language), language.names)
    wide = tuple(line.text for line in other_texts())
    hearing.trait_words.name(language.tokenizer.encode)
    recipe = OmniRecipe(backbone, hearing, features, speech, pace, wide)
    if shipped:
        recipe.adapted.start_from(load_adapter(WEIGHTS / ADAPTER_FILE))
        parts = {name: recipe.projections[name] for name in ("say_how", "trait_words")}
        load_parts(WEIGHTS / CODEBOOKS_FILE, parts)
    return recipe


def trained_hearing(language: Language) -> Hearing:
    """Hearing from the last runs."""
    hearing = with_codebooks(language)
    load_module(RUNS / MANNER_RUN, "average", hearing.manner)
    projections = nn.ModuleDict({"say_how": hearing.say_how, "trait_words": hearing.trait_words})
    load_module(RUNS / OMNI_RUN, "projections", projections)
    return hearing.eval()


def trained_adapter(pace: OmniPace) -> Adapter:
    """The adapter of the last joint run."""
    backbone = load_backbone(store.path(*BACKBONE), working_dtype("cpu"))
    adapted = Adapted(backbone, pace.rank, (AUDIO_OPEN, AUDIO_CLOSE), pace.first)
    load_module(RUNS / OMNI_RUN, "adapted", adapted)
    return adapted.adapter()
