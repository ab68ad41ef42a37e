"""Searches to error rates with their uncertainty, in the words of ISO/IEC 19795-1.

FPIR: the share of searches of people who are not enrolled that find somebody. FNIR: the share
of searches of enrolled people that do not find them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MISSED = -2.0
"""Score of a probe in which no face was found: below every cosine."""


@dataclass(frozen=True, slots=True, eq=False)
class Searches:
    """The outcome of every search of one gallery."""

    size: int
    """Templates in the gallery."""
    mated: npt.NDArray[np.float64]
    """Shape (M,): score of each rider's probe if the right rider ranked first, else `MISSED`."""
    mated_person: npt.NDArray[np.int64]
    """Shape (M,): whose probe it is; photos of one person err together."""
    strangers: npt.NDArray[np.float64]
    """Shape (S,): the best score of each probe of somebody who is not in the gallery."""
    stranger_person: npt.NDArray[np.int64]
    """Shape (S,): whose probe it is."""


@dataclass(frozen=True, slots=True)
class Rate:
    """An error rate with its uncertainty."""

    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""


@dataclass(frozen=True, slots=True)
class Miss:
    """FNIR at a target FPIR."""

    target_fpir: float
    fnir: Rate
    score: float
    """The threshold that the strangers of this very set put at the target."""
    enough: bool
    """Whether there are enough strangers to speak of this FPIR at all."""


def rank_one(searches: Searches) -> Rate:
    """Return the share of riders' probes whose best candidate is the rider.

    Args:
        searches: Of one gallery.
    """
    rate = _bootstrapped(searches, lambda mated, _: float((mated > MISSED).mean()))
    if rate.value < 1:
        return rate
    return Rate(1.0, min(rate.low, 1 - _rule_of_three(searches)), 1.0)


def miss(searches: Searches, target_fpir: float) -> Miss:
    """Return the share of riders' probes that are not recognised at a target FPIR.

    Args:
        searches: Of one gallery.
        target_fpir: Share of strangers who may be taken for somebody, above 0, below 1.
    """

    def fnir(mated: npt.NDArray[np.float64], strangers: npt.NDArray[np.float64]) -> float:
        return float((mated < threshold_at(strangers, target_fpir)).mean())

    rate = _bootstrapped(searches, fnir)
    if rate.value == 0:
        rate = Rate(0.0, 0.0, max(rate.high, _rule_of_three(searches)))
    # Below 3 expected events the interval says nothing about the threshold itself.
    enough = len(searches.strangers) * target_fpir >= 3
    return Miss(target_fpir, rate, threshold_at(searches.strangers, target_fpir), enough)


def threshold_at(strangers: npt.NDArray[np.float64], target_fpir: float) -> float:
    """Return the least score that at most the target share of strangers reaches.

    Args:
        strangers: Best score of each stranger's probe, shape (S,).
        target_fpir: Above 0, below 1.
    """
    allowed = int(target_fpir * len(strangers) + 1e-9)
    ranked = np.sort(strangers)[::-1]
    return float(np.nextafter(ranked[min(allowed, len(ranked) - 1)], 2.0))


def at_score(searches: Searches, score: float) -> tuple[float, float]:
    """Return FPIR and FNIR at a fixed score.

    Args:
        searches: Of one gallery.
        score: Cosine.
    """
    return float((searches.strangers >= score).mean()), float((searches.mated < score).mean())


def det(searches: Searches) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the detection error trade-off.

    Args:
        searches: Of one gallery.

    Returns:
        FPIR and FNIR at every score that a stranger reached, each shape (K,).
    """
    scores = np.unique(searches.strangers)
    fpir, fnir = zip(*(at_score(searches, float(score)) for score in scores), strict=True)
    return np.array(fpir), np.array(fnir)


def _rule_of_three(searches: Searches) -> float:
    """Return what none seen among n people still allows at 95 %: 3/n."""
    return min(1.0, 3 / len(np.unique(searches.mated_person)))


def _bootstrapped(
    searches: Searches,
    statistic: Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], float],
    *,
    rounds: int = 300,
) -> Rate:
    """Return a statistic of (mated, strangers) with its 95 % interval over redrawn people."""
    random = np.random.default_rng(0)  # the same interval for the same photos
    mated, strangers = _by_person(searches)
    values = []
    for _ in range(rounds):
        riders = random.integers(len(mated), size=len(mated))
        others = random.integers(len(strangers), size=len(strangers)) if strangers else ()
        again = np.concatenate([strangers[i] for i in others]) if strangers else np.empty(0)
        values.append(statistic(np.concatenate([mated[i] for i in riders]), again))
    low, high = np.quantile(values, (0.025, 0.975))
    return Rate(statistic(searches.mated, searches.strangers), float(low), float(high))


def _by_person(
    searches: Searches,
) -> tuple[list[npt.NDArray[np.float64]], list[npt.NDArray[np.float64]]]:
    sides = (
        (searches.mated, searches.mated_person),
        (searches.strangers, searches.stranger_person),
    )
    mated, strangers = (
        [scores[people == person] for person in np.unique(people)] for scores, people in sides
    )
    return mated, strangers
