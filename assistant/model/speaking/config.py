"""Sizes of the mel head; stored with its weights."""

from dataclasses import dataclass

STYLES = ("neutral", "cheerful", "calm", "whisper", "excited")


@dataclass(frozen=True, slots=True)
class MelHeadConfig:
    """Shape of the mel head and what it reads of the transformer."""

    model_width: int = 576  # D of the transformer
    layer: int = 12  # whose output it reads, besides the token embedding
    width: int = 256
    hidden: int = 512
    letter_layers: int = 4
    unit_layers: int = 3
    pitch_layers: int = 2
    pitch_width: int = 192
    decoder_layers: int = 5
    decoder_hidden: int = 640
    kernel: int = 7

    @property
    def state_width(self) -> int:
        """Width of what a token brings: its embedding and its hidden state, one after the other."""
        return 2 * self.model_width
