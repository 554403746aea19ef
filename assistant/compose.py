"""The composition root: settings and weights become a model that hears, thinks and speaks."""

import gc
import os

import torch

from assistant.config import Settings
from assistant.engine.conversation import Conversation
from assistant.engine.omni import Omni, Parts
from assistant.engine.worker import Worker
from assistant.model.checkpoint import leave_cores, make_decoder
from assistant.model.listening import hearing_folder, load_tuned
from assistant.model.speaking.loading import load_speaker

WARM_UP_TEXT = "Hello."


def load_omni(settings: Settings) -> Omni:
    """Load hearing, transformer and voice, fetching what is missing.

    Raises:
        WeightsError: something is missing, damaged or does not fit.
    """
    torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    backbone, hearing, turn_head, chat = load_tuned(hearing_folder())
    omni = Omni(Parts(make_decoder(backbone), chat.tokenizer, hearing, turn_head, load_speaker()))
    leave_cores(omni.parts.decoder)
    gc.collect()
    gc.freeze()  # what is loaded stays: going through all of it for garbage holds an answer up
    return omni


def start_engine(settings: Settings) -> Worker[Conversation]:
    """Load the model and start the worker that owns it; the caller closes it."""
    return Worker(load_omni(settings))
