"""How far the turn head should trust words and sound: among many settings the most patient of those that let
nobody wait for too long. For voices and sentences on which settings are chosen.
"""

import copy
import math
from collections.abc import Iterable, Iterator
from itertools import product

import numpy as np
import torch

from assistant.bench.ends import Listened, wait_figures
from assistant.model.turn_head import TurnHead
from assistant.session.turn import TurnPolicy

Trust = tuple[float, float, float]  # in the words, in the sound, and what is added to both
WORDS, SOUND = (0.0, 0.25, 0.5, 0.75, 1.0), (1.0, 1.5)
BIAS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
LONGEST_MS = (225, 250, 300, 350, 400, 500, 600)  # silence within which 95 % of the finished are answered
SLOWEST = "95 % answered within (ms)"
RIGHT = "right at 200 ms (%)"


def trusting(head: TurnHead, trust: Trust) -> TurnHead:
    """The same head, trusting otherwise."""
    other = copy.deepcopy(head)
    other.weights.data.copy_(torch.tensor(trust))
    return other


def by_trust(
    sounds: Iterable[tuple[str, Listened]], head: TurnHead, policy: TurnPolicy
) -> dict[Trust, dict[str, float]]:
    """Give what each setting makes of sounds, see ``wait_figures``, and how many it judges right after a
    fixed silence: the mean of those that have finished and those that have not.
    """
    heads = {trust: trusting(head, trust) for trust in product(WORDS, SOUND, BIAS)}
    waits: dict[Trust, list[tuple[str, int | None]]] = {trust: [] for trust in heads}
    right: dict[Trust, dict[bool, list[bool]]] = {trust: {True: [], False: []} for trust in heads}
    for kind, sound in sounds:  # one after the other: each keeps all its moments
        for trust, other in heads.items():
            waits[trust].append((kind, sound.wait_ms(policy, other)))
            finished = kind == "finished"
            right[trust][finished].append(sound.finished(other) == finished)
    return {
        trust: wait_figures(waits[trust], policy) | {RIGHT: balanced(right[trust].values())}
        for trust in heads
    }


def balanced(right: Iterable[list[bool]]) -> float:
    """What is right in percent, each of several kinds counting alike."""
    return 100 * float(np.mean([np.mean(kind) for kind in right if kind]))


def most_patient(found: dict[Trust, dict[str, float]]) -> Iterator[tuple[int, Trust]]:
    """For each of the longest waits the setting that takes the fewest pauses; where none is quick enough,
    nothing, but for the longest of all the quickest.
    """
    for longest in LONGEST_MS:
        quick = [trust for trust, figures in found.items() if figures[SLOWEST] <= longest]
        if quick:
            yield longest, min(quick, key=lambda trust: mean_taken(found[trust]))
        elif longest == LONGEST_MS[-1]:
            quickest = min(found, key=lambda trust: found[trust][SLOWEST])
            yield math.ceil(found[quickest][SLOWEST]), quickest


def mean_taken(figures: dict[str, float]) -> float:
    """Pauses taken, in percent, mean of the kinds of pauses."""
    return float(np.mean([value for name, value in figures.items() if name.startswith("taken")]))
