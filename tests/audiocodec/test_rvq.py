"""Residual codebooks fitted by k-means."""

import torch

from audiocodec.rvq import ResidualCodebooks


def test_each_codebook_leaves_less() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(2_000, 6, generator=generator)
    books = ResidualCodebooks(3, 32, 6)
    left = books.fit(vectors, generator)
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.2


def test_decoding_gives_what_encoding_stood_for() -> None:
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(500, 4, generator=generator)
    books = ResidualCodebooks(2, 16, 4)
    books.fit(vectors, generator)
    codes, stands_for = books(vectors.view(5, 100, 4))
    assert codes.shape == (5, 100, 2)
    assert int(codes.max()) < 16
    torch.testing.assert_close(books.decode(codes), stands_for)


def test_few_points_are_kept_exactly() -> None:
    points = torch.eye(3).repeat(20, 1)
    books = ResidualCodebooks(1, 64, 3)
    books.fit(points, torch.Generator().manual_seed(2))
    torch.testing.assert_close(books(points)[1], points)
