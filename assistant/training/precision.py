"""How exactly training computes: bfloat16 where the device has it, float32 where it would be emulated."""

import torch


def working_dtype(device: str) -> torch.dtype:
    """The number format of matrix products on a device.

    Processors without bfloat16 products take thirty times as long for them as for float32.
    """
    if device == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.float32
    return torch.bfloat16


def mixed(device: str) -> torch.autocast:
    """A context in which matrix products are computed in the device's format."""
    dtype = working_dtype(device)
    return torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16)
