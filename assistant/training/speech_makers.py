"""Which corpora of training speech there are, who makes them and what is said in them."""

from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path

from assistant.errors import WeightsError
from assistant.model.speaking.loading import load_voice
from assistant.paths import RUNS, cache_dir
from assistant.training.bursts import burst_lines
from assistant.training.piper import Piper
from assistant.training.renderer import QuickKokoro, Renderer, Trunk
from assistant.training.runs import load_module
from assistant.training.speech_data import Draw, make_corpus, plain, read_corpus
from assistant.training.texts import begun, for_choices, lines
from assistant.training.train_renderer import RendererPlan, RendererRecipe, keep_frames, read_kept
from assistant.training.voices import CHOICES, HELD_OUT, Hibari, Kokoro, Maker, OldEngines, Phonemes
from assistant.training.wide_texts import WideTexts, definitions, package_sentences, read_words
from assistant.weights import store

SHARES = {  # how often each corpus is drawn
    "kokoro": 0.5,
    "hibari": 0.2,
    "old": 0.06,
    "kokoro-wide": 0.5,
    "kokoro-quick": 0.5,
    "kokoro-quick-wide": 1.2,  # seldom words are what the ear misses most
    "hibari-wide": 0.8,
    "old-wide": 0.14,
}
OLD, OLD_SHARE = ("old", "old-wide"), 0.1  # the old engines together are at most a tenth
MOST_OFTEN = 8.0  # times what its size says: a small corpus is not drawn more often
RENDERER_RUN = "renderer"


class Use(Enum):
    """What a corpus is for; its value ends the name of its folder."""

    TRAINING = ""
    TESTS = "-held-out"  # voices and sentences put aside
    WIDE = "-wide"  # training with many words
    CHOICES = "-choices"  # voices and sentences on which settings are chosen
    BURSTS = "-bursts"  # short phrases of agreement, and of somebody who wants to speak
    BEGUN = "-begun"  # beginnings of sentences, as they are said before a thinking pause
    WIDE_CHOICES = "-wide-choices"  # voices for choices, sentences of the packages that are never learned


MAKERS = ("kokoro", "hibari", "old", "piper", "kokoro-quick")
BEGUN_CORPORA = tuple(maker + Use.BEGUN.value for maker in MAKERS if maker != "piper")


def speech_folder(maker: str) -> Path:
    """Where a maker's corpus lies."""
    return cache_dir() / "speech" / maker


def make_speech(maker: str, hours: float, use: Use = Use.TRAINING, seed: int = 0) -> Iterator[float]:
    """Make a corpus; yields its hours as they grow. Another ``seed`` draws other sentences and voices."""
    if maker not in MAKERS:
        raise WeightsError(f"{maker!r} makes no speech; {', '.join(MAKERS)} do")
    if use in (Use.CHOICES, Use.WIDE_CHOICES) and maker != "kokoro":
        raise WeightsError("only kokoro has voices that are kept for choices")
    if maker == "piper" and use is not Use.TESTS:
        raise WeightsError("the voice of piper is for tests only: add --held-out")
    folder = speech_folder(maker + use.value)
    own = MAKERS.index(maker) + 1 + 10 * list(Use).index(use)
    return make_corpus(folder, _maker(maker, use), _texts(use), hours, own + 100 * seed)


def _maker(name: str, use: Use) -> Maker:
    if name == "old":
        return OldEngines()
    if name == "hibari":
        return Hibari(Phonemes())
    if name == "piper":
        return Piper(store.path("piper-joe"))
    names = {Use.TESTS: HELD_OUT, Use.CHOICES: CHOICES, Use.WIDE_CHOICES: CHOICES}.get(use)
    net, voices = store.path("kokoro"), store.path("kokoro-voices")
    if name == "kokoro":
        return Kokoro(net, voices, Phonemes(), names)
    renderer = Renderer()
    load_module(RUNS / RENDERER_RUN, "renderer", renderer)
    return QuickKokoro(net, voices, Phonemes(), renderer.eval(), names)


def frames_for_renderer() -> Iterator[float]:
    """Make the frames that the renderer is taught on; yields the part that is done."""
    kokoro = Kokoro(store.path("kokoro"), store.path("kokoro-voices"), Phonemes())
    made = [path for name, path in corpora().items() if name in ("kokoro", "kokoro-wide")]
    return keep_frames(frames_folder(), made, kokoro, Trunk(store.path("kokoro", "kokoro.onnx")))


def frames_folder() -> Path:
    """Where the renderer's frames lie."""
    return cache_dir() / "frames"


def renderer_recipe(steps: int) -> RendererRecipe:
    """The small net in place of Kokoro's generator, from the shipped vocoder's inner layers."""
    _, vocoder = load_voice()
    return RendererRecipe(vocoder, RendererPlan(steps), read_kept(frames_folder()))


def _texts(use: Use) -> Draw:
    if use in (Use.WIDE, Use.WIDE_CHOICES):
        wide = WideTexts(read_words(), [*package_sentences(), *definitions()])
        return wide.draw if use is Use.WIDE else wide.put_aside
    if use is Use.BURSTS:
        return burst_lines()
    if use is Use.BEGUN:
        return begun(lines(test=False))
    if use is Use.CHOICES:
        return plain([line for line in lines(test=False) if for_choices(line.source)])
    return plain(lines(test=use is Use.TESTS))


def drawn_shares(sizes: Mapping[str, float]) -> dict[str, float]:
    """How often corpora of these sizes are drawn, by name; only their ratios matter."""
    total = sum(sizes.values())
    shares = {maker: min(SHARES[maker], MOST_OFTEN * size / total) for maker, size in sizes.items()}
    others = sum(share for maker, share in shares.items() if maker not in OLD)
    old = sum(shares.values()) - others
    if others and old > (most := others * OLD_SHARE / (1 - OLD_SHARE)):
        shares |= {maker: shares[maker] * most / old for maker in OLD if maker in shares}
    return shares


def corpora() -> dict[str, Path]:
    """The training corpora that have been made."""
    found = {maker: speech_folder(maker) for maker in SHARES if read_corpus(speech_folder(maker))}
    if not found:
        raise WeightsError("no training speech yet: run `vivavoce train speech-data`")
    return found
