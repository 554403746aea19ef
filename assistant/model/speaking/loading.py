"""The voice as one weight file: the mel head and the vocoder with their sizes."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from assistant.errors import WeightsError
from assistant.model.native.convs import NativeConvStack
from assistant.model.native.linear import exchange, rounded, threads_for
from assistant.model.speaking.config import MelHeadConfig
from assistant.model.speaking.exceptions import packed, unpacked
from assistant.model.speaking.head import MelHead
from assistant.model.speaking.speaker import Speaker
from assistant.paths import WEIGHTS
from audiocodec.conv import ConvStack
from audiocodec.vocoder import SourceFilterVocoder, VocoderConfig, enliven

VOICE = WEIGHTS / "viva-voice.safetensors"
KIND = "viva-voice/3"


def save_voice(path: Path, head: MelHead, vocoder: SourceFilterVocoder) -> None:
    """Write both nets in half precision, and the pronouncer's exceptions."""
    tensors = {f"head.{name}": value.half() for name, value in head.state_dict().items()}
    tensors |= {f"vocoder.{name}": value.half() for name, value in vocoder.state_dict().items()}
    tensors["exceptions"] = packed(head.pronouncer.exceptions)
    sizes = {"head": asdict(head.config), "vocoder": asdict(vocoder.config)}
    save_file(
        {name: value.contiguous() for name, value in tensors.items()},
        path,
        {"kind": KIND, "sizes": json.dumps(sizes)},
    )


def load_voice(path: Path = VOICE) -> tuple[MelHead, SourceFilterVocoder]:
    """Read both nets, in single precision.

    Raises:
        WeightsError: the file is missing, damaged or of another kind, or a tensor does not fit.
    """
    if not path.is_file():
        raise WeightsError(
            f"no voice at {path}: train one with `vivavoce train mel-head`, `vocoder` and `finish`"
        )
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged or cut short ({error}); fetch it again") from error
    if about.get("kind") != KIND:
        raise WeightsError(f"{path} is {about.get('kind', 'no voice')}, must be {KIND}")
    try:
        sizes = json.loads(about["sizes"])
        head, vocoder = (
            MelHead(MelHeadConfig(**sizes["head"])),
            SourceFilterVocoder(VocoderConfig(**sizes["vocoder"])),
        )
        for prefix, module in (("head.", head), ("vocoder.", vocoder)):
            own = {
                name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)
            }
            module.load_state_dict(own)
        head.pronouncer.exceptions = unpacked(tensors["exceptions"]) if "exceptions" in tensors else {}
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).replace("\n", " ")
        raise WeightsError(f"{path} does not fit its own sizes: {reason}") from error
    return head, vocoder


def store_by_columns(net: nn.Module) -> None:
    """Turn round how the linear layers that widen lie in memory: a word's few dozen rows go through them a
    tenth to a sixth faster on a processor. Nothing else changes.
    """
    for layer in net.modules():
        if isinstance(layer, nn.Linear) and layer.out_features > layer.in_features:
            layer.weight.data = layer.weight.data.t().contiguous().t()


def load_speaker(path: Path = VOICE, device: str = "cpu") -> Speaker:
    """Read a voice, ready to speak, its spectra sharpened; see ``load_voice``.

    On the CPU its linear layers become int8: a word's few dozen rows take less time than reading weights.
    """
    head, vocoder = load_voice(path)
    enliven(vocoder)
    threads = threads_for(head, vocoder) if device == "cpu" else None
    for net in (head, vocoder):
        if threads is None:
            store_by_columns(net)
        else:
            convs, linear = (partial(make, threads) for make in (NativeConvStack, rounded))
            exchange(net, ((ConvStack, convs), (nn.Linear, linear)))
    return Speaker(head.to(torch.device(device)), vocoder.to(torch.device(device)))
