"""Codes that name tokens: what was heard survives them, and how sure it is."""

import pytest
import torch

from audiocodec.named import DIGITS, LEVELS, NamedCodebooks, filled, free, spare_of
from audiocodec.reader import Reading, TokenReader, read_frames

WIDTH, ROWS, SIZE = 24, 70, 64


def make_reader() -> TokenReader:
    generator = torch.Generator().manual_seed(2)
    reader = TokenReader(torch.randn(ROWS, WIDTH, generator=generator), torch.arange(ROWS))
    torch.nn.init.constant_(reader.blank_bias, 8.0)
    return reader


def frames_of(reader: TokenReader, rows: torch.Tensor, spread: float = 0.3) -> torch.Tensor:
    """Frames that lie near some rows."""
    generator = torch.Generator().manual_seed(3)
    return 3 * reader.rows(rows) + spread * torch.randn(len(rows), WIDTH, generator=generator)


def test_every_word_survives_codes_that_never_met_it() -> None:
    reader, books = make_reader(), NamedCodebooks(SIZE, WIDTH)
    met = frames_of(reader, torch.arange(0, ROWS, 2).repeat(20))
    left = books.fit(torch.cat([met, 0.1 * torch.randn(300, WIDTH)]), reader)
    assert 0 < left < 0.3
    unmet = frames_of(reader, torch.arange(1, ROWS, 2))
    codes = books.spell(read_frames(reader, unmet[None]), ROWS)
    vectors = books.decode(codes, reader)
    assert codes.shape == (1, len(unmet), DIGITS)
    assert int(codes.min()) >= 0
    assert int(codes.max()) < SIZE
    assert (books.read(codes, ROWS).best[0] - 1).tolist() == list(range(1, ROWS, 2))
    assert (reader(vectors).argmax(dim=-1) == reader(unmet[None]).argmax(dim=-1)).all()


def test_doubt_survives() -> None:
    reader, books = make_reader(), NamedCodebooks(SIZE, WIDTH)
    blank = torch.tensor([1e-6, 0.05, 0.75, 0.9999, 0.25])
    lead = torch.tensor([0.9999, 0.8, 0.56, 0.6, 0.96])
    rows = torch.tensor([[3, 4], [69, 0], [0, 69], [7, 8], [68, 69]])
    said = books.read(books.spell(Reading(blank, rows, torch.stack([lead, 1 - lead], dim=-1)), ROWS), ROWS)
    assert said.rows.tolist() == rows.tolist()
    torch.testing.assert_close(said.blank, blank, atol=0.06, rtol=0)
    known = blank < 0.99
    torch.testing.assert_close(said.shares[known, 0], lead[known], atol=0.06, rtol=0)
    assert said.best.tolist() == [4, 70, 0, 0, 69]
    frames = frames_of(reader, torch.arange(ROWS), spread=2.0)[None]
    exact = read_frames(reader, frames)
    coded = books.read(books.spell(exact, ROWS), ROWS)
    assert (exact.best == coded.best).float().mean() > 0.9


def test_more_tokens_than_two_are_read_but_not_named() -> None:
    reader, books = make_reader(), NamedCodebooks(SIZE, WIDTH)
    frames = frames_of(reader, torch.arange(ROWS), spread=2.0)[None]
    two, eight = (read_frames(reader, frames, likely) for likely in (2, 8))
    torch.testing.assert_close(eight.shares.sum(dim=-1), torch.ones(1, ROWS))
    assert (eight.rows[..., :2] == two.rows).all()
    assert (eight.best == two.best).float().mean() > 0.9
    assert (books.spell(eight, ROWS) == books.spell(two, ROWS)).all()
    halves = [eight.part(0).part(slice(0, 30)), eight.part(0).part(slice(30, None))]
    torch.testing.assert_close(Reading.joined(halves).shares, eight.shares[0])


def test_more_tokens_than_codes_can_name_are_refused() -> None:
    many = int((SIZE**DIGITS / LEVELS) ** 0.5)
    reading = Reading(torch.zeros(1), torch.tensor([[many - 1, many - 2]]), torch.tensor([[0.9, 0.1]]))
    books = NamedCodebooks(SIZE, WIDTH)
    assert int(books.spell(reading, many).max()) < SIZE
    with pytest.raises(ValueError, match="cannot name"):
        books.spell(reading, many + 1)


def test_unknown_codes_stand_for_something() -> None:
    reader, books = make_reader(), NamedCodebooks(SIZE, WIDTH)
    codes = torch.full((1, 2, DIGITS), SIZE - 1)
    assert books.decode(codes, reader).isfinite().all()


def test_names_of_silence_give_way_to_another_code() -> None:
    books = NamedCodebooks(SIZE, WIDTH)
    blank = torch.tensor([0.02, 0.99999, 0.7, 0.99999])
    rows, shares = torch.tensor([[3, 4]] * 4), torch.tensor([[0.8, 0.2]] * 4)
    codes = books.spell(Reading(blank, rows, shares), ROWS)
    largest = SIZE**DIGITS // LEVELS - 1
    other = filled(codes, torch.tensor([5, 6, 7, largest]), SIZE)
    assert free(other, SIZE).tolist() == [False, True, False, True]
    assert torch.equal(other[[0, 2]], codes[[0, 2]])
    assert spare_of(other, SIZE)[[1, 3]].tolist() == [6, largest]
    assert int(other.max()) < SIZE
    torch.testing.assert_close(books.read(other, ROWS).blank, books.read(codes, ROWS).blank)
