"""Counting words: greedy CTC and word edits."""

from torch import Tensor, unique_consecutive


def greedy(logits: Tensor, frames: Tensor) -> list[list[int]]:
    """Best token of each frame, repeats merged and blanks dropped: rows from 0."""
    found = []
    for row, length in zip(logits.argmax(dim=-1), frames.tolist(), strict=True):
        best = unique_consecutive(row[:length])
        found.append([int(index) - 1 for index in best if index > 0])
    return found


def edits(reference: list[str], heard: list[str]) -> int:
    """Word edits between two utterances."""
    row = list(range(len(heard) + 1))
    for index, word in enumerate(reference, 1):
        before, row[0] = row[0], index
        for column, other in enumerate(heard, 1):
            change = before + (word != other)
            before = row[column]
            row[column] = min(before + 1, row[column - 1] + 1, change)
    return row[-1]
