"""Statistics: intervals cover the mean, paired tests know chance from change, overlaps follow their definition."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecver.flows.evaluating.statistics import interval, overlap, randomised

RANKINGS = st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=10)


def test_an_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(3)
    covered = [
        low <= 0.3 <= high for low, high in (interval((draw.random(80) < 0.3).astype(float)) for _ in range(200))
    ]
    assert 0.89 <= np.mean(covered) <= 0.99


def test_an_interval_depends_on_the_values_alone() -> None:
    values = np.random.default_rng(4).random(50)
    assert interval(values) == interval(values.copy())
    assert interval(np.full(9, 0.25)) == (0.25, 0.25)
    assert interval(np.array([0.5])) == (0.5, 0.5)


def test_few_questions_are_tested_by_every_sign() -> None:
    before, after = np.zeros(6), np.array([0.1, 0.2, -0.05, 0.3, 0.0, 0.1])
    differences = after[after != 0]
    sums = [
        abs(sum(sign * each for sign, each in zip(signs, differences, strict=True)))
        for signs in product((-1, 1), repeat=5)
    ]
    expected = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-12)
    assert randomised(before, after) == pytest.approx(expected)


def test_many_questions_tell_change_from_chance() -> None:
    draw = np.random.default_rng(5)
    before = draw.random(300)
    assert randomised(before, before) == 1.0
    assert randomised(before, before + 0.02 + 0.05 * draw.standard_normal(300)) < 0.01
    chances = [randomised(before, before + 0.1 * draw.standard_normal(300)) for _ in range(20)]
    assert np.mean(np.array(chances) < 0.05) <= 0.2


def definition(one: list[str], other: list[str], p: float) -> float:
    """RBO_ext by equation 32 of the paper, with every overlap counted anew."""
    short, long = sorted((one, other), key=len)
    s, depth = len(short), len(long)
    shared = {d: len(set(short[:d]) & set(long[:d])) for d in range(1, depth + 1)}
    total = sum(shared[d] / d * p**d for d in range(1, depth + 1))
    total += sum(shared[s] * (d - s) / (s * d) * p**d for d in range(s + 1, depth + 1))
    return (1 - p) / p * total + ((shared[depth] - shared[s]) / depth + shared[s] / s) * p**depth


@given(RANKINGS, RANKINGS)
def test_an_overlap_follows_its_definition(one: list[str], other: list[str]) -> None:
    value = overlap(one, other)
    assert 0 <= value <= 1 and value == overlap(other, one)
    if one and other:
        assert value == pytest.approx(definition(one, other, 0.9))
    assert overlap(one, one) == pytest.approx(1.0)
