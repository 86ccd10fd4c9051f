"""The simulated factory as a data set: layout, names and format of DCASE 2021 Task 2.

    simulate(Path("data/simulated"), machines=["fan"], sections=3, source=100, test=25)

How it sounds stands in `asd/simulator/`; what it is and what it is not in docs/simulator.md.
"""

import io
import os
import wave
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from numpy.random import default_rng

from asd.data.clips import MACHINES
from asd.simulator.oscillators import N_SAMPLES, RATE
from asd.simulator.recording import HIDDEN_LABELS, Recording, render, site
from asd.system.cores import n_cores
from asd.system.files import remove_leftovers, write_bytes, write_json
from asd.system.parent import follow_parent
from asd.system.progress import say, track
from asd.system.reading import read_json

SIMULATOR_VERSION = 1  # of the sound; another sound is another version (docs/simulator.md)
N_DEVELOPMENT = 3  # sections; the others are additional training data and evaluation
RECORD = "simulated.json"
CLIP_BYTES = 44 + 2 * N_SAMPLES
DOMAINS = ("source", "target")
FEW = 24  # clips that are made sooner than workers start


@dataclass(frozen=True)
class Sizes:
    """How large the data set of a machine is, and its seed: what makes two data sets the same.

    Attributes:
        sections: Of each machine.
        source: Training clips of a section in the source domain.
        target: Training clips of a section in the target domain.
        test: Normal, and as many anomalous, test clips per section and domain.
        seed: Same seed, same bytes.
    """

    sections: int
    source: int
    target: int
    test: int
    seed: int

    def __post_init__(self) -> None:
        """Refuses what cannot be named or seeded."""
        most = {"sections": 100, "source": 10_000, "target": 10_000, "test": 5_000}
        for key, limit in most.items():
            least, given = int(key == "sections"), getattr(self, key)
            if not least <= given <= limit:
                raise ValueError(f"{key}={given}: the simulated factory takes {least} to {limit}")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed}: must not be negative")


def simulate(
    root: Path,
    *,
    machines: Sequence[str],
    sections: int = 6,
    source: int = 1000,
    target: int = 3,
    test: int = 100,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> None:
    """Makes the machines that are missing under `root`, or what is missing of them.

    The clips are a function of seed, machine, section, domain, split, label and index alone: neither the number of
    workers nor that of clips changes one. Machines may be added later, with the same sizes. Workers are fresh
    interpreters: a script that calls this needs the usual `if __name__ == "__main__":`.

    Args:
        root: Folder of the data set; new, empty, or made here with the same sizes and seed.
        machines: Names of machines.
        sections: Of each machine; from the fourth on they go to `eval_data`.
        source: Training clips of a section in the source domain.
        target: Training clips of a section in the target domain.
        test: Normal, and as many anomalous, test clips per section and domain.
        seed: Other seeds are other factories.
        workers: Processes; one per available core if None.
        progress: Whether to show a progress bar, and to say when nothing was missing.

    Raises:
        ValueError: An unknown machine, a size out of range, or a folder with something else in it.
    """
    sizes = Sizes(sections, source, target, test, seed)
    unknown = sorted(set(machines) - set(MACHINES))
    if unknown:
        raise ValueError(f"machines={unknown}: not simulated; there are {', '.join(MACHINES)}")
    root = Path(root)
    claim(root, sizes)
    todo = [(path, clip) for machine in machines for path, clip in missing(root, machine, sizes)]
    if todo:
        write_all(todo, workers or n_cores(), progress)
    elif progress:
        say(f"{root}: {', '.join(machines)} complete, nothing to simulate")


def claim(root: Path, sizes: Sizes) -> None:
    """Marks a new folder as a simulated factory of these sizes, or checks that it is one.

    Raises:
        ValueError: There is something else.
    """
    ours = {"simulator": SIMULATOR_VERSION, **asdict(sizes)}
    record = root / RECORD
    remove_leftovers(root, below=False)
    if record.is_file():
        theirs = read_json(record, dict[str, Any])
        differing = [
            f"{key} {theirs.get(key)} there, {ours[key]} asked" for key in ours if theirs.get(key) != ours[key]
        ]
        if differing:
            what = "; ".join(differing)
            raise ValueError(f"{root}: a simulated factory with other parameters ({what}). Choose another folder")
    elif root.is_dir() and any(not path.name.startswith(".") for path in root.iterdir()):
        raise ValueError(f"{root}: neither empty nor a simulated factory (no {RECORD}). Choose another folder")
    else:
        write_json(record, ours)


def missing(root: Path, machine: str, sizes: Sizes) -> Iterator[tuple[Path, Recording]]:
    """The clips of a machine that are not there as a whole, with their paths."""
    there: dict[Path, dict[str, int]] = {}
    for relative, clip in clips(machine, sizes):
        path = root / relative
        if path.parent not in there:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path.parent, below=False)
            there[path.parent] = {entry.name: entry.stat().st_size for entry in os.scandir(path.parent)}
        if there[path.parent].get(path.name) != CLIP_BYTES:
            yield path, clip


def clips(machine: str, sizes: Sizes) -> Iterator[tuple[str, Recording]]:
    """The relative path and the content of every clip of a machine, section by section."""
    for section in range(sizes.sections):
        for domain, n_train in zip(DOMAINS, (sizes.source, sizes.target), strict=True):
            clip = partial(Recording, sizes.seed, machine, section, domain)
            stem = f"section_{section:02d}_{domain}"
            folder = f"{'dev' if section < N_DEVELOPMENT else 'eval'}_data/{machine}"
            attributes = site(sizes.seed, machine, section, domain).attributes
            for index in range(n_train):
                name = f"{stem}_train_normal_{index:04d}_{attributes}.wav"
                yield f"{folder}/train/{name}", clip("train", "normal", index)
            for pair in range(sizes.test):
                labels = ("normal", "anomaly") if section < N_DEVELOPMENT else hidden_labels(clip("test", "", pair))
                for place, label in enumerate(labels):
                    shown = f"{label}_{pair:04d}" if section < N_DEVELOPMENT else f"{2 * pair + place:04d}"
                    yield f"{folder}/{domain}_test/{stem}_test_{shown}.wav", clip("test", label, pair)


def hidden_labels(pair: Recording) -> tuple[str, str]:
    """The labels of two neighbouring clips whose names do not tell: one of each, in random order."""
    key = [HIDDEN_LABELS, pair.seed, MACHINES.index(pair.machine), pair.section, DOMAINS.index(pair.domain), pair.index]
    return ("normal", "anomaly") if default_rng(key).random() < 0.5 else ("anomaly", "normal")


def write_all(todo: Sequence[tuple[Path, Recording]], workers: int, progress: bool) -> None:
    """Writes clips, in several processes where that is faster."""
    show = partial(track, title="simulating", total=len(todo), show=progress)
    if workers == 1 or len(todo) <= FEW:
        for _ in show(map(write_clip, todo)):
            pass
        return
    # Fresh interpreters: the caller may already run threads, which a fork does not survive.
    pool = ProcessPoolExecutor(min(workers, len(todo)), mp_context=get_context("spawn"), initializer=follow_parent)
    try:
        for _ in show(pool.map(write_clip, todo, chunksize=8)):
            pass
    except BrokenProcessPool:
        raise OSError(
            "a worker of the simulator was ended, as the system does when memory runs out: take fewer, workers=1, and "
            "type the same command again, which makes what is missing"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def write_clip(task: tuple[Path, Recording]) -> None:
    """Writes one clip: whole and flushed to the disk, or not at all."""
    path, clip = task
    samples = render(clip).astype("<i2").tobytes()
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples)
    write_bytes(path, buffer.getvalue())
