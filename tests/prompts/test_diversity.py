"""Figures of variety against sums done by hand."""

from __future__ import annotations

import pytest

from wanbench.prompts import diversity


def test_words_and_characters():
    assert diversity.words("The potter’s wheel — half-done, at 3 o'clock.") == [
        "the", "potter’s", "wheel", "half", "done", "at", "3", "o'clock"
    ]  # fmt: skip
    assert diversity.characters("一只猫，two 猫。") == ["一", "只", "猫", "猫"]
    assert diversity.pairs_of_characters("一只猫") == {"一只", "只猫"}


def test_overlap_is_shared_over_all():
    assert diversity.overlap({"a", "b", "c"}, {"b", "c", "d", "e"}) == pytest.approx(2 / 5)
    assert diversity.overlap(set(), set()) == 0.0
    assert diversity.closest_pair({"x": {"a"}, "y": {"a", "b"}, "z": {"c"}}) == (0.5, "x", "y")
    assert diversity.closest_pair({"x": {"a"}}) == (0.0, "", "")


def test_shared_sequences_count_texts_not_repetitions():
    text = "one two three four five six"
    found = diversity.shared_sequences([f"{text} {text}", f"and {text.upper()}", "one two three four five"])
    assert found[tuple(text.split())] == 2
    assert max(n for words, n in found.items() if words != tuple(text.split())) == 1


def test_quartiles_are_values_that_occur():
    assert diversity.quartiles([5, 1, 4, 2, 3]) == (1, 2, 3, 4, 5)
    assert diversity.quartiles([7]) == (7, 7, 7, 7, 7)
