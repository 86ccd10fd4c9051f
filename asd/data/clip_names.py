"""Names of machines and clips in the editions of DCASE Task 2, and the folders they lie in. More of them: asd/dcase."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from asd.data.clips import MACHINES
from asd.data.sound_files import is_sound

SETS = ("dev_data", "eval_data")
SPLIT_BY_DOMAIN = {"train": "train", "source_test": "test", "target_test": "test"}
TOGETHER = {"train": "train", "test": "test"}
SUPPLEMENT = "supplemental"

MACHINES_2020 = ("ToyCar", "ToyConveyor", "fan", "pump", "slider", "valve")
MACHINES_2021 = MACHINES
MACHINES_2022 = ("ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve")  # development data until 2025
EVALUATION_2023 = ("ToyDrone", "ToyNscale", "ToyTank", "Vacuum", "bandsaw", "grinder", "shaker")
EVALUATION_2024 = (
    "3DPrinter", "AirCompressor", "BrushlessMotor", "HairDryer", "HoveringDrone", "RoboticArm", "Scanner",
    "ToothBrush", "ToyCircuit",
)  # fmt: skip
EVALUATION_2025 = (
    "AutoTrash", "BandSealer", "CoffeeGrinder", "HomeCamera", "Polisher", "ScrewFeeder", "ToyPet", "ToyRCCar",
)  # fmt: skip
MACHINES_2026 = ("ToyCar", "ToyCarEmu", "bearingEmu", "fan", "gearboxEmu", "sliderEmu", "valveEmu")
EVALUATION_2026 = ("BlowerDustCollector", "Sander", "SewingMachine", "ToothBrush", "ToyDrone")
MACHINES_OF: Mapping[str, frozenset[str]] = {
    "2020": frozenset(MACHINES_2020),
    "2021": frozenset(MACHINES_2021),
    "2022": frozenset(MACHINES_2022),
    "2023": frozenset(MACHINES_2022 + EVALUATION_2023),
    "2024": frozenset(MACHINES_2022 + EVALUATION_2024),
    "2025": frozenset(MACHINES_2022 + EVALUATION_2025),
    "2026": frozenset(MACHINES_2026 + EVALUATION_2026),
}

_LABELLED = r"section_(?P<section>\d{2})_(?P<domain>source|target)_(?P<split>train|test)"
NAME_2020 = re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<section>\d{2})_(?P<index>\d{8})", re.ASCII)
NAME_2021 = re.compile(
    rf"{_LABELLED}(?:_(?P<label>normal|anomaly))?_(?P<index>\d{{4}})(?:_(?P<attributes>.+))?", re.ASCII
)
NAME_2022 = re.compile(rf"{_LABELLED}_(?P<label>normal|anomaly)_(?P<index>\d{{4}})(?:_(?P<attributes>.*))?", re.ASCII)
BLIND_2022 = re.compile(r"section_(?P<section>\d{2})_(?:(?P<split>test)_)?(?P<index>\d{4})", re.ASCII)
SUPPLEMENT_2025 = re.compile(
    r"section_(?P<section>\d{2})_(?:(?:source|target|noise)_)?(?:supplemental_)?(?:normal|machine|noise|clean)"
    r"_(?P<index>\d{4})(?:_(?P<attributes>.*))?",
    re.ASCII,
)

_EXAMPLE = (
    "section_00_source_train_normal_0000_attributes.wav "
    "(section_NN, source or target, train or test, normal or anomaly or neither, four digits, any text)"
)
EXAMPLES = {
    NAME_2020: "normal_id_00_00000000.wav (normal or anomaly or neither, id_NN, eight digits)",
    NAME_2021: _EXAMPLE,
    NAME_2022: _EXAMPLE,
    BLIND_2022: "section_00_0000.wav",
}


class ClipName(NamedTuple):
    """What the name of a clip tells; "unknown" and "" where it does not."""

    section: int
    domain: str
    split: str
    label: str
    number: int
    attributes: str


def match_name(name: str, patterns: Iterable[re.Pattern[str]]) -> ClipName | None:
    """Reads a file name, its suffix in any letter case; None where no pattern fits. The first that fits counts."""
    if not is_sound(name):
        return None
    stem = name.rpartition(".")[0]
    match = next((match for pattern in patterns if (match := pattern.fullmatch(stem))), None)
    if match is None:
        return None
    found = {key: value for key, value in match.groupdict().items() if value is not None}
    return ClipName(
        section=int(found["section"]),
        domain=found.get("domain", "unknown"),
        split=found.get("split", "unknown"),
        label=found.get("label", "unknown"),
        number=int(found["index"]),
        attributes=found.get("attributes", ""),
    )


def parse_name(name: str) -> ClipName:
    """Reads the name of a clip of DCASE 2021 Task 2.

    Raises:
        ValueError: The name is another one.
    """
    clip = match_name(name, [NAME_2021])
    if clip is None:
        raise ValueError(f"{name}: not the name of a clip; a name looks like {_EXAMPLE}")
    return clip


def read_name(name: str, folder: str, *, folders: Mapping[str, str], names: tuple[re.Pattern[str], ...]) -> ClipName:
    """Reads the name of a clip that lies in a folder of its machine.

    Args:
        name: File name without folders.
        folder: Name of the folder.
        folders: Where clips may lie, and the split they belong to there.
        names: Patterns that names may have.

    Raises:
        ValueError: The folder or the name is another one, or they contradict each other.
    """
    if folder not in folders:
        raise ValueError(f"lies in {folder}; clips lie in {', '.join(folders)}")
    clip = match_name(name, names)
    if clip is None:
        looks = " or ".join(dict.fromkeys(EXAMPLES[pattern] for pattern in names if pattern in EXAMPLES))
        raise ValueError(f"not the name of a clip; a name looks like {looks}")
    if clip.split == "unknown":
        clip = clip._replace(split=folders[folder])
    check_folder(clip, folder, folders)
    return clip


def check_folder(clip: ClipName, folder: str, folders: Mapping[str, str]) -> None:
    """Raises ValueError where a name contradicts the folder it lies in."""
    by_domain = clip.split == "test" and f"{clip.domain}_test" in folders
    expected = f"{clip.domain}_test" if by_domain else clip.split
    if folder not in (expected, clip.split):
        raise ValueError(f"lies in {folder}; by its name it belongs into {expected}")
    if clip.split == "train" and clip.label == "anomaly":
        raise ValueError("an anomaly among the training clips; training clips are normal: move it to a test folder")
