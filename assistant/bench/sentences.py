"""The sentences that the voice is judged by."""

import random
from pathlib import Path

from assistant.errors import UsageError
from assistant.paths import ROOT

TEST = ROOT / "data" / "voice" / "test.txt"


def read_sentences(path: Path | None = None) -> list[str]:
    """Read sentences, one a line."""
    path = path or TEST
    if not path.is_file():
        raise UsageError(f"{path} is not a file; give one with a sentence on each line")
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def sample_of(sentences: list[str], count: int, seed: int = 0) -> list[str]:
    """A smaller list for quick checks, the same each time."""
    return sentences if count >= len(sentences) else random.Random(seed).sample(sentences, count)
