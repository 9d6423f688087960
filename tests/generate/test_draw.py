"""The seeded draw has the distribution of the scores, and nothing but a row's seed and step decides it."""

import numpy as np
import torch

from most.generate.draw import SeededDraw, pick, row_seeds

SCORES = torch.tensor([0.3, -torch.inf, 2.0, 1.0, -1.5, -torch.inf])


def picked(draw: SeededDraw, n_rows: int, step: int) -> np.ndarray:
    out = draw(torch.zeros(n_rows, 3 + step, dtype=torch.long), SCORES.expand(n_rows, -1))
    assert ((out > -torch.inf).sum(dim=1) == 1).all()
    return out.argmax(dim=1).numpy()


def test_tokens_come_as_often_as_their_probability():
    n = 20000
    draw = SeededDraw(range(n), prompt_length=3, max_new_tokens=2)
    for step in (0, 1):
        got = np.bincount(picked(draw, n, step), minlength=6) / n
        expected = SCORES.softmax(dim=0).numpy()
        assert np.abs(got - expected).max() < 4 * 0.5 / np.sqrt(n)
        assert got[1] == got[5] == 0


def test_steps_and_seeds_are_independent():
    n = 5000
    draw = SeededDraw(row_seeds(None, 3, n), prompt_length=3, max_new_tokens=2)
    steps = np.stack([draw.draws[:, 0].numpy(), draw.draws[:, 1].numpy(), np.roll(draw.draws[:, 0].numpy(), 1)])
    assert np.abs(np.corrcoef(steps) - np.eye(3)).max() < 4 / np.sqrt(n)


def test_a_longer_limit_begins_with_the_same_draws():
    short, longer = (SeededDraw([5, (0, 1)], prompt_length=0, max_new_tokens=n) for n in (7, 70))
    assert torch.equal(longer.draws[:, :7], short.draws)


def test_scores_that_are_not_finite_give_no_token_that_is_none():
    assert int(pick(torch.full((1, 5), torch.inf), torch.tensor([0.5], dtype=torch.float64))) < 5


def test_the_top_of_the_range_is_still_a_possible_token():
    draw = SeededDraw([0], prompt_length=3, max_new_tokens=1)
    draw.draws.fill_(np.nextafter(1.0, 0.0))
    assert picked(draw, 1, 0)[0] == 4
    draw.draws.fill_(0.0)
    assert picked(draw, 1, 0)[0] == 0
