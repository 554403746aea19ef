"""The mel head: all its nets together."""

from torch import nn

from assistant.model.speaking.config import MelHeadConfig
from assistant.model.speaking.frames import FrameNet
from assistant.model.speaking.pronouncer import Pronouncer
from assistant.model.speaking.prosody import ProsodyNet


class MelHead(nn.Module):
    """Token states and letters to mel frames; holds weights only, ``speaker`` runs it over a stream."""

    def __init__(self, config: MelHeadConfig) -> None:
        super().__init__()
        self.config = config
        self.pronouncer = Pronouncer(config)
        self.prosody = ProsodyNet(config)
        self.frames = FrameNet(config)
