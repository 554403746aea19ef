"""Puts the codec's training together: its learned codes, then its vocoder on what they give back."""

import torch

from assistant.model.codec_files import CODEC_FILE, CodecParts, read_codec
from assistant.model.hearing_files import CODEBOOKS_FILE, ENCODER_FILE, load_listener, load_parts
from assistant.model.speaking.loading import load_voice
from assistant.paths import RUNS, WEIGHTS
from assistant.training.codec_clips import CodecClips, CodedProsody
from assistant.training.coded_clips import CodedClips, kept_clips
from assistant.training.ear_loss import EarLoss
from assistant.training.hearing_recipes import Language
from assistant.training.runs import load_module
from assistant.training.speech_makers import frames_folder, speech_folder
from assistant.training.train_codec import CodecNets, CodecRecipe, Pace
from assistant.training.train_renderer import read_kept
from assistant.training.train_vocoder import VocoderPlan, VocoderRecipe
from audiocodec.colour import Colour
from audiocodec.listener import Listener
from audiocodec.mel_decoder import DecoderConfig, MelDecoder
from audiocodec.sound_codes import SoundCoder, SoundCoderConfig
from audiocodec.vocoder import SourceFilterVocoder, VocoderConfig

CODEC_RUN, VOCODER_RUN = "codec", "codec-vocoder"
SHARES = {"kokoro": 4, "kokoro-quick": 2, "kokoro-quick-wide": 1, "hibari": 2, "hibari-wide": 1}  # of crops
VOCODER = VocoderConfig(rest_layers=0)


def shipped_ear(language: Language) -> Listener:
    """The ear as it is shipped, with its codebooks."""
    listener = load_listener(WEIGHTS / ENCODER_FILE, language.embedding)
    load_parts(WEIGHTS / CODEBOOKS_FILE, {"codebooks": listener.codebooks})
    return listener


def codec_recipe(language: Language, pace: Pace, shipped: bool = False) -> CodecRecipe:
    """The learned codes' training, begun anew or where the shipped nets ended."""
    listener = shipped_ear(language)
    if shipped:
        parts = read_codec(WEIGHTS / CODEC_FILE)
        nets = CodecNets(parts.coder, parts.colour, parts.decoder)
    else:
        nets = CodecNets(
            SoundCoder(SoundCoderConfig(ahead=listener.delay)), Colour(), MelDecoder(DecoderConfig())
        )
    clips = CodecClips({speech_folder(corpus): share for corpus, share in SHARES.items()})
    prosody = CodedProsody(listener.codebooks)
    return CodecRecipe(nets, clips, prosody, EarLoss(listener.encoder), pace)


def trained_codec() -> CodecParts:
    """The codec's nets of the last runs; its vocoder as it is shipped, where none was trained."""
    nets = last_nets()
    vocoder = SourceFilterVocoder(VOCODER)
    if (RUNS / VOCODER_RUN).exists():
        load_module(RUNS / VOCODER_RUN, "average", vocoder)
    else:
        vocoder = first_vocoder()
    return CodecParts(nets.coder, nets.colour, nets.decoder, vocoder)


def last_nets() -> CodecNets:
    """The running average of the last run's nets."""
    nets = CodecNets(SoundCoder(SoundCoderConfig()), Colour(), MelDecoder(DecoderConfig()))
    load_module(RUNS / CODEC_RUN, "average", nets)
    return nets


def first_vocoder() -> SourceFilterVocoder:
    """The codec's vocoder as it is shipped; where none is, the voice's without its rest, which can only be
    learned from a teacher that is built alike.
    """
    if (WEIGHTS / CODEC_FILE).exists():
        return read_codec(WEIGHTS / CODEC_FILE).vocoder
    _, voice = load_voice()
    vocoder = SourceFilterVocoder(VOCODER)
    known = vocoder.state_dict().keys()
    vocoder.load_state_dict({name: value for name, value in voice.state_dict().items() if name in known})
    return vocoder


def vocoder_recipe(language: Language, plan: VocoderPlan) -> VocoderRecipe:
    """The codec's vocoder on what the learned codes of the last run give back, from where it is shipped."""
    nets = last_nets()
    source = kept_clips(read_kept(frames_folder()))
    coded = CodedClips(nets, source, CodedProsody(shipped_ear(language).codebooks))
    return VocoderRecipe(first_vocoder(), plan, coded, torch.device("cpu"))
