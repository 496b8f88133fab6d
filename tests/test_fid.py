"""The Fréchet distance against hand sums and SciPy, and the files of saved statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg

from wanbench.errors import UsageError
from wanbench.fid import Moments, Statistics, frechet_distance, half, load_statistics, save_statistics

MADE = {"network": "n", "checkpoint": "abc"}


def statistics(mean, covariance, count: int = 10**6, made=MADE) -> Statistics:
    return Statistics(
        mean_D=np.array(mean, float), covariance_DD=np.array(covariance, float), count=count, circumstances=made
    )  # fmt: skip


def of(features_ND, made=MADE) -> Statistics:
    moments = Moments(features_ND.shape[1])
    moments.add(features_ND)
    return moments.statistics(made)


def test_by_hand_in_one_dimension():
    """(0 - 3)^2 + 1 + 4 - 2 * 1 * 2 = 10."""
    distance = frechet_distance(statistics([0], [[1]]), statistics([3], [[4]]))
    assert distance.fid == pytest.approx(10, abs=1e-12)
    assert (distance.mean_part, distance.covariance_part) == (pytest.approx(9), pytest.approx(1))
    assert distance.warnings == ()


def test_by_hand_with_diagonal_covariances():
    """(1 - 2)^2 + (3 - 4)^2 = 2 of the deviations."""
    distance = frechet_distance(statistics([0, 0], np.diag([1, 9])), statistics([0, 0], np.diag([4, 16])))
    assert distance.fid == pytest.approx(2, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scipy(seed):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=(400, 30)) @ rng.normal(size=(30, 30)), rng.normal(size=(300, 30)) @ rng.normal(size=(30, 30)) + 1
    distance = frechet_distance(of(x), of(g))
    cx, cg = np.cov(x, rowvar=False), np.cov(g, rowvar=False)
    product = scipy.linalg.sqrtm(cx @ cg)
    wanted = np.sum((x.mean(0) - g.mean(0)) ** 2) + np.trace(cx + cg - 2 * product.real)
    assert distance.fid == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (5, 9), (5, 200)])
def test_rank_deficient_and_tiny_sets(n, m):
    """With fewer pictures than features: against the nuclear norm of the pictures' own products, which needs no root at all."""
    rng = np.random.default_rng(n)
    x, g = rng.normal(size=(n, 50)), rng.normal(size=(m, 50)) + 0.3
    centred_x, centred_g = x - x.mean(0), g - g.mean(0)
    cross = np.linalg.norm(centred_x @ centred_g.T, "nuc") / np.sqrt((n - 1) * (m - 1))
    wanted = np.sum((x.mean(0) - g.mean(0)) ** 2) + np.trace(np.cov(x, rowvar=False) + np.cov(g, rowvar=False)) - 2 * cross
    distance = frechet_distance(of(x), of(g))
    assert distance.fid == pytest.approx(wanted, rel=1e-9)
    assert len(distance.warnings) == (n <= 50) + (m <= 50)
    assert f"the real set has {n} pictures, fewer than 50 features" in distance.warnings[0]


def test_a_set_with_itself_is_zero_although_rank_deficient():
    features = np.random.default_rng(0).normal(size=(40, 300)) * 100
    distance = frechet_distance(of(features), of(features))
    assert 0 <= distance.fid < 1e-9 * np.trace(np.cov(features, rowvar=False))


def test_symmetric_and_never_negative():
    rng = np.random.default_rng(1)
    x, g = of(rng.normal(size=(9, 20))), of(rng.normal(size=(30, 20)))
    assert frechet_distance(x, g).fid == pytest.approx(frechet_distance(g, x).fid, rel=1e-10)
    constant = of(np.ones((5, 20)))
    assert frechet_distance(constant, constant).fid == 0


def test_a_half_makes_the_matrix_and_has_its_rank():
    a = np.random.default_rng(2).normal(size=(6, 10))
    made = half(a.T @ a)
    assert made.shape == (10, 6)
    np.testing.assert_allclose(made @ made.T, a.T @ a, atol=1e-12)
    assert half(np.zeros((3, 3))).shape == (3, 0)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_batches_change_nothing(size):
    features = np.random.default_rng(3).normal(size=(100, 8)).astype(np.float32) + 1000  # far from 0: sums of squares would lose
    moments = Moments(8)
    for start in range(0, 100, size):
        moments.add(features[start : start + size])
    moments.add(features[:0])
    made = moments.statistics(MADE)
    np.testing.assert_allclose(made.mean_D, features.astype(float).mean(0), rtol=1e-14)
    np.testing.assert_allclose(made.covariance_DD, np.cov(features.astype(float), rowvar=False), rtol=1e-9, atol=1e-12)
    assert made.count == 100


@pytest.mark.parametrize("count", [0, 1])
def test_one_picture_has_no_covariance(count):
    moments = Moments(4)
    moments.add(np.ones((count, 4)))
    with pytest.raises(UsageError, match="at least two"):
        moments.statistics(MADE)


def test_saved_statistics_come_back(tmp_path: Path):
    made = of(np.random.default_rng(4).normal(size=(9, 5)))
    save_statistics(tmp_path / "s.npz", made)
    again = load_statistics(tmp_path / "s.npz")
    np.testing.assert_array_equal(again.mean_D, made.mean_D)
    np.testing.assert_array_equal(again.covariance_DD, made.covariance_DD)
    assert (again.count, again.circumstances) == (9, MADE)
    assert frechet_distance(made, again).fid < 1e-12


def test_statistics_made_otherwise_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="checkpoint: 'abc' and 'other'"):
        frechet_distance(statistics([0], [[1]]), statistics([0], [[1]], made={**MADE, "checkpoint": "other"}))
    with pytest.raises(UsageError, match="grid: None and 8"):
        frechet_distance(statistics([0], [[1]]), statistics([0], [[1]], made={**MADE, "grid": 8}))


def test_files_that_are_no_saved_statistics(tmp_path: Path):
    path = tmp_path / "s.npz"
    np.savez(path, mu=np.zeros(2), sigma=np.eye(2))  # as other programs save them
    with pytest.raises(UsageError, match="does not say how its features were made"):
        load_statistics(path)
    path.write_bytes(b"text")
    with pytest.raises(UsageError, match="cannot be read"):
        load_statistics(path)
    save_statistics(path, statistics([0, 1], np.eye(3)))
    with pytest.raises(UsageError, match="damaged"):
        load_statistics(path)
    save_statistics(path, statistics([0, 1], np.eye(2), made={**MADE, "version": 99}))
    with pytest.raises(UsageError, match="another version"):
        load_statistics(path)
