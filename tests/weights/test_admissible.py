"""The weightings that the published table allows: known ends, scores worked by hand, and orders that hold or do not."""

from __future__ import annotations

import numpy as np
import pytest

from wanbench.fourteen import FOURTEEN
from wanbench.published import TABLE_2, TABLE_2_MODELS, TABLE_2_WEIGHTED
from wanbench.weights import admissible, weighting


@pytest.fixture(scope="module")
def spans() -> dict[str, admissible.Span]:
    return admissible.weight_spans()


def constant(value: float, **changes: float) -> np.ndarray:
    return admissible.vector({**dict.fromkeys(FOURTEEN, value), **changes})


@pytest.mark.parametrize(
    ("dimension", "low", "high"),
    [
        ("camera_control", "0.077", "0.355"),
        ("comprehensive_image_quality", "0.000", "0.477"),
        ("pixel_level_stability", "0.000", "0.115"),
    ],
)
def test_intervals_that_the_definitions_name(spans: dict[str, admissible.Span], dimension: str, low: str, high: str) -> None:
    assert (f"{spans[dimension].low:.3f}", f"{spans[dimension].high:.3f}") == (low, high)


def test_table2_is_inside_every_interval_and_uniform_is_not_admissible(spans: dict[str, admissible.Span]) -> None:
    for dimension, weight in weighting.TABLE_2_WEIGHTS.items():
        assert spans[dimension].low <= weight <= spans[dimension].high
    assert admissible.largest_miss(weighting.TABLE_2_WEIGHTS) < 1e-6
    uniform = weighting.load("uniform").weights
    by_hand = max(abs(sum(TABLE_2[d][m] for d in FOURTEEN) / 14 - TABLE_2_WEIGHTED[m]) for m in range(len(TABLE_2_MODELS)))
    assert admissible.largest_miss(uniform) == pytest.approx(by_hand) == pytest.approx(0.0225)


def test_the_ends_are_duals_too() -> None:
    """Strong duality, by hand: the least w_d is the largest value of the dual program, solved as a program of its own."""
    from scipy.optimize import linprog

    scores, totals = weighting.table_2()
    d = list(FOURTEEN).index("camera_control")
    # least e.w with X w >= y - t, -X w >= -y - t, 1.w = 1, w >= 0; dual: most b.u + v with A'u + v <= e, u >= 0
    rows, bounds = np.vstack([scores, -scores]), np.concatenate([totals - 0.001, -totals - 0.001])
    found = linprog(
        -np.append(bounds, 1.0),
        A_ub=np.hstack([rows.T, np.ones((14, 1))]),
        b_ub=np.eye(14)[d],
        bounds=[(0, None)] * 14 + [(None, None)],
        method="highs-ipm",
    )
    assert -found.fun == pytest.approx(admissible.weight_spans()["camera_control"].low, abs=1e-6)


def test_the_span_of_a_candidate_by_hand(spans: dict[str, admissible.Span]) -> None:
    """0.5 everywhere is 0.5 for every weighting; 0.2 more in one dimension adds 0.2 times that weight's interval."""
    flat = admissible.span(constant(0.5))
    assert (flat.low, flat.high) == (pytest.approx(0.5), pytest.approx(0.5))
    raised = admissible.span(constant(0.5, camera_control=0.7))
    assert raised.low == pytest.approx(0.5 + 0.2 * spans["camera_control"].low)
    assert raised.high == pytest.approx(0.5 + 0.2 * spans["camera_control"].high)


def test_published_models_have_their_totals_within_the_rounding() -> None:
    for (name, row), total in zip(admissible.published().items(), TABLE_2_WEIGHTED, strict=True):
        span = admissible.span(row)
        assert total - 0.001 - 1e-6 <= span.low <= span.high <= total + 0.001 + 1e-6, name


def test_the_published_ranking_is_open_only_where_totals_lie_within_twice_the_rounding() -> None:
    """Totals 0.724 0.700 0.693 0.690 0.689 0.673 0.639, each within 0.001: only 0.690 and 0.689 can change places."""
    told = admissible.describe(admissible.published(), seed=0)
    assert told["rankings_complete"]
    assert [r.index("CN-TopB") for r in told["rankings"]] == [3, 4]
    expected = ["Wan 14B", "Sora", "CN-TopA", "CN-TopB", "Wan 1.3B", "Hunyuan", "Mochi"]
    assert told["rankings"][0] == expected
    assert [(d["a"], d["b"]) for d in told["differences"] if d["order"] is None] == [("CN-TopB", "Wan 1.3B")]
    assert {n: e["places"] for n, e in told["scores"].items()} == {
        **{"Wan 14B": [1, 1], "Sora": [2, 2], "CN-TopA": [3, 3], "CN-TopB": [4, 5], "Wan 1.3B": [4, 5]},
        **{"Hunyuan": [6, 6], "Mochi": [7, 7]},
    }


def test_orders_by_hand() -> None:
    """b is above a everywhere; c is above a in camera control, and below in image quality, whose weight can be 0."""
    scores = {
        "a": constant(0.5),
        "b": constant(0.6),
        "c": constant(0.5, camera_control=0.6, comprehensive_image_quality=0.45),
        "same as a": constant(0.5),
    }
    told = admissible.describe(scores, seed=0)
    order = {(d["a"], d["b"]): d["order"] for d in told["differences"]}
    assert order[("a", "b")] == "b > a"
    assert order[("b", "c")] == "b > c"
    assert order[("a", "same as a")] is None
    mixed = next(d for d in told["differences"] if (d["a"], d["b"]) == ("a", "c"))
    by_program = admissible.span(constant(0.0, camera_control=-0.1, comprehensive_image_quality=0.05))
    assert (mixed["low"], mixed["high"]) == (pytest.approx(by_program.low, abs=1e-6), pytest.approx(by_program.high, abs=1e-6))
    assert all(r[0] == "b" for r in told["rankings"])
    assert (mixed["order"] is None) == (mixed["low"] < 0 < mixed["high"])


def test_every_ranking_of_random_admissible_weightings_is_listed() -> None:
    """Mixtures of random vertices are admissible; whatever order they give must be among those found."""
    generator = np.random.default_rng(7)
    scores = {f"m{i}": np.clip(admissible.published()["Wan 14B"] + generator.normal(0, 0.01, 14), 0, 1) for i in range(4)}
    told = admissible.describe(scores, seed=0)
    assert told["rankings_complete"]
    assert len(told["rankings"]) > 2
    vertices = np.array([vertex(generator.normal(size=14)) for _ in range(40)])
    seen = set()
    for mixture in generator.dirichlet(np.full(40, 0.1), size=500):
        weights = mixture @ vertices
        assert admissible.largest_miss(dict(zip(FOURTEEN, weights, strict=True))) <= 0.001 + 1e-6
        seen.add(tuple(sorted(scores, key=lambda n: -scores[n] @ weights)))
        for (a, b), s in admissible.differences(scores).items() if len(seen) == 1 else []:
            assert s.low - 1e-6 <= (scores[a] - scores[b]) @ weights <= s.high + 1e-6
    assert len(seen) > 1
    assert seen <= {tuple(r) for r in told["rankings"]}


def vertex(direction: np.ndarray) -> np.ndarray:
    from scipy.optimize import linprog

    scores, totals = weighting.table_2()
    found = linprog(
        direction, A_ub=np.vstack([scores, -scores]), b_ub=np.concatenate([totals + 0.001, 0.001 - totals]),
        A_eq=np.ones((1, 14)), b_eq=[1.0],
    )  # fmt: skip
    return np.asarray(found.x)


def test_who_comes_first_over_all_weightings() -> None:
    """Wan 14B 38 %, Sora 38 %, CN-TopB 21 %; checked by normalised exponentials, another way to draw from the simplex."""
    shares = admissible.first_shares(admissible.published(), seed=0)
    assert {n: round(100 * s) for n, s in shares.items() if s > 0.1} == {"Wan 14B": 38, "Sora": 38, "CN-TopB": 21}
    assert sum(shares.values()) == pytest.approx(1)
    drawn = np.random.default_rng(3).exponential(size=(200_000, 14))
    first = np.bincount(np.argmax(drawn @ np.array(list(admissible.published().values())).T, axis=1), minlength=7) / len(drawn)
    assert list(shares.values()) == pytest.approx(list(first), abs=5 * 0.5 / 200_000**0.5)


def test_shares_depend_on_the_seed_alone() -> None:
    published = admissible.published()
    assert admissible.first_shares(published, 1, 1000) == admissible.first_shares(published, 1, 1000)
    assert admissible.first_shares(published, 1, 1000) != admissible.first_shares(published, 2, 1000)


def test_uniform_weights_as_the_definitions_give_them() -> None:
    told = admissible.describe(admissible.published(), seed=0)["scores"]
    top = {name: f"{told[name]['uniform']:.3f}" for name in ("Sora", "Wan 14B")}
    assert top == {"Sora": "0.717", "Wan 14B": "0.715"}
    assert told["CN-TopB"]["uniform"] == pytest.approx(9.975 / 14)  # 0.7125: the sum of its column, by hand


def test_many_rankings_are_cut_and_said_to_be() -> None:
    generator = np.random.default_rng(0)
    scores = {f"m{i}": generator.uniform(0.4, 0.6, 14) for i in range(9)}
    ahead = admissible.always_ahead(admissible.differences(scores))
    found, complete = admissible.rankings(scores, ahead)
    assert (len(found), complete) == (admissible.MOST_RANKINGS, False)
    assert len(set(found)) == len(found)
    for winner, loser in ahead:
        assert all(r.index(winner) < r.index(loser) for r in found)
