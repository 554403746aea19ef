"""Public Vocos checkpoints through the vocoder's interface, with a small random one."""

import pytest
import torch
from safetensors.torch import save_file

from audiocodec.numbers import MEL_HOP_LENGTH, N_MELS
from audiocodec.public_vocos import PublicVocos, load_public_vocos
from audiocodec.vocoder import vocode

CONFIG = """
feature_extractor:
  class_path: vocos.feature_extractors.MelSpectrogramFeatures
  init_args: {sample_rate: 24000, n_fft: 1024, hop_length: 256, n_mels: 100, padding: center}
backbone:
  class_path: vocos.models.VocosBackbone
  init_args: {input_channels: 100, dim: 16, intermediate_dim: 16, num_layers: 1}
head:
  class_path: vocos.heads.ISTFTHead
  init_args: {dim: 16, n_fft: 1024, hop_length: 256, padding: center}
"""


@pytest.fixture(scope="module")
def vocos(tmp_path_factory: pytest.TempPathFactory) -> PublicVocos:
    package = pytest.importorskip("vocos")
    folder = tmp_path_factory.mktemp("vocos")
    (folder / "config.yaml").write_text(CONFIG)
    torch.manual_seed(0)
    model = package.Vocos.from_hparams(str(folder / "config.yaml"))
    save_file(
        {name: value.clone() for name, value in model.state_dict().items()}, folder / "model.safetensors"
    )
    return load_public_vocos(folder)


def test_gives_a_hop_of_sound_per_frame(vocos: PublicVocos) -> None:
    mel = torch.randn(2, 50, N_MELS) - 5
    assert vocode(vocos, mel).shape == (2, 50 * MEL_HOP_LENGTH)


def test_streaming_is_near_the_whole(vocos: PublicVocos) -> None:
    """The net sees a few frames to both sides only, so that a bounded stretch gives the same sound."""
    mel = torch.randn(1, 160, N_MELS, generator=torch.Generator().manual_seed(1)) - 5
    whole, _ = vocos.synthesize(mel, vocos.initial_state(1))
    state, parts = vocos.initial_state(1), []
    for at in range(0, 160, 20):
        part, state = vocos.synthesize(mel[:, at : at + 20], state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-4, rtol=1e-3)
    assert state.mel.shape[1] < 160
