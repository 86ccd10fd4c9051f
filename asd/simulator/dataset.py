"""The simulated factory as a data set: layout, names and format of DCASE 2021 Task 2, or of another edition.

    simulate(Path("data/simulated"), machines=["fan"], sections=3, source=100, test=25)

How it sounds stands in `asd/simulator/`; what it is and what it is not in docs/simulator.md.
"""

import io
import os
import wave
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import default_rng

from asd.data.clip_names import MACHINES_2022
from asd.data.clips import MACHINES
from asd.simulator.oscillators import N_SAMPLES, RATE
from asd.simulator.recording import HIDDEN_LABELS, Recording, render, site
from asd.system.cores import n_cores
from asd.system.files import make_folder, remove_leftovers, write_bytes, write_csv, write_json
from asd.system.parent import follow_parent
from asd.system.progress import say, track
from asd.system.reading import read_json

SIMULATOR_VERSION = 1  # of the sound; another sound is another version (docs/simulator.md)
N_DEVELOPMENT = 3  # sections; the others are additional training data and evaluation
RECORD = "simulated.json"
NEAR_AND_FAR = (0.0, -6.0)  # dB, machine over background at the microphones of 2026
CLEAN = (60.0,)  # dB: the machine alone
DOMAINS = ("source", "target")
USUAL: dict[str, Any] = {"edition": "2021", "nearness": 0.0}
MOST_NEARNESS = 60.0  # dB
FEW = 24  # clips that are made sooner than workers start


@dataclass(frozen=True)
class Naming:
    """What an edition calls clips, below `<set>/<machine>/`.

    Attributes:
        train: A training clip.
        test: A test clip of a development section.
        hidden: A test clip whose label is not told.
        domains: That there are.
        has_attribute_files: Whether a list of attributes lies beside the clips of each section.
        supplement: A clip of the machine alone; empty where there are none.
        microphones: Of each channel, dB that the machine is louder over the background than at the usual place.
    """

    train: str
    test: str
    hidden: str
    domains: tuple[str, ...] = DOMAINS
    has_attribute_files: bool = False
    supplement: str = ""
    microphones: tuple[float, ...] = (0.0,)


TRAIN = "train/section_{section:02d}_{domain}_train_normal_{index:04d}_{attributes}.wav"
NAMING_2022 = Naming(
    TRAIN,
    "test/section_{section:02d}_{domain}_test_{label}_{index:04d}_{attributes}.wav",
    "test/section_{section:02d}_{index:04d}.wav",
    has_attribute_files=True,
)
NAMINGS = {
    "2020": Naming(
        "train/normal_id_{section:02d}_{index:08d}.wav",
        "test/{label}_id_{section:02d}_{index:08d}.wav",
        "test/id_{section:02d}_{index:08d}.wav",
        DOMAINS[:1],
    ),
    "2021": Naming(
        TRAIN,
        "{domain}_test/section_{section:02d}_{domain}_test_{label}_{index:04d}.wav",
        "{domain}_test/section_{section:02d}_{domain}_test_{index:04d}.wav",
    ),
    **dict.fromkeys(("2022", "2023", "2024"), NAMING_2022),
    "2025": replace(NAMING_2022, supplement="supplemental/section_{section:02d}_machine_{index:04d}_.wav"),
    "2026": replace(NAMING_2022, microphones=NEAR_AND_FAR),
}
FIRST_SHOT = ("2023", "2024", "2025", "2026")  # one section of each machine, other machines in the evaluation


class Take(NamedTuple):
    """A clip to be written.

    Attributes:
        recording: What it is of.
        microphones: Of each channel, as of `Naming`.
    """

    recording: Recording
    microphones: tuple[float, ...]

    @property
    def n_bytes(self) -> int:
        """Of its file."""
        return 44 + 2 * N_SAMPLES * len(self.microphones)


@dataclass(frozen=True)
class Sizes:
    """How large the data set of a machine is, and its seed: what makes two data sets the same.

    Attributes:
        sections: Of each machine.
        source: Training clips of a section in the source domain.
        target: Training clips of a section in the target domain.
        test: Normal, and as many anomalous, test clips per section and domain.
        seed: Same seed, same bytes.
        edition: Whose layout and names; the sound is the same.
        nearness: How much louder over the background the machine is than at the usual microphone, dB.
    """

    sections: int
    source: int
    target: int
    test: int
    seed: int
    edition: str = "2021"
    nearness: float = 0.0

    def __post_init__(self) -> None:
        """Refuses what cannot be named or seeded."""
        if self.edition not in NAMINGS:
            raise ValueError(f"edition={self.edition}: not simulated; there are {', '.join(NAMINGS)}")
        n_sections = 1 if self.edition in FIRST_SHOT else 100
        n_test = 5_000 if self.edition in ("2020", "2021") else 2_500  # numbers of both domains in four digits
        most = {"sections": n_sections, "source": 10_000, "target": 10_000, "test": n_test}
        for key, limit in most.items():
            least, given = int(key == "sections"), getattr(self, key)
            if not least <= given <= limit:
                raise ValueError(f"{key}={given}: the simulated factory of {self.edition} takes {least} to {limit}")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed}: must not be negative")
        if not abs(self.nearness) <= MOST_NEARNESS:
            raise ValueError(f"nearness={self.nearness}: give -{MOST_NEARNESS:g} to {MOST_NEARNESS:g} dB")

    @property
    def naming(self) -> Naming:
        """What clips are called."""
        return NAMINGS[self.edition]

    @property
    def microphones(self) -> tuple[float, ...]:
        """Of each channel, dB that the machine is louder over the background than at the usual place."""
        return tuple(self.nearness + channel for channel in self.naming.microphones)

    def record(self) -> dict[str, Any]:
        """What the data set's own file says of it; what is usual is not told, as before there was a choice."""
        return {key: value for key, value in asdict(self).items() if USUAL.get(key) != value}


def simulate(
    root: Path,
    *,
    machines: Sequence[str],
    sections: int = 6,
    source: int = 1000,
    target: int = 3,
    test: int = 100,
    seed: int = 0,
    edition: str = "2021",
    nearness: float = 0.0,
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
        edition: Whose layout and names the clips have; the first-shot editions from 2023 on have one section, and
            machines that their development data do not have (pump) are those of the evaluation.
        nearness: How much louder over the background the machine is than at the usual microphone, dB; below 0: fainter.
        workers: Processes; one per available core if None.
        progress: Whether to show a progress bar, and to say when nothing was missing.

    Raises:
        ValueError: An unknown machine, a size out of range, or a folder with something else in it.
    """
    sizes = Sizes(sections, source, target, test, seed, edition, nearness)
    unknown = sorted(set(machines) - set(MACHINES))
    if unknown:
        raise ValueError(f"machines={unknown}: not simulated; there are {', '.join(MACHINES)}")
    root = Path(root)
    claim(root, sizes)
    todo = [(path, clip) for machine in machines for path, clip in missing(root, machine, sizes)]
    if sizes.naming.has_attribute_files:
        for machine in machines:
            write_attributes(root, machine, sizes)
    if todo:
        write_all(todo, workers or n_cores(), progress)
    elif progress:
        say(f"{root}: {', '.join(machines)} complete, nothing to simulate")


def claim(root: Path, sizes: Sizes) -> None:
    """Marks a new folder as a simulated factory of these sizes, or checks that it is one.

    Raises:
        ValueError: There is something else.
    """
    ours = {"simulator": SIMULATOR_VERSION, **sizes.record()}
    record = root / RECORD
    remove_leftovers(root, below=False)
    if record.is_file():
        theirs = read_json(record, dict[str, Any])
        differing = [
            f"{key} {theirs.get(key, USUAL.get(key))} there, {ours.get(key, USUAL.get(key))} asked"
            for key in ours | theirs
            if theirs.get(key) != ours.get(key)
        ]
        if differing:
            what = "; ".join(differing)
            raise ValueError(f"{root}: a simulated factory with other parameters ({what}). Choose another folder")
    elif root.is_dir() and any(not path.name.startswith(".") for path in root.iterdir()):
        raise ValueError(f"{root}: neither empty nor a simulated factory (no {RECORD}). Choose another folder")
    else:
        write_json(record, ours)


def missing(root: Path, machine: str, sizes: Sizes) -> Iterator[tuple[Path, Take]]:
    """The clips of a machine that are not there as a whole, with their paths."""
    there: dict[Path, dict[str, int]] = {}
    for relative, clip in clips(machine, sizes):
        path = root / relative
        if path.parent not in there:
            make_folder(path.parent)
            remove_leftovers(path.parent, below=False)
            there[path.parent] = {entry.name: entry.stat().st_size for entry in os.scandir(path.parent)}
        if there[path.parent].get(path.name) != clip.n_bytes:
            yield path, clip


def clips(machine: str, sizes: Sizes) -> Iterator[tuple[str, Take]]:
    """The relative path and the content of every clip of a machine, section by section."""
    naming, is_new = sizes.naming, sizes.edition in FIRST_SHOT and machine not in MACHINES_2022
    for section, number in product(range(sizes.sections), range(len(naming.domains))):
        domain, n_train = naming.domains[number], (sizes.source, sizes.target)[number]
        recording = partial(Recording, sizes.seed, machine, section, domain)
        is_hidden = is_new or section >= N_DEVELOPMENT
        folder = f"{'eval' if is_hidden else 'dev'}_data/{machine}"
        facts = {
            "section": section,
            "domain": domain,
            "attributes": site(sizes.seed, machine, section, domain).attributes,
        }
        for index in range(n_train):
            take = Take(recording("train", "normal", index), sizes.microphones)
            yield f"{folder}/{naming.train.format(index=index, **facts)}", take
        for index in range(sizes.test if naming.supplement and number == 0 else 0):
            name = naming.supplement.format(index=index, **facts)
            yield f"{folder}/{name}", Take(recording("train", "normal", n_train + index), CLEAN)
        # Where names hide the domain too, its clips are numbered after those of the domain before.
        first = 0 if "domain" in naming.hidden else 2 * sizes.test * number
        for pair in range(sizes.test):
            labels = hidden_labels(recording("test", "", pair)) if is_hidden else ("normal", "anomaly")
            for place, label in enumerate(labels):
                told = naming.test.format(index=pair, label=label, **facts)
                name = naming.hidden.format(index=first + 2 * pair + place, **facts) if is_hidden else told
                yield f"{folder}/{name}", Take(recording("test", label, pair), sizes.microphones)


def write_attributes(root: Path, machine: str, sizes: Sizes) -> None:
    """Lists the attributes of the clips whose names tell them, in a file for each section."""
    rows: dict[Path, list[tuple[str, ...]]] = {}
    for path, (clip, _) in clips(machine, sizes):
        folder, name = path.rsplit("/", 2)[0], path.rpartition("/")[2]
        words = site(clip.seed, machine, clip.section, clip.domain).attributes.split("_")
        if "_".join(words) in name:
            rows.setdefault(root / folder / f"attributes_{clip.section:02d}.csv", []).append((path, *words))
    for file, lines in rows.items():
        write_csv(file, ("file_name", "d1p", "d1v", "d2p", "d2v", "d3v"), lines)


def hidden_labels(pair: Recording) -> tuple[str, str]:
    """The labels of two neighbouring clips whose names do not tell: one of each, in random order."""
    key = [HIDDEN_LABELS, pair.seed, MACHINES.index(pair.machine), pair.section, DOMAINS.index(pair.domain), pair.index]
    return ("normal", "anomaly") if default_rng(key).random() < 0.5 else ("anomaly", "normal")


def write_all(todo: Sequence[tuple[Path, Take]], workers: int, progress: bool) -> None:
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


def write_clip(task: tuple[Path, Take]) -> None:
    """Writes one clip: whole and flushed to the disk, or not at all."""
    path, (clip, microphones) = task
    channels = [render(clip, nearness) for nearness in microphones]
    samples = np.stack(channels, axis=1).astype("<i2").tobytes()
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(len(microphones))
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples)
    write_bytes(path, buffer.getvalue())
