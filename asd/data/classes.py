"""What a classifier tells apart: machines, sections, attributes, domains, or clusters of similar training clips."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asd.data.clips import ClipTable
from asd.system.progress import track

if TYPE_CHECKING:
    from asd.data.waveforms import WaveformBank

CLUSTERS = "clusters-"
N_STARTS = 10  # of k-means; the best is taken


def n_clusters(kind: str) -> int:
    """How many clusters each section has; 0 where classes are no clusters."""
    return int(kind.removeprefix(CLUSTERS)) if kind.startswith(CLUSTERS) else 0


def told_classes(table: ClipTable, kind: str) -> NDArray[np.str_]:
    """The class of each clip by what is known of it, (clips,).

    Args:
        table: The clips.
        kind: machine, section, attributes (a class for each section and attribute), attributes_domain (and for each
            domain).
    """
    if kind == "machine":
        return np.full(len(table), table.machine) if table.owner is None else table.owner
    columns = {"section": (), "attributes": (table.attributes,), "attributes_domain": (table.attributes, table.domain)}
    parts = zip(table.section.tolist(), *(column.tolist() for column in columns[kind]), strict=True)
    return np.array([", ".join([table.section_title(number), *filter(None, told)]) for number, *told in parts], np.str_)


def cluster_classes(
    table: ClipTable, bank: WaveformBank, n: int, *, sample_rate: int, seed: int, progress: bool
) -> NDArray[np.str_]:
    """Pseudo-classes: k-means of the mean log-mel spectra of the training clips of each section.

    Args:
        table: The clips; only training clips are looked at.
        bank: Their waveforms.
        n: Clusters of a section.
        sample_rate: Of the waveforms, in Hz.
        seed: Of the first centres.
        progress: Whether to show a progress bar.

    Returns:
        (clips,) such as "section 00, cluster 03"; the section alone for test clips, which are of no cluster.

    Raises:
        ValueError: A section has too few different training clips.
    """
    from asd.scoring.logmel import mean_log_mel  # scipy.signal takes a second

    found = told_classes(table, "section").astype(object)
    for section in table.sections:
        rows = np.flatnonzero(table.is_train & (table.section == section))
        clips = track(rows.tolist(), f"log-mel of {table.section_title(section)}", show=progress)
        spectra = np.stack([mean_log_mel(bank.waveform(row), sample_rate) for row in clips])
        for row, cluster in zip(rows, k_means(spectra, n, seed), strict=True):
            found[row] = f"{found[row]}, cluster {cluster:02d}"
    return found.astype(np.str_)


def check_clusters(table: ClipTable, n: int) -> None:
    """Raises ValueError where a section has fewer training clips than it is to have clusters."""
    for section in table.sections:
        n_clips = int((table.is_train & (table.section == section)).sum())
        if n_clips < n:
            place = table.section_title(section) + (f" of {table.machine}" if table.owner is None else "")
            raise ValueError(
                f"classes={CLUSTERS}{n}: {place} has {n_clips} training clips; give at most "
                f"classes={CLUSTERS}{n_clips}, better a tenth of that"
            )


def k_means(points: NDArray[np.float64], n: int, seed: int) -> NDArray[np.int64]:
    """The cluster of each point (points, dim), numbered in the order in which they first appear.

    Raises:
        ValueError: Fewer points differ than there are to be clusters.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    n_distinct = len(np.unique(points, axis=0))
    if n_distinct < n:
        raise ValueError(f"classes={CLUSTERS}{n}: {n_distinct} training clips of a section differ; give fewer clusters")
    with threadpool_limits(1), warnings.catch_warnings():  # several threads would add up in any order
        warnings.simplefilter("ignore", ConvergenceWarning)  # of nearly equal points
        labels = KMeans(n, n_init=N_STARTS, random_state=seed).fit_predict(points)
    _, first, number = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number]
