"""Fits the slope of each measure over time, and says what leaks.

The slope is Theil and Sen's: the median of the slopes between all pairs of samples, which a few
outliers do not move. Kendall's tau says how steadily a measure rises: 1 if every later sample is
larger, about 0 for one that only goes up and down.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

WARM = 0.2
"""Share of the samples at the start that is left out, as caches fill."""
SHORTEST = 15 * 60.0
"""Seconds of samples below which no verdict is given."""
MOST = 240
"""Samples that are fitted; of more, every n-th one."""
STEADY = 0.5
"""Kendall's tau above which a measure rises steadily."""
SHARE = 0.05
"""Growth in an hour, as a share of the median, above which a measure leaks."""
FLOORS = {
    "memory": 30 * 2**20,
    "files": 20.0,
    "threads": 5.0,
    "processes": 3.0,
    "data": 500 * 2**20,
    "bin": 500 * 2**20,
    "run": 500 * 2**20,
    "latency": 0.25,
}
"""By measure: growth in an hour, or in the whole run, that is never called a leak: bytes, numbers,
seconds. An hour's growth that a short run only lets one expect is too little to tell."""
LEAKS, STEADY_STATE, TOO_SHORT = "leaks", "steady", "too short to tell"


@dataclass(frozen=True)
class Slope:
    """The growth of one measure of one process."""

    process: str
    measure: str
    first: float
    """Median of the first tenth of the fitted samples."""
    last: float
    """Median of the last tenth."""
    hourly: float
    """Growth in an hour."""
    tau: float
    seconds: float
    """From the first fitted sample to the last."""
    verdict: str


def fit(
    process: str, measure: str, points: Sequence[tuple[float, float]], settling: float = 0
) -> Slope | None:
    """Fit (time in seconds, value); None with fewer than four samples.

    Args:
        settling: seconds from the start in which the measure may rise, since what it counts is kept
            for a time. Samples of a shorter run are fitted, without a verdict.
    """
    settled = [point for point in points if point[0] >= settling]
    long_enough = bool(settled) and settled[-1][0] - settled[0][0] >= SHORTEST
    points = settled if long_enough else points
    points = points[int(len(points) * WARM) :]
    step = -(-len(points) // MOST)
    points = points[:: max(1, step)]
    if len(points) < 4:
        return None
    slopes, signs = [], 0
    for (time, value), (later, other) in combinations(points, 2):
        if later > time:
            slopes.append((other - value) / (later - time))
            signs += (other > value) - (other < value)
    if not slopes:
        return None
    hourly, tau = median(slopes) * 3600, signs / len(slopes)
    tenth = max(1, len(points) // 10)
    first = median(value for _, value in points[:tenth])
    last = median(value for _, value in points[-tenth:])
    seconds = points[-1][0] - points[0][0]
    typical = median(value for _, value in points)
    floor = FLOORS.get(measure, 0.0)
    grows = hourly > max(floor, SHARE * typical) and tau > STEADY
    unseen = grows and last - first <= floor
    short = seconds < SHORTEST or unseen or (settling and not long_enough)
    verdict = TOO_SHORT if short else LEAKS if grows else STEADY_STATE
    return Slope(process, measure, first, last, hourly, tau, seconds, verdict)


def fit_all(samples: Iterable[dict], settling: Mapping[str, float]) -> list[Slope]:
    """Fit every measure of every process, from samples with ``at`` and ``processes``.

    Args:
        settling: by measure: see :func:`fit`.
    """
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for sample in samples:
        for process, measures in sample["processes"].items():
            for measure, value in measures.items():
                series.setdefault((process, measure), []).append((sample["at"], value))
    fitted = (
        fit(process, measure, points, settling.get(measure, 0))
        for (process, measure), points in sorted(series.items())
    )
    return [slope for slope in fitted if slope]
