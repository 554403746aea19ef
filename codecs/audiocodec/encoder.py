"""The hearing half of the codec: a transformer over a moving window of mel frames and a projector into the
model's space.

Sound comes in blocks of 160 ms. With each of them the transformer looks again at the newest 1.92 s, every
frame at every other, and gives the frames of one block, the newest but ``ahead_blocks``: what comes after a
sound is half of what it takes to tell it. The projector keeps what was given before and sees a longer past.
A whole recording in one call and the same recording block by block give the same frames.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from audiocodec.narrow import NarrowLinear
from audiocodec.numbers import ENCODER_BLOCK_FRAMES, LISTEN_N_MELS, exact_div

ENCODER_FRAMES_PER_CODEC_FRAME = 4  # 50 Hz in the encoder, 12.5 Hz out of the projector
NEAR = 64  # distances up to it have a bias of their own
FAR_BUCKETS = 16  # further ones share, on a logarithmic scale
BLOCK_STEPS = ENCODER_BLOCK_FRAMES * ENCODER_FRAMES_PER_CODEC_FRAME  # frames at 50 Hz in a block
SILENT_MEL = -0.675  # a normalised mel frame of silence


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder; the defaults are those of the shipped one."""

    width: int = 384
    heads: int = 6
    layers: int = 4
    feed_forward: int = 1_536
    projector_width: int = 512
    projector_heads: int = 8
    projector_layers: int = 5
    projector_feed_forward: int = 1_536
    model_width: int = 576
    sound_width: int = 128  # of what tells how a token sounds, see ``TokenReader``
    window_blocks: int = 12  # seen at once by the encoder: 1.92 s
    ahead_blocks: int = 2  # of the window, behind the block whose frames are given
    past_blocks: int = 50  # blocks before its own that a projected frame sees: 8 s

    def to_dict(self) -> dict[str, int]:
        """The configuration as it is stored beside the weights."""
        return asdict(self)

    @property
    def frame_width(self) -> int:
        """Of projected frames."""
        return self.model_width + self.sound_width


@dataclass(frozen=True, slots=True)
class EncoderState:
    """What a stream carries from block to block: convolution tails, the window's past, and each projector
    layer's keys and values.
    """

    mel: Tensor  # (B, n_mels, 2)
    half: Tensor  # (B, width, 1): last output of the first convolution
    window: Tensor  # (B, 8 (window_blocks - 1), width): convolved frames
    stacked: Tensor  # (B, projector width, 4): tail of the projector's convolution
    projector: tuple[Tensor, ...]  # per layer (2, B, H, past, D)


class WindowLayer(nn.Module):
    """Pre-norm transformer layer in which every frame of a window sees every other."""

    def __init__(self, width: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, feed_forward)
        self.down = nn.Linear(feed_forward, width)

    def forward(self, x: Tensor, given: slice = slice(None)) -> Tensor:
        """(B, T, C) in, of which the frames ``given`` come out."""
        y = self.attention_norm(x)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(y[:, given]), self.key(y), self.value(y))
        )
        x = x[:, given] + self.out(attend(query, key, value).transpose(1, 2).flatten(2))
        out: Tensor = x + self.down(nn.functional.gelu(self.up(self.feed_forward_norm(x))))
        return out


class WindowLayers(nn.ModuleList):
    """Layers over the same window, of which the last gives only what is asked for."""

    def __init__(self, layers: int, width: int, heads: int, feed_forward: int) -> None:
        super().__init__(WindowLayer(width, heads, feed_forward) for _ in range(layers))
        self.heads = heads

    def forward(self, x: Tensor, given: slice) -> Tensor:
        """(N, T, C) in, of which the frames ``given`` come out."""
        *lower, last = self
        for layer in lower:
            x = layer(x)
        out: Tensor = last(x, given)
        return out


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention without a mask over (B, H, T, D)."""
    if query.dtype == torch.bfloat16 and query.device.type == "cpu":
        # PyTorch's fused one takes two to three times as long as its parts, for short windows in bfloat16.
        scores: Tensor = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        return scores.softmax(dim=-1) @ value
    return nn.functional.scaled_dot_product_attention(query, key, value)


class BlockAttention(nn.Module):
    """Self-attention inside a block and over a bounded past, with a learned bias for each distance.

    The bias replaces absolute positions, so that positions do not run out.
    Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1 (relative position buckets).
    """

    def __init__(self, width: int, heads: int, block: int, past_blocks: int) -> None:
        super().__init__()
        self.heads, self.block, self.past = heads, block, past_blocks * block
        self.query = NarrowLinear(width, width)
        self.key = NarrowLinear(width, width, bias=False)
        self.value = NarrowLinear(width, width)
        self.out = NarrowLinear(width, width)
        self.distance_bias = nn.Parameter(torch.zeros(heads, block - 1 + NEAR + FAR_BUCKETS))

    def forward(self, x: Tensor, past: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Attend from (B, T, C); ``past`` (2, B, H, P, D) are earlier keys and values. Gives the newest ones
        too.
        """
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(x), self.key(x), self.value(x))
        )
        memory = torch.cat([past.to(key.dtype), torch.stack([key, value])], dim=3)
        mixed = nn.functional.scaled_dot_product_attention(
            query, memory[0], memory[1], attn_mask=bias.to(query.dtype)
        )
        return self.out(mixed.transpose(1, 2).flatten(2)), memory[:, :, :, -self.past :]


class Layer(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(self, width: int, heads: int, feed_forward: int, block: int, past_blocks: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = BlockAttention(width, heads, block, past_blocks)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.up = NarrowLinear(width, feed_forward)
        self.down = NarrowLinear(feed_forward, width)

    def forward(self, x: Tensor, past: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, C) in and out, with the layer's new memory."""
        mixed, memory = self.attention(self.attention_norm(x), past, bias)
        x = x + mixed
        return x + self.down(nn.functional.gelu(self.up(self.feed_forward_norm(x)))), memory

    def add_nothing(self) -> None:
        """Become a layer that gives what it is given, until it is trained."""
        for part in (self.attention.out, self.down):
            for parameter in part.parameters():
                nn.init.zeros_(parameter)


class BlockStack(nn.Module):
    """Layers that share one shape and see a block and what came before."""

    def __init__(
        self, layers: int, width: int, heads: int, feed_forward: int, block: int, past_blocks: int
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(width, heads, feed_forward, block, past_blocks) for _ in range(layers)
        )
        self.heads, self.head_width = heads, exact_div(width, heads)
        self.block, self.past = block, past_blocks * block

    def initial_state(self, like: Tensor, batch: int) -> tuple[Tensor, ...]:
        """No past."""
        return tuple(like.new_zeros(2, batch, self.heads, 0, self.head_width) for _ in self.layers)

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run all layers over (B, T, C)."""
        memories = []
        biases = self.biases(x.shape[1], state[0].shape[3])
        for layer, past, bias in zip(self.layers, state, biases, strict=True):
            x, memory = layer(x, past, bias)
            memories.append(memory)
        return x, tuple(memories)

    def biases(self, queries: int, past: int) -> Tensor:
        """Each layer's bias, see ``distance_biases``."""
        return distance_biases(self.distance_tables(), self.block, self.past, (queries, past))

    def own_layers(self) -> list[Layer]:
        """Its layers, typed."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def distance_tables(self) -> Tensor:
        """What each distance is worth: (layers, H, buckets)."""
        return torch.stack([layer.attention.distance_bias for layer in self.own_layers()])


def distance_biases(tables: Tensor, block: int, longest: int, rows: tuple[int, int]) -> Tensor:
    """Biases of scores, with minus infinity at what must not be seen.

    Args:
        tables: (layers, H, buckets).
        block: frames that see each other.
        longest: frames before their own block that they see.
        rows: queries, and frames before them.

    Returns:
        (layers, H, queries, past + queries).
    """
    queries, past = rows
    query = torch.arange(past, past + queries, device=tables.device)[:, None]
    key = torch.arange(past + queries, device=tables.device)[None]
    distance, blocks = query - key, query // block - key // block
    hidden = (blocks < 0) | (blocks > longest // block)
    far = torch.log(distance.clamp(min=NEAR).float() / NEAR) / torch.log(torch.tensor(longest / NEAR + 1.0))
    bucket = torch.where(
        distance < NEAR, distance, NEAR + (far * FAR_BUCKETS).long().clamp(max=FAR_BUCKETS - 1)
    )
    return tables[:, :, (bucket + block - 1).clamp(min=0)].masked_fill(hidden, float("-inf"))


class Encoder(nn.Module):
    """Mel frames at 100 Hz to hidden frames at 50 Hz and projected frames at 12.5 Hz.

    Shapes follow Whisper's encoder, from whose weights it starts (Radford et al. 2022, arXiv:2212.04356,
    section 2.2), one mel frame later so that no convolution looks ahead. The projector ends in the width of
    the language model, in the space of its token embedding. What is given lies ``ahead_blocks`` behind what
    was heard: the first blocks stand for the silence before the stream.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv1d(LISTEN_N_MELS, config.width, 3)
        self.conv2 = nn.Conv1d(config.width, config.width, 3, stride=2)
        self.positions = nn.Parameter(torch.randn(config.window_blocks * BLOCK_STEPS, config.width) * 0.02)
        self.layers = WindowLayers(config.layers, config.width, config.heads, config.feed_forward)
        self.norm = nn.LayerNorm(config.width)
        self.stack_norm = nn.LayerNorm(config.width * ENCODER_FRAMES_PER_CODEC_FRAME)
        self.widen = NarrowLinear(config.width * ENCODER_FRAMES_PER_CODEC_FRAME, config.projector_width)
        self.mix = nn.Conv1d(config.projector_width, config.projector_width, 5, groups=config.projector_width)
        self.projector = BlockStack(
            config.projector_layers,
            config.projector_width,
            config.projector_heads,
            config.projector_feed_forward,
            ENCODER_BLOCK_FRAMES,
            config.past_blocks,
        )
        self.projector_norm = nn.LayerNorm(config.projector_width)
        self.project = NarrowLinear(config.projector_width, config.model_width)
        self.spell: NarrowLinear | None = None
        if config.sound_width:
            self.spell = NarrowLinear(config.projector_width, config.sound_width)
            nn.init.zeros_(self.spell.weight)

    def initial_state(self, batch: int) -> EncoderState:
        """Silence before the stream."""
        like, config = self.positions, self.config
        mel = like.new_full((batch, LISTEN_N_MELS, 4), SILENT_MEL)
        with torch.no_grad():
            silent, half = self._convolve(mel, nn.functional.gelu(self.conv1(mel[..., :3])))
        return EncoderState(
            mel[..., -2:],
            half,
            silent.expand(batch, BLOCK_STEPS * (config.window_blocks - 1), config.width),
            like.new_zeros(batch, config.projector_width, 4),
            self.projector.initial_state(like, batch),
        )

    def forward(
        self, mel: Tensor, state: EncoderState, stride: int = 1
    ) -> tuple[Tensor, Tensor, EncoderState]:
        """Hear normalised mel frames (B, n_mels, 16 n).

        ``stride``, a divisor of n, is how many blocks the window is moved at a time. Live it is 1; training
        moves it further, so that frames see up to ``stride - 1`` blocks more ahead and cost less.

        Returns:
            Hidden frames (B, 8 n, width), projected frames (B, 2 n, frame width), the new state.
        """
        mel = torch.cat([state.mel, mel], dim=-1)
        convolved, half = self._convolve(mel, state.half)
        joined = torch.cat([state.window.to(convolved.dtype), convolved], dim=1)
        hidden = self.norm(self._look(joined, stride))
        stacked = self.widen(
            self.stack_norm(hidden.unflatten(1, (-1, ENCODER_FRAMES_PER_CODEC_FRAME)).flatten(2))
        )
        tailed = torch.cat([state.stacked.to(stacked.dtype), stacked.transpose(1, 2)], dim=-1)
        y = stacked + nn.functional.gelu(self.mix(tailed)).transpose(1, 2)
        y, projector = self.projector(y, state.projector)
        y = self.projector_norm(y)
        projected = self.project(y)
        if self.spell is not None:
            projected = torch.cat([projected, self.spell(y)], dim=-1)
        window = joined[:, joined.shape[1] - state.window.shape[1] :]
        return hidden, projected, EncoderState(mel[..., -2:], half, window, tailed[..., -4:], projector)

    def look_once(self, mel: Tensor) -> list[Tensor]:
        """What each layer makes of the newest window of normalised mel frames (B, n_mels, T), with nothing
        before them: (B, window, width) each. For comparing sounds.
        """
        first = nn.functional.gelu(self.conv1(mel))
        frames = nn.functional.gelu(self.conv2(first)).transpose(1, 2)
        if frames.shape[1] < len(self.positions):
            raise ValueError(
                f"got {mel.shape[-1]} mel frames, need {2 * len(self.positions) + 3} for a window"
            )
        x, found = frames[:, -len(self.positions) :] + self.positions, []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return found

    def _convolve(self, mel: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
        """Mel frames behind two older ones to frames at 50 Hz, with the first convolution's last output."""
        first = nn.functional.gelu(self.conv1(mel))
        joined = torch.cat([half.to(first.dtype), first], dim=-1)
        return nn.functional.gelu(self.conv2(joined)).transpose(1, 2), joined[..., -1:]

    def _look(self, frames: Tensor, stride: int) -> Tensor:
        """Run the layers over each window of (B, past + 8 n, C) and give what each adds: (B, 8 n, C)."""
        config = self.config
        if not 1 <= stride <= config.window_blocks - config.ahead_blocks:
            raise ValueError(
                f"got a stride of {stride} blocks, need 1 to {config.window_blocks - config.ahead_blocks}"
            )
        windows = frames.unfold(1, BLOCK_STEPS * config.window_blocks, BLOCK_STEPS)
        windows = windows[:, stride - 1 :: stride].transpose(2, 3)  # (B, n / stride, window, C)
        x = windows.flatten(0, 1) + self.positions
        end = BLOCK_STEPS * (config.window_blocks - config.ahead_blocks)
        given: Tensor = self.layers(x, slice(end - BLOCK_STEPS * stride, end))
        return given.reshape(len(frames), -1, config.width)
