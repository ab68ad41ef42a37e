"""What a score is worth: from a model's measured scores to a gallery's threshold.

The threshold belongs to the gallery: among N templates a stranger has N chances to look like
somebody. FPIR = 1 - (1 - FMR)^N, so T(N, target FPIR) is the score whose FMR is small enough.
This file knows no model; the figures come with the pack (`models/manifest.toml`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FNIR_SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares of mated scores whose quantiles a calibration keeps."""

TAIL_SHARE = 0.005
"""Share of the impostor scores that counts as their tail. Measured with `open`: tails of 1 %,
0.5 % and 0.2 % of half the people, held against the other half's scores at FMR 1e-5, let
through 0.8, 0.9 and 1.3 times what they promised; 0.5 % is the smallest that keeps its word."""

RULE_OF_30 = 30
"""Errors needed to know a rate to within 30 % at 90 % confidence (Doddington, 1998)."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The least score that opens a gate."""

    score: float
    """Cosine, -1 to 1."""
    fmr: float
    """Share of impostor pairs expected at or above it, 0 to 1."""
    extrapolated: bool
    """Whether the FMR is smaller than the calibration's people can show: it then rests on the
    fitted tail, not on counted pairs."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The measured scores of one model, in a few figures.

    Impostor scores above `tail_from` are taken to fall off exponentially: FMR(s) =
    `tail_share` * exp(-(s - `tail_from`) / `tail_mean`). That is the cautious choice. A
    generalized Pareto tail fits the same scores with a slightly bounded shape (-0.09 +- 0.08)
    and lower thresholds, but fitted on half the people it let 2.7 times as many of the other
    half through at FMR 1e-5 as it promised; the exponential tail let 0.9 times as many.
    """

    tail_from: float
    """Score at which the tail begins, -1 to 1."""
    tail_share: float
    """Share of impostor scores above `tail_from`, 0 to 1."""
    tail_mean: float
    """Mean excess over `tail_from` of those scores, above 0."""
    fmr_counted: float
    """Smallest FMR that the measured pairs themselves show; below it is extrapolation."""
    fmr_min: float
    """Smallest FMR at which the tail is still believed; no threshold is given below it."""
    mated: tuple[float, ...]
    """Score below which each of `FNIR_SHARES` of the mated probes lie, rising."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: One is out of range.
        """
        rates = 0 < self.fmr_min <= self.fmr_counted < self.tail_share < 1
        if not (rates and -1 < self.tail_from < 1 and self.tail_mean > 0):
            raise ValueError(f"out of range: {self}")
        if len(self.mated) != len(FNIR_SHARES) or list(self.mated) != sorted(self.mated):
            raise ValueError(f"mated scores must be {len(FNIR_SHARES)} and rise: {self.mated}")

    def fmr(self, score: float) -> float:
        """Return the share of impostor pairs at or above a score, within the tail.

        Args:
            score: Cosine; below `tail_from` the answer stays at `tail_share`.
        """
        return self.tail_share * math.exp(-max(0.0, score - self.tail_from) / self.tail_mean)

    def threshold(self, size: int, target_fpir: float) -> Threshold:
        """Return the threshold for a gallery; see `supports` for whether to trust it.

        Args:
            size: Templates in the gallery, at least 1.
            target_fpir: Share of strangers who may be taken for somebody, 0 to 1.

        Raises:
            ValueError: An argument is out of range.
        """
        fmr = fmr_for(size, target_fpir)
        # A tiny gallery would allow scores below the tail, where nothing is fitted.
        lowered = max(0.0, math.log(self.tail_share / fmr))
        score = self.tail_from + self.tail_mean * lowered
        return Threshold(score, min(fmr, self.tail_share), fmr < self.fmr_counted)

    def expected_fnir(self, score: float) -> float:
        """Return the share of enrolled riders' probes below a score: an estimate, 0 to 1.

        Args:
            score: Cosine.

        Returns:
            Between the kept quantiles, interpolated; 1.0 above the last of them, since what
            is not known there is no reason to promise a gate that works.
        """
        if score > self.mated[-1]:
            return 1.0
        return float(np.interp(score, self.mated, FNIR_SHARES))

    def gallery_max(self, target_fpir: float, fnir_limit: float) -> int:
        """Return the most templates among which a face alone may open.

        Args:
            target_fpir: Share of strangers who may be taken for somebody, 0 to 1.
            fnir_limit: Largest share of refused riders at which the face is still of use.

        Returns:
            0 when no gallery is small enough.
        """
        # The strictest score that the riders bear, and the strictest FMR that the tail bears.
        bearable = float(np.interp(fnir_limit, FNIR_SHARES, self.mated))
        if fnir_limit < FNIR_SHARES[0]:
            return 0
        fmr = max(self.fmr(bearable), self.fmr_min)
        return int(math.log1p(-target_fpir) / math.log1p(-fmr) + 1e-9)


@dataclass(frozen=True, slots=True)
class OpeningConfig:
    """When a face alone may open a gate."""

    target_fpir: float = 0.01
    """Share of strangers who may be taken for a rider, above 0, below 1. The project's goal is
    1e-4; the shipped models reach that only with small galleries (`models/README.md`)."""
    fnir_limit: float = 0.2
    """Largest expected share of riders sent to the code reader, 0.005 to 0.5: with more, a
    face gate is slower than none."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: One is out of range.
        """
        if not (0 < self.target_fpir < 1 and FNIR_SHARES[0] <= self.fnir_limit <= 0.5):
            raise ValueError(f"out of range: {self}")


def opening_threshold(
    calibration: Calibration, size: int, config: OpeningConfig
) -> Threshold | None:
    """Return the threshold for a gallery, or None where a face alone must not open.

    Args:
        calibration: Of the embedder that made the templates.
        size: Templates in the gallery, at least 1.
        config: Target and limit.
    """
    if size > calibration.gallery_max(config.target_fpir, config.fnir_limit):
        return None
    return calibration.threshold(size, config.target_fpir)


def fmr_for(size: int, target_fpir: float) -> float:
    """Return the FMR that gives a gallery its target FPIR.

    Args:
        size: Templates in the gallery, at least 1.
        target_fpir: Above 0, below 1.

    Raises:
        ValueError: An argument is out of range.
    """
    if size < 1 or not 0 < target_fpir < 1:
        raise ValueError(f"size {size}, target FPIR {target_fpir}")
    return -math.expm1(math.log1p(-target_fpir) / size)


def fit(
    impostor: npt.NDArray[np.floating],
    mated: npt.NDArray[np.floating],
    *,
    pairs: int,
    decades: float,
) -> Calibration:
    """Fit the figures to measured scores.

    Args:
        impostor: Scores of probes against templates of other people, shape (I,).
        mated: Scores of probes against their own templates, shape (M,).
        pairs: How many impostor scores are of different pictures; `impostor` may hold
            several splits of the same ones.
        decades: How far below the counted FMR the tail is believed, in powers of ten.

    Returns:
        The calibration.

    Raises:
        ValueError: There are too few scores for a tail.
    """
    if len(impostor) * TAIL_SHARE < RULE_OF_30 or len(mated) < RULE_OF_30:
        raise ValueError(f"{len(impostor)} impostor and {len(mated)} mated scores are too few")
    start = float(np.quantile(impostor, 1 - TAIL_SHARE))
    counted = RULE_OF_30 / pairs
    return Calibration(
        tail_from=start,
        tail_share=TAIL_SHARE,
        tail_mean=float((impostor[impostor > start] - start).mean()),
        fmr_counted=counted,
        fmr_min=counted * 10**-decades,
        mated=tuple(float(score) for score in np.quantile(mated, FNIR_SHARES)),
    )


def from_table(table: Mapping[str, Any]) -> Calibration:
    """Return the calibration of a pack's table in the manifest.

    Args:
        table: The fields of `Calibration`; others are notes for people.

    Raises:
        ValueError: A field is missing or out of range.
    """
    try:
        return Calibration(
            tail_from=float(table["tail_from"]),
            tail_share=float(table["tail_share"]),
            tail_mean=float(table["tail_mean"]),
            fmr_counted=float(table["fmr_counted"]),
            fmr_min=float(table["fmr_min"]),
            mated=tuple(float(score) for score in table["mated"]),
        )
    except KeyError as error:
        raise ValueError(f"the calibration has no {error}") from error
