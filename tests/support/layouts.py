"""The same real recordings as people keep them: eight layouts, and the original (docs/data.md)."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from asd.data.clips import ClipTable
from tests.support.factory import RATE, scan_machine


@dataclass(frozen=True)
class Original:
    """One recording of the original.

    Attributes:
        path: Of the file.
        section: Number of the individual.
        domain: source or target.
        split: train or test.
        label: normal or anomaly.
        name: A name that no other has, and that sorts as the original does.
        seconds: How much of it is used.
    """

    path: Path
    section: int
    domain: str
    split: str
    label: str
    name: str
    seconds: float = 10

    def samples(self) -> np.ndarray:
        """(samples,) int16."""
        return soundfile.read(self.path, frames=int(self.seconds * RATE), dtype="int16")[0]


def originals(root: Path) -> list[Original]:
    """All recordings of the fan, in the order of their table."""
    table: ClipTable = scan_machine(root, "fan")
    columns = (table.section, table.domain, table.split, table.label)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [Original(table.absolute(row), *facts, f"{row:04d}") for row, facts in enumerate(rows)]


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    """Writes a recording in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16")


def word(one: Original) -> str:
    """normal or abnormal, as folders are called."""
    return "normal" if one.label == "normal" else "abnormal"


def two_folders(root: Path, clips: list[Original]) -> None:
    """(a) normal/ and abnormal/; those that are trained on in train/."""
    for one in clips:
        write(root / ("train" if one.split == "train" else word(one)) / f"{one.name}.wav", one.samples())


def mimii(root: Path, clips: list[Original]) -> None:
    """(b) MIMII's tree with eight channels, each of another loudness."""
    gains = np.linspace(1, 0.3, 8)
    for one in clips:
        channels = np.round(one.samples()[:, None] * gains).astype(np.int16)
        write(root / f"fan/id_{2 * one.section:02d}/{word(one)}/{one.name}.wav", channels)


def odd_table(root: Path, clips: list[Original]) -> None:
    """(c) A table with column names of its own."""
    root.mkdir(parents=True)
    with open(root / "Messungen.csv", "w", newline="", encoding="utf-8-sig") as file:
        rows = csv.writer(file, delimiter=";")
        rows.writerow(["Datei", "Zustand", "Lüfter", "Menge"])
        for one in clips:
            write(root / "sound" / f"{one.name}.wav", one.samples())
            state = "i.O." if one.label == "normal" else "n.i.O."
            rows.writerow([f"sound/{one.name}.wav", state, f"Nr. {one.section}", one.split])


def stereo_flac(root: Path, clips: list[Original]) -> None:
    """(d) 44.1 kHz stereo FLAC with spaces and umlauts in the path."""
    for one in clips:
        wide = soxr.resample(one.samples().astype(np.float32), RATE, 44_100, quality="VHQ")
        stereo = np.clip(np.round(wide), -32768, 32767).astype(np.int16)[:, None].repeat(2, axis=1)
        folder = "train" if one.split == "train" else word(one)
        write(root / folder / f"Lüfter in Halle 3 {one.name}.flac", stereo, 44_100)


def long_recordings(root: Path, clips: list[Original]) -> None:
    """(e) One long recording for each condition: the microphone, the individual, the label."""
    conditions: dict[str, list[np.ndarray]] = {}
    for one in clips:
        conditions.setdefault(f"{word(one)}/{one.domain} {one.section}.wav", []).append(one.samples())
    for path, parts in conditions.items():
        write(root / path, np.concatenate(parts))


def names_2020(root: Path, clips: list[Original]) -> None:
    """(f) DCASE 2020."""
    for one in clips:
        write(root / f"dev_data/fan/{one.split}/{one.label}_id_{one.section:02d}_0000{one.name}.wav", one.samples())


def layout_2022(root: Path, clips: list[Original]) -> None:
    """(g) DCASE 2022 with attribute files."""
    for section in {one.section for one in clips}:
        lines = []
        for one in (one for one in clips if one.section == section):
            name = f"section_{section:02d}_{one.domain}_{one.split}_{one.label}_{one.name}.wav"
            write(root / f"dev_data/fan/{one.split}/{name}", one.samples())
            lines.append(f"dev_data/fan/{one.split}/{name},mic,{'0' if one.domain == 'source' else '4'}\n")
        text = "file_name,d1p,d1v\n" + "".join(lines)
        (root / f"dev_data/fan/attributes_{section:02d}.csv").write_text(text, encoding="utf-8")


def blind_2023(root: Path, clips: list[Original]) -> None:
    """(h) The evaluation data of DCASE 2023: one section, names that tell neither label nor domain."""
    for one in (one for one in clips if one.section == 0):
        told = f"section_00_{one.domain}_train_normal_{one.name}_mic_{one.domain}.wav"
        name = told if one.split == "train" else f"section_00_{one.name}.wav"
        write(root / f"eval_data/grinder/{one.split}/{name}", one.samples())


@dataclass(frozen=True)
class Layout:
    """One way to keep the recordings.

    Attributes:
        make: Writes them below a folder.
        machine: What the machine is called then.
        answers: Keys that answer what `asd data describe` leaves open.
        groups: Clips by section, split and label, as (section, split, label): number.
        place: What `describe` is given, relative to the folder.
    """

    make: Callable[[Path, list[Original]], None]
    machine: str
    groups: dict[tuple[int, str, str], int]
    answers: tuple[str, ...] = ()
    place: str = "."


TRAIN, NORMAL, ANOMALY, BLIND = ("train", "normal"), ("test", "normal"), ("test", "anomaly"), ("test", "unknown")
AS_IT_WAS = {(0, *TRAIN): 13, (0, *NORMAL): 7, (0, *ANOMALY): 20, (1, *TRAIN): 6, (1, *NORMAL): 4, (1, *ANOMALY): 10}
ONE_SECTION = {(0, *TRAIN): 19, (0, *NORMAL): 11, (0, *ANOMALY): 30}
DRAWN = {(0, *TRAIN): 15, (0, *NORMAL): 5, (0, *ANOMALY): 20, (2, *TRAIN): 8, (2, *NORMAL): 2, (2, *ANOMALY): 10}
LONG = {(0, *TRAIN): 24, (0, *NORMAL): 6, (0, *ANOMALY): 30}
WORDS = ("data.reader.normal=[i.O.]", "data.reader.anomalous=[n.i.O.]")
COLUMNS = ('data.reader.columns={path:Datei,label:Zustand,section:"Lüfter",split:Menge}',)
LAYOUTS = {
    "a-two-folders": Layout(two_folders, "recordings", ONE_SECTION),
    "b-mimii-tree-of-eight-channels": Layout(mimii, "fan", DRAWN, ("data.channel=0",)),
    "c-odd-table": Layout(odd_table, "Messungen", AS_IT_WAS, COLUMNS + WORDS, "Messungen.csv"),
    "d-stereo-flac-of-44100-hz": Layout(stereo_flac, "recordings", ONE_SECTION, ("data.channel=mean",)),
    "e-long-recordings": Layout(long_recordings, "recordings", LONG, ("data.reader.segment.seconds=10",)),
    "f-names-of-2020": Layout(names_2020, "fan", AS_IT_WAS),
    "g-layout-of-2022": Layout(layout_2022, "fan", AS_IT_WAS),
    "h-blind-names-of-2023": Layout(blind_2023, "grinder", {(0, *TRAIN): 13, (0, *BLIND): 27}),
}
