"""Codes that name tokens: what was heard survives them."""

import pytest
import torch

from audiocodec.named import DIGITS, NamedCodebooks
from audiocodec.reader import TokenReader

WIDTH, ROWS, SIZE = 24, 70, 16


def test_every_word_survives_codebooks_that_never_met_it() -> None:
    generator = torch.Generator().manual_seed(2)
    reader = TokenReader(torch.randn(ROWS, WIDTH, generator=generator), torch.arange(ROWS))
    books = NamedCodebooks(DIGITS + 1, SIZE, WIDTH)
    met = frames_of(reader, torch.arange(0, ROWS, 2).repeat(20), generator)
    books.fit(torch.cat([met, 0.1 * torch.randn(300, WIDTH, generator=generator)]), reader, generator)
    unmet = frames_of(reader, torch.arange(1, ROWS, 2), generator)
    codes, vectors = books(unmet[None], reader)
    assert codes.shape == (1, len(unmet), DIGITS + 1)
    assert int(codes.max()) < SIZE
    assert (codes[0, :, 0] * SIZE + codes[0, :, 1] - 1).tolist() == list(range(1, ROWS, 2))
    assert (reader(vectors).argmax(dim=-1) == reader(unmet[None]).argmax(dim=-1)).all()
    torch.testing.assert_close(books.decode(codes, reader), vectors)


def frames_of(reader: TokenReader, rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Frames that lie near some rows."""
    return 3 * reader.rows[rows] + 0.3 * torch.randn(len(rows), WIDTH, generator=generator)


@pytest.mark.parametrize("high", [ROWS // SIZE + 1, SIZE - 1])
def test_unknown_names_count_as_nothing(high: int) -> None:
    reader = TokenReader(torch.randn(ROWS, WIDTH), torch.arange(ROWS))
    books = NamedCodebooks(DIGITS + 1, SIZE, WIDTH)
    unknown, blank = torch.tensor([[[high, SIZE - 1, 3]]]), torch.tensor([[[0, 0, 3]]])
    torch.testing.assert_close(books.decode(unknown, reader), books.decode(blank, reader))
