"""The clips that a network is trained on: of one machine, or of all machines as one table (scope=all)."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from asd.config.schema import ALL_MACHINES, RunConfig
from asd.data.bad_clips import OnBadClip, read_clips
from asd.data.clips import ClipTable
from asd.data.readers.configured import reader_of
from asd.data.readers.contract import Reader, Reading


def read_training(config: RunConfig) -> Reading:
    """The clips of a run's machine; of all machines for the network that they share.

    Raises:
        ValueError: As of `read_clips` and `read_all`.
    """
    reader = reader_of(config.data)
    if config.machine == ALL_MACHINES:
        return read_all(reader, config.data.on_bad_clip)
    return read_clips(reader, config.machine, config.data.on_bad_clip)


def read_all(reader: Reader, on_bad_clip: OnBadClip) -> Reading:
    """The clips of all machines that a reader finds, as one table.

    Raises:
        ValueError: As of `read_clips`; or there are not several machines, or one has the name of all of them.
    """
    machines = reader.machines()
    if ALL_MACHINES in machines:
        raise ValueError(
            f"scope=all: a machine of data.root is called {ALL_MACHINES}, as is the network of all machines: give it "
            "another name, that of its folder or of its cells in the column machine"
        )
    if len(machines) < 2:
        raise ValueError(
            f"scope=all: data.root has one machine, {', '.join(machines) or 'or none'}: leave scope out, or give the "
            "folder or table that holds several"
        )
    readings = [read_clips(reader, machine, on_bad_clip) for machine in machines]
    return Reading(
        join([reading.table for reading in readings]),
        {path: why for reading in readings for path, why in reading.excluded.items()},
        {path: why for reading in readings for path, why in reading.ignored.items()},
        (together(machines), *dict.fromkeys(note for reading in readings for note in reading.notes)),
    )


def together(machines: Sequence[str]) -> str:
    """What is said of a network of several machines."""
    return f"one network for {len(machines)} machines (scope=all): {', '.join(machines)}"


def join(tables: Sequence[ClipTable]) -> ClipTable:
    """The clips of several machines as one table, sorted by path, its sections numbered through."""
    sections = [np.unique(table.section) for table in tables]
    first = np.cumsum([0, *map(len, sections)])
    owner = np.concatenate([np.full(len(table), table.machine) for table in tables])
    columns: dict[str, Any] = {
        column.name: np.concatenate([getattr(table, column.name) for table in tables])
        for column in fields(ClipTable)
        if isinstance(getattr(tables[0], column.name), np.ndarray)
    }
    columns["section"] = np.concatenate(
        [n + np.searchsorted(own, table.section) for n, own, table in zip(first, sections, tables, strict=False)]
    )
    names = [f"{table.machine}, section {n:02d}" for table, own in zip(tables, sections, strict=True) for n in own]
    whole = replace(
        tables[0], machine=ALL_MACHINES, section_names=dict(enumerate(names)), owner=owner, class_name=None, **columns
    )
    return whole.select(np.argsort(whole.path, kind="stable"))
