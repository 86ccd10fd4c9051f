"""Several systems as one: their clip scores averaged, and the report's four submissions (Report 2.5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

How = Literal["mean", "zscore", "rank"]

SUBMISSION_SIZES = (1, 3, 5, None)  # Report 2.5: the best, top 3, top 5, all


@dataclass(frozen=True)
class Submission:
    """An ensemble of the report's kind.

    Attributes:
        name: `submission1` … `submission4`.
        members: its systems, best first.
        wanted: how many the report takes; None: all there are.
        oracle: whether labelled test clips chose the members.
    """

    name: str
    members: tuple[str, ...]
    wanted: int | None
    oracle: bool

    @property
    def note(self) -> str:
        """What a table has to say beside the row, such as `oracle, 2 of 5 members`."""
        have = len(self.members)
        if self.wanted is None:
            size = f"all {have}" if have > 1 else "only 1 member"
        else:
            size = f"{have} of {self.wanted} members" if have < self.wanted else ""
        return ", ".join(part for part in ("oracle" if self.oracle else "", size) if part)


def combine(
    scores: Mapping[str, NDArray[np.floating]], how: How, *, is_train: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The mean of several systems' scores for the clips of one machine.

    Args:
        scores: scores of each system (clips,), all in the same order of clips.
        how: `mean` of the scores as they are; `zscore`: each system first scaled by the mean and standard
            deviation of its training clips' scores; `rank`: each score first replaced by its average rank
            among the system's test scores, divided by their number.
        is_train: which clips are training clips (clips,).

    Returns:
        Scores (clips,), for training clips too.

    Raises:
        ValueError: if there is no system, lengths differ, `how` is unknown, a score is not finite, or a
            system's training (zscore) or test (rank) clips cannot serve as the scale.
    """
    if not scores:
        raise ValueError("no system to combine; give at least one")
    if how not in get_args(How):
        raise ValueError(f"ensemble is {how!r}; give one of {', '.join(get_args(How))}")
    scaled = [_scaled(system, np.asarray(s, np.float64), how, is_train) for system, s in scores.items()]
    return np.mean(scaled, axis=0)


def oracle_order(hmean_auc: Mapping[str, float]) -> list[str]:
    """Systems from the best to the worst harmonic mean AUC on labelled test clips, equal ones by name.

    The report chose its submissions 1–3 in this way; what follows from it is marked *oracle*.

    Raises:
        ValueError: if a figure is NaN.
    """
    for system, value in hmean_auc.items():
        if np.isnan(value):
            raise ValueError(f"{system}: the harmonic mean AUC is NaN; it cannot be ranked")
    return sorted(hmean_auc, key=lambda system: (-hmean_auc[system], system))


def submissions(ordered: Sequence[str]) -> list[Submission]:
    """The four submissions of Report 2.5 from systems ordered best first; they take what there is.

    Raises:
        ValueError: if there is no system or one stands twice.
    """
    if not ordered or len(set(ordered)) != len(ordered):
        raise ValueError(f"submissions of {list(ordered)}; give at least one system, each once")
    return [
        Submission(f"submission{number}", tuple(ordered[:size]), size, oracle=size is not None)
        for number, size in enumerate(SUBMISSION_SIZES, start=1)
    ]


def _scaled(system: str, score: NDArray[np.float64], how: How, is_train: NDArray[np.bool_]) -> NDArray[np.float64]:
    if score.shape != is_train.shape:
        raise ValueError(f"{system}: {score.size} scores for {is_train.size} clips; score the run again")
    if not np.isfinite(score).all():
        raise ValueError(f"{system}: {int((~np.isfinite(score)).sum())} scores are NaN or infinite")
    if how == "zscore":
        return _standardised(system, score, is_train)
    if how == "rank":
        return _ranked(system, score, is_train)
    return score


def _standardised(system: str, score: NDArray[np.float64], is_train: NDArray[np.bool_]) -> NDArray[np.float64]:
    training = score[is_train]
    if training.size == 0 or np.ptp(training) == 0:
        raise ValueError(f"{system}: zscore needs training clips whose scores differ; use mean or rank")
    return (score - training.mean()) / training.std()


def _ranked(system: str, score: NDArray[np.float64], is_train: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average rank among the test scores ÷ their number; a training clip gets the rank it would stand at."""
    test = np.sort(score[~is_train])
    if test.size == 0:
        raise ValueError(f"{system}: rank needs test clips; use mean or zscore")
    below, up_to = np.searchsorted(test, score, "left"), np.searchsorted(test, score, "right")
    return (below + up_to + 1) / 2 / test.size
