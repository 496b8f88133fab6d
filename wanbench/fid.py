"""The Fréchet distance between two sets of features, and files of their statistics (light half: numpy).

FID (arXiv 1706.08500): |m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two sets' means and covariances. The trace of the root is
the sum of the singular values of C1^(1/2) C2^(1/2), whose squares are the eigenvalues of the symmetric product
C1^(1/2) C2 C1^(1/2): no root of a matrix that is not symmetric is taken, nothing gets complex, and a rank-deficient covariance
costs no accuracy.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wanbench.errors import UsageError
from wanbench.record import write_atomically

Floats = npt.NDArray[np.float64]
VERSION = 1
"""Of the statistics' meaning; other versions are refused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """What FID knows of a set of pictures."""

    mean_D: Floats
    covariance_DD: Floats
    """With n - 1 in the denominator."""
    count: int
    """Pictures."""
    circumstances: Mapping[str, Any]
    """All that can move the features: network, checksum, resize rule, grid; statistics with others are never compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Distance:
    """A Fréchet distance and its two parts."""

    fid: float
    mean_part: float
    """|m1 - m2|^2."""
    covariance_part: float
    """Tr(C1 + C2 - 2 (C1 C2)^(1/2))."""
    warnings: tuple[str, ...]


class Moments:
    """Mean and covariance of features that come in batches (Chan, Golub and LeVeque's update), in float64."""

    def __init__(self, features: int) -> None:
        self.count = 0
        self._mean = np.zeros(features)
        self._scatter = np.zeros((features, features))

    def add(self, features_ND: npt.NDArray[np.floating]) -> None:
        """Take in N more feature vectors."""
        batch = features_ND.astype(np.float64)
        n = len(batch)
        if n == 0:
            return
        mean = batch.mean(axis=0)
        centred, apart = batch - mean, mean - self._mean
        total = self.count + n
        self._scatter += centred.T @ centred + np.outer(apart, apart) * (self.count * n / total)
        self._mean = self._mean + apart * (n / total)
        self.count = total

    def statistics(self, circumstances: Mapping[str, Any]) -> Statistics:
        """Of all that was added. Raises `UsageError` for fewer than two."""
        if self.count < 2:
            raise UsageError(
                f"a set of {self.count} pictures has no covariance: FID needs at least two, and thousands to mean much"
            )
        return Statistics(
            mean_D=self._mean.copy(),
            covariance_DD=self._scatter / (self.count - 1),
            count=self.count,
            circumstances=circumstances,
        )


def frechet_distance(real: Statistics, generated: Statistics) -> Distance:
    """FID between two sets. Raises `UsageError` when they were not made alike."""
    refuse_unlike(real.circumstances, generated.circumstances)
    if real.mean_D.shape != generated.mean_D.shape:
        raise UsageError(f"the sets have {len(real.mean_D)} and {len(generated.mean_D)} features: one of them is damaged")
    mean_part = float(np.sum((real.mean_D - generated.mean_D) ** 2))
    # With half = V sqrt(w), of as many columns as the rank, C^(1/2) = half V': turning by V leaves singular values as they are.
    cross = float(np.linalg.svd(half(real.covariance_DD).T @ half(generated.covariance_DD), compute_uv=False).sum())
    traces = float(np.trace(real.covariance_DD) + np.trace(generated.covariance_DD))
    covariance_part = max(0.0, traces - 2 * cross)  # never negative but for rounding
    warnings = tuple(
        f"the {name} set has {s.count} pictures, fewer than {len(s.mean_D)} features: its covariance is rank-deficient, and FID "
        "is biased upwards and depends on the number of pictures"
        for name, s in (("real", real), ("generated", generated))
        if s.count <= len(s.mean_D)
    )
    return Distance(fid=mean_part + covariance_part, mean_part=mean_part, covariance_part=covariance_part, warnings=warnings)


def half(covariance_DD: Floats) -> Floats:
    """(D, rank) matrix H with H H' = C, a covariance: its eigenvectors times the roots of its eigenvalues."""
    values, vectors = np.linalg.eigh((covariance_DD + covariance_DD.T) / 2)
    # What is left of a zero eigenvalue is rounding, of either sign; its root would be a hundred million times as large.
    kept = values > max(float(values[-1]), 0.0) * len(values) * np.finfo(np.float64).eps
    halved: Floats = vectors[:, kept] * np.sqrt(values[kept])
    return halved


def refuse_unlike(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Raise `UsageError`, naming the first difference, where features were not made alike."""
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key):
            raise UsageError(
                f"the two sets' features were made otherwise ({key}: {one.get(key)!r} and {other.get(key)!r}) and cannot be "
                "compared: make the saved statistics again from their pictures"
            )


def save_statistics(path: Path, statistics: Statistics) -> None:
    """Write `mu`, `sigma`, `count` and `circumstances` (JSON) to an .npz file. Raises `OutputError`."""
    import io

    content = io.BytesIO()
    np.savez(
        content,
        mu=statistics.mean_D,
        sigma=statistics.covariance_DD,
        count=np.int64(statistics.count),
        circumstances=np.array(json.dumps({"version": VERSION, **statistics.circumstances}, sort_keys=True)),
    )
    write_atomically(path, content.getvalue())


def load_statistics(path: Path) -> Statistics:
    """What `save_statistics` wrote. Raises `UsageError` for a file that does not say how it was made, as others' do not."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if missing := {"mu", "sigma", "count", "circumstances"} - set(arrays.files):
                raise UsageError(
                    f"{path} does not say how its features were made ({', '.join(sorted(missing))} missing): only statistics "
                    "saved by `wanbench fid --save-real` are read"
                )
            mean, covariance, count = arrays["mu"], arrays["sigma"], int(arrays["count"])
            circumstances = json.loads(str(arrays["circumstances"]))
    except (OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} cannot be read as saved statistics ({error})") from error
    if not isinstance(circumstances, dict) or count < 2 or mean.dtype != np.float64 or covariance.dtype != np.float64:
        raise UsageError(f"{path} is damaged: {count} pictures, {mean.dtype} and {covariance.dtype} numbers")
    if circumstances.pop("version", None) != VERSION:
        raise UsageError(f"{path} was saved by another version of wanbench: make it again from its pictures")
    if (
        mean.ndim != 1
        or not len(mean)
        or covariance.shape != (len(mean), len(mean))
        or not (np.isfinite(mean).all() and np.isfinite(covariance).all())
    ):
        raise UsageError(
            f"{path} is damaged: a mean {mean.shape} and a covariance {covariance.shape}, wanted finite (D,) and (D, D)"
        )
    return Statistics(mean_D=mean, covariance_DD=covariance, count=count, circumstances=circumstances)
