"""Names projected frames by the two tokens that each may say and how sure that is."""

import torch
from torch import Tensor, nn

from audiocodec.reader import Reading, TokenReader, read_frames

DIGITS = 3  # codes of a frame
# How likely a frame says nothing new, and what part of the rest the first of its two tokens has.
BLANKS = (0.002, 0.06, 0.3, 0.7, 0.94)
LEADS = (0.55, 0.7, 0.85, 0.95, 0.997)
SURELY_BLANK = 0.9995
LEVELS = len(BLANKS) * len(LEADS) + 1  # the last one: surely blank


class NamedCodebooks(nn.Module):
    """Codes of the frames that carry words.

    They spell one number: the two tokens that the reader finds likeliest and a level that tells how likely
    they are, and that the frame says nothing. So what was heard survives the codes, whatever its word, which
    codebooks fitted to frames cannot promise for words that they seldom met; and where the ear was in doubt,
    the transformer can still choose.
    """

    along: Tensor
    nothing: Tensor

    def __init__(self, size: int, width: int) -> None:
        """``size`` of a code, ``width`` of a frame."""
        super().__init__()
        self.size = size
        self.register_buffer("along", torch.ones(()))  # how far frames reach in the direction of their token
        self.register_buffer("nothing", torch.zeros(width))  # the mean frame that says nothing new

    def spell(self, reading: Reading, tokens: int) -> Tensor:
        """Spell what frames (...) say with a reader of so many ``tokens``: codes (..., DIGITS) int64.

        Raises:
            ValueError: the codes cannot name so many tokens.
        """
        if tokens**2 * LEVELS > self.size**DIGITS:
            raise ValueError(f"{DIGITS} codes of {self.size} cannot name two of {tokens} tokens")
        first = reading.shares[..., 0] / reading.shares[..., :2].sum(dim=-1)
        lead, blank = nearest(first, LEADS), nearest(reading.blank, (*BLANKS, SURELY_BLANK))
        level = torch.where(blank == len(BLANKS), LEVELS - 1, blank * len(LEADS) + lead)
        number = (reading.rows[..., 0] * tokens + reading.rows[..., 1]) * LEVELS + level
        return number[..., None] // places(self.size, number.device) % self.size

    def read(self, codes: Tensor, tokens: int) -> Reading:
        """Give what codes (..., DIGITS) say; unknown names count as the last token."""
        number = numbers(codes, self.size)
        level, names = number % LEVELS, number // LEVELS
        rows = torch.stack([names // tokens, names % tokens], dim=-1).clamp(max=tokens - 1)
        blank = torch.tensor([*BLANKS, SURELY_BLANK], device=codes.device)[level // len(LEADS)]
        lead = torch.tensor(LEADS, device=codes.device)[level % len(LEADS)]
        return Reading(blank, rows, torch.stack([lead, 1 - lead], dim=-1))

    def decode(self, codes: Tensor, reader: TokenReader) -> Tensor:
        """Give the vectors (..., width) that codes (..., DIGITS) stand for: where such frames lie."""
        reading = self.read(codes, len(reader))
        said, blank = spoken(reading, reader), reading.blank[..., None]
        return self.along * (1 - blank) * said + blank * self.nothing

    @torch.no_grad()
    def fit(self, frames: Tensor, reader: TokenReader) -> float:
        """Fit to (N, width); gives the part of the variance left over, of frames that say something."""
        projected, variance = torch.zeros(2), torch.zeros(2)
        silence: list[Tensor] = []
        parts = [(part, read_frames(reader, part[None])) for part in torch.split(frames, 2_048)]
        for part, reading in parts:
            says = reading.blank[0] < 0.5
            said, heard = spoken(reading, reader)[0][says], part[says]
            projected += torch.stack([(heard * said).sum(), said.square().sum()])
            silence.append(part[~says])
        self.along.copy_(projected[0] / projected[1])
        silent = torch.cat(silence)
        if len(silent):
            self.nothing.copy_(silent.mean(dim=0))
        for part, reading in parts:
            says = reading.blank[0] < 0.5
            left = part[says] - self.along * spoken(reading, reader)[0][says]
            variance += torch.stack([left.square().sum(), part[says].square().sum()])
        return float(variance[0] / variance[1])


def spoken(reading: Reading, reader: TokenReader) -> Tensor:
    """Rows of what is said, mixed: (..., width)."""
    rows: Tensor = (reader.rows(reading.rows) * reading.shares[..., None]).sum(dim=-2)
    return rows


def nearest(probabilities: Tensor, levels: tuple[float, ...]) -> Tensor:
    """Number of the level that is nearest on the scale of the log odds."""
    odds = torch.tensor(levels, device=probabilities.device).logit()
    return torch.bucketize(probabilities.logit(eps=1e-7), (odds[1:] + odds[:-1]) / 2)


def free(codes: Tensor, size: int) -> Tensor:
    """Whether frames surely say nothing new, (...) of codes (..., DIGITS): then they need no names."""
    return numbers(codes, size) % LEVELS == LEVELS - 1


def filled(codes: Tensor, spare: Tensor, size: int) -> Tensor:
    """Codes (..., DIGITS) in which free frames have another one, ``spare`` (...), in place of their names."""
    other = spare[..., None] * LEVELS + LEVELS - 1
    return torch.where(free(codes, size)[..., None], other // places(size, codes.device) % size, codes)


def spare_of(codes: Tensor, size: int) -> Tensor:
    """The other code (...) of free frames' codes (..., DIGITS); of others, anything."""
    return numbers(codes, size) // LEVELS


def numbers(codes: Tensor, size: int) -> Tensor:
    """The number (...) that codes (..., DIGITS) below ``size`` spell."""
    return (codes * places(size, codes.device)).sum(dim=-1)


def places(size: int, device: torch.device) -> Tensor:
    """What one of each digit is worth."""
    return size ** torch.arange(DIGITS - 1, -1, -1, device=device)
