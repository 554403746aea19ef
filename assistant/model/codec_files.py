"""The file of the codec's own nets: those that name how a sound is and bring it back."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from assistant.errors import WeightsError
from assistant.model.parts import fill_parts, read_tensors, save_parts
from audiocodec.colour import Colour
from audiocodec.mel_decoder import DecoderConfig, MelDecoder
from audiocodec.sound_codes import SoundCoder, SoundCoderConfig
from audiocodec.vocoder import SourceFilterVocoder, VocoderConfig

CODEC_FILE = "viva-codec.safetensors"


@dataclass(frozen=True)
class CodecParts:
    """What the codec has beside the ear."""

    coder: SoundCoder
    colour: Colour
    decoder: MelDecoder
    vocoder: SourceFilterVocoder  # of many voices

    def by_name(self) -> dict[str, nn.Module]:
        """The nets by their names in the file."""
        return {
            "coder": self.coder,
            "colour": self.colour,
            "decoder": self.decoder,
            "vocoder": self.vocoder,
        }


def save_codec(path: Path, parts: CodecParts) -> None:
    """Write the nets and their sizes."""
    sizes = {
        "coder": json.dumps(parts.coder.config.to_dict()),
        "decoder": json.dumps(parts.decoder.config.to_dict()),
        "vocoder": json.dumps(asdict(parts.vocoder.config)),
    }
    save_parts(path, parts.by_name(), sizes)


def read_codec(path: Path) -> CodecParts:
    """Read the nets.

    Raises:
        WeightsError: the file is missing, damaged or does not fit.
    """
    tensors, sizes = read_tensors(path)
    try:
        parts = CodecParts(
            SoundCoder(SoundCoderConfig(**json.loads(sizes["coder"]))),
            Colour(),
            MelDecoder(DecoderConfig(**json.loads(sizes["decoder"]))),
            SourceFilterVocoder(VocoderConfig(**json.loads(sizes["vocoder"]))),
        )
        fill_parts(parts.by_name(), tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} does not hold the codec's nets: {error}") from error
    for part in parts.by_name().values():
        part.eval()
    return parts
