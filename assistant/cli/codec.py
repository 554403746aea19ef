"""``vivavoce codec``: hear what the model hears. Encode sound to codes, decode codes, or both."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistant.errors import AudioError

if TYPE_CHECKING:
    from torch import Tensor

    from audiocodec.interface import CodecSpec

Sound = Annotated[Path, typer.Argument(help="A sound file: wav, flac, ogg or mp3.")]
KIND = "viva-codes/3"


def register(app: typer.Typer) -> None:
    """Add the group to the command."""
    group = typer.Typer(no_args_is_help=True, help="Sound to codec tokens and back, as the model hears it.")
    group.command()(encode)
    group.command()(decode)
    group.command()(roundtrip)
    app.add_typer(group, name="codec")


def encode(sound: Sound, codes: Annotated[Path, typer.Argument(help="The JSON file to write.")]) -> None:
    """Write the codes of SOUND as JSON: 12.5 frames a second of 8 codes."""
    from assistant.model.listening import load_codec

    codec = load_codec()
    found = encoded(codec, sound)
    rows = found[0].T.tolist()
    kept = {"kind": KIND, "frame_rate": codec.spec.frame_rate, "bitrate": codec.spec.bitrate, "codes": rows}
    codes.write_text(json.dumps(kept))
    print(f"{len(rows)} frames, {codec.spec.bitrate:.0f} bit/s")


def decode(
    codes: Annotated[Path, typer.Argument(help="A JSON file from encode.")],
    sound: Annotated[Path, typer.Argument(help="The WAV file to write.")],
) -> None:
    """Turn codes back into sound."""
    from assistant.audio_files import write_wav
    from assistant.model.listening import load_codec

    codec = load_codec()
    table = read_codes(codes, codec.spec)
    pcm, _ = codec.decode(table, codec.initial_decoding(1))
    write_wav(sound, pcm[0].numpy())


def roundtrip(sound: Sound, out: Annotated[Path, typer.Argument(help="The WAV file to write.")]) -> None:
    """Encode and decode: what is left of SOUND after the codec."""
    from assistant.audio_files import write_wav
    from assistant.model.listening import load_codec

    codec = load_codec()
    pcm, _ = codec.decode(encoded(codec, sound), codec.initial_decoding(1))
    write_wav(out, pcm[0].numpy())


def encoded(codec: "object", sound: Path) -> "Tensor":
    """The codes (1, K, T) of a file, read in pieces so that its length does not matter."""
    import torch

    from assistant.audio_files import read_pieces
    from audiocodec.interface import whole_blocks
    from audiocodec.viva import VivaCodec

    assert isinstance(codec, VivaCodec)
    state, found = codec.initial_encoding(1), []
    left = torch.zeros(0)
    for piece in read_pieces(sound):
        left = torch.cat([left, torch.from_numpy(piece)])
        whole = len(left) // codec.spec.block_length * codec.spec.block_length
        if whole:
            codes, state = codec.encode(left[None, :whole], state)
            found.append(codes)
            left = left[whole:]
    codes, _ = codec.encode(whole_blocks(left[None], codec.spec), state)
    return torch.cat([*found, codes], dim=-1)[..., codec.spec.delay_frames :]


def read_codes(path: Path, spec: "CodecSpec") -> "Tensor":
    """Read codes (1, K, T).

    Raises:
        AudioError: the file is missing or holds no codes of this codec.
    """
    import torch

    try:
        kept = json.loads(path.read_text())
        table = torch.tensor(kept["codes"], dtype=torch.long)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AudioError(f"{path} holds no codes: write them with `vivavoce codec encode`") from error
    if kept.get("kind") != KIND:
        raise AudioError(
            f"{path} holds {kept.get('kind', 'codes of no kind')}, must be {KIND}: encode it again"
        )
    fits = table.dim() == 2 and table.shape[1] == spec.codebooks
    if not fits or not len(table) or int(table.min()) < 0 or int(table.max()) >= spec.codebook_size:
        raise AudioError(f"{path} must hold rows of {spec.codebooks} codes below {spec.codebook_size}")
    return table.T[None]
