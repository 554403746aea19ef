"""The files that hearing is stored in, and how they become a ``Hearing`` again."""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from assistant.errors import WeightsError
from assistant.model.adapters import Adapter, adapter_tensors, read_adapter
from assistant.model.hearing import Hearing
from assistant.model.manner import MannerConfig
from assistant.model.parts import fill_parts, halved, read_tensors, save_parts
from assistant.model.turn_head import TurnHead
from audiocodec.encoder import EncoderConfig
from audiocodec.listener import Listener, config_of
from audiocodec.reader import TokenReader

ENCODER_FILE = "viva-hearing.safetensors"  # encoder and reader
CODEBOOKS_FILE = "viva-hearing-codes.safetensors"  # codebooks, manner, agreement, projections, turn head
ADAPTER_FILE = "viva-omni.safetensors"  # what joint training changed in the transformer


def save_encoder(path: Path, listener: Listener) -> None:
    """Write the encoder and the reader in half precision."""
    parts = {"encoder": listener.encoder, "reader": listener.reader}
    save_parts(path, parts, {"encoder": json.dumps(listener.encoder.config.to_dict())})


def parts_behind(hearing: Hearing) -> dict[str, nn.Module]:
    """What of hearing comes behind the encoder, by the names in the file."""
    return {
        "codebooks": hearing.listener.codebooks,
        "manner": hearing.manner,
        "agreement": hearing.agreement,
        "say_how": hearing.say_how,
        "trait_words": hearing.trait_words,
    }


def save_codes(path: Path, hearing: Hearing, turn_head: TurnHead) -> None:
    """Write what comes behind the encoder, and the turn head."""
    parts = parts_behind(hearing) | {"turn_head": turn_head}
    save_parts(path, parts, {"manner": json.dumps(asdict(hearing.manner.config))})


def save_adapter(path: Path, adapter: Adapter) -> None:
    """Write an adapter in half precision."""
    save_file({name: halved(value) for name, value in adapter_tensors(adapter).items()}, path)


def load_adapter(path: Path) -> Adapter:
    """Read an adapter.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    return read_adapter(read_tensors(path)[0])


def load_listener(path: Path, embedding: Tensor) -> Listener:
    """Read the encoder (its codebooks still empty) with its reader over ``embedding`` (vocabulary, D).

    Raises:
        WeightsError: the file is missing, damaged or does not fit.
    """
    tensors, metadata = read_tensors(path)
    try:
        tokens = tensors["reader.tokens"].long()
        config = config_of(json.loads(metadata["encoder"]))
        reader = TokenReader(embedding[tokens].float(), tokens, tensors["reader.phones"], config.sound_width)
        listener = Listener(config, reader)
        fill_parts({"encoder": listener.encoder, "reader": reader}, tensors)
    except (KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} does not hold a hearing encoder: {error}") from error
    return listener.eval()


def start_from_shipped(path: Path, listener: Listener) -> list[str]:
    """Begin a training where a file ends: copy what has the same name and shape, give the names of the rest.

    Layers of the projector that the file lacks begin by adding nothing.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    tensors, _ = read_tensors(path)
    missing = []
    for name, part in (("encoder", listener.encoder), ("reader", listener.reader)):
        for key, value in part.state_dict().items():
            found = tensors.get(f"{name}.{key}")
            if found is not None and found.shape == value.shape and value.is_floating_point():
                value.copy_(found)
            elif value.is_floating_point():
                missing.append(f"{name}.{key}")
    stack = listener.encoder.projector
    for number, layer in enumerate(stack.own_layers()):
        if f"encoder.projector.layers.{number}.down.weight" in missing:
            layer.add_nothing()
    return missing


def load_hearing(folder: Path, embedding: Tensor) -> tuple[Hearing, TurnHead]:
    """Read everything between samples and the transformer's input, and the turn head.

    ``embedding`` (vocabulary, D) is the transformer's own before any adapter: what is heard is named in its
    space.

    Raises:
        WeightsError: a file is missing, damaged or does not fit.
    """
    listener = load_listener(folder / ENCODER_FILE, embedding)
    tensors, metadata = read_tensors(folder / CODEBOOKS_FILE)
    try:
        hearing = Hearing(listener, embedding, MannerConfig(**json.loads(metadata["manner"])))
        turn_head = TurnHead(embedding.shape[1])
        fill_parts(parts_behind(hearing) | {"turn_head": turn_head}, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{folder / CODEBOOKS_FILE} does not fit: {error}") from error
    return hearing.eval(), turn_head.eval()


def load_parts(path: Path, parts: dict[str, nn.Module]) -> None:
    """Read only some parts of a file, by the names that they were saved under.

    Raises:
        WeightsError: the file is missing, damaged or does not fit.
    """
    try:
        fill_parts(parts, read_tensors(path)[0])
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit: {error}") from error


def new_hearing(
    config: EncoderConfig,
    manner: MannerConfig,
    embedding: Tensor,
    tokens: Tensor,
    phones: Tensor | None = None,
) -> Hearing:
    """Build an untrained ``Hearing``; for training and tests."""
    reader = TokenReader(embedding[tokens].float(), tokens, phones, config.sound_width)
    return Hearing(Listener(config, reader), embedding, manner)
