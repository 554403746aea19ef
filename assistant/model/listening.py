"""Loads the tuned transformer together with its hearing, from the project's weights or from
any folder that holds them.
"""

from functools import partial
from pathlib import Path

import torch
from torch import nn

from assistant.model.adapters import merge
from assistant.model.backbone import Backbone
from assistant.model.chat import ChatFormat
from assistant.model.checkpoint import make_decoder
from assistant.model.codec_files import CODEC_FILE, read_codec
from assistant.model.hearing import Hearing
from assistant.model.hearing_files import (
    ADAPTER_FILE,
    CODEBOOKS_FILE,
    ENCODER_FILE,
    load_adapter,
    load_hearing,
    load_listener,
    load_parts,
    new_hearing,
)
from assistant.model.loading import backbone_from_gguf
from assistant.model.manner import MannerConfig
from assistant.model.native.linear import Int8Linear, exchange, rounded, threads_for
from assistant.model.native.stack import NativeBlockStack, NativeWindowLayers
from assistant.model.tokenizer import tokenizer_from_gguf
from assistant.model.transcribe import Transcriber
from assistant.model.turn_head import TurnHead
from assistant.weights import store
from assistant.weights.gguf import GGUFFile
from audiocodec.encoder import BlockStack, EncoderConfig, WindowLayers
from audiocodec.viva import VivaCodec
from audiocodec.vocoder import VocoderState, enliven

BACKBONE = ("smollm2-135m-instruct", "model.gguf")
HEARING, OMNI = "viva-hearing", "viva-omni"  # manifests


def hearing_folder() -> Path:
    """The folder with hearing's files and the adapter, all of them verified.

    Raises:
        WeightsError: one is missing or damaged.
    """
    store.path(HEARING, CODEBOOKS_FILE)
    store.path(OMNI, ADAPTER_FILE)
    return store.path(HEARING, ENCODER_FILE).parent


def load_tuned(
    folder: Path, dtype: torch.dtype = torch.float32
) -> tuple[Backbone, Hearing, TurnHead, ChatFormat]:
    """Load the transformer with its adapter merged, hearing, the turn head and the chat layout.

    Hearing keeps a copy of the untuned embedding, in whose space it names what it hears.
    """
    file = GGUFFile(store.path(*BACKBONE))
    backbone = backbone_from_gguf(file, dtype)
    hearing, turn_head = load_hearing(folder, backbone.embedding.weight.detach().clone())
    quicken_hearing(hearing)
    merge(backbone, load_adapter(folder / ADAPTER_FILE))
    return backbone, hearing, turn_head, ChatFormat(tokenizer_from_gguf(file.metadata))


def quicken_hearing(hearing: Hearing) -> None:
    """Round hearing's matrices to int8, in its place; where there is no compiler all stays as it is.

    With every block of sound most of them meet two rows only, so that what counts is how fast they are read.
    """
    encoder, reader = hearing.listener.encoder, hearing.listener.reader
    threads = threads_for(encoder)
    if threads is not None:
        window, block, linear = (
            partial(make, threads) for make in (NativeWindowLayers, NativeBlockStack, rounded)
        )
        exchange(encoder, ((WindowLayers, window), (BlockStack, block), (nn.Linear, linear)))
        reader.match = Int8Linear(threads, reader.rows().detach())


def load_transcriber(folder: Path | None = None) -> Transcriber:
    """Load all that writing down needs; by default from the project's weights."""
    backbone, hearing, _, chat = load_tuned(folder or hearing_folder())
    return Transcriber(make_decoder(backbone), hearing, chat)


def load_turn_head(folder: Path | None = None) -> TurnHead:
    """Load the judge of whether somebody has finished; by default from the project's weights."""
    file = GGUFFile(store.path(*BACKBONE))
    _, turn_head = load_hearing(folder or hearing_folder(), file.tensor("token_embd.weight").float())
    return turn_head


def untuned_transcriber() -> Transcriber:
    """The transformer as it was published, without hearing of its own; for comparisons."""
    file = GGUFFile(store.path(*BACKBONE))
    backbone = backbone_from_gguf(file, torch.float32)
    tokens = torch.zeros(1, dtype=torch.long)
    hearing = new_hearing(EncoderConfig(), MannerConfig(), backbone.embedding.weight.detach(), tokens)
    return Transcriber(make_decoder(backbone), hearing.eval(), ChatFormat(tokenizer_from_gguf(file.metadata)))


def load_codec(folder: Path | None = None) -> VivaCodec[VocoderState]:
    """Load the codec both ways: the ear with its codebooks, and the nets beside it."""
    folder = folder or store.path(HEARING, CODEC_FILE).parent
    file = GGUFFile(store.path(*BACKBONE))
    listener = load_listener(folder / ENCODER_FILE, file.tensor("token_embd.weight").float())
    load_parts(folder / CODEBOOKS_FILE, {"codebooks": listener.codebooks})
    parts = read_codec(folder / CODEC_FILE)
    enliven(parts.vocoder)
    return VivaCodec(listener.eval(), parts.coder, parts.colour, parts.decoder, parts.vocoder)
