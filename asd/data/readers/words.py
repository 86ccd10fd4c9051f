"""The words by which people name folders and cells: normal or anomalous, training or test, which individual."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

NORMAL = ("normal", "ok", "good", "healthy")
ANOMALOUS = (
    "abnormal", "anomaly", "anomalies", "anomalous", "faulty", "fault", "faults", "defect", "defects", "defective",
    "broken", "damaged", "bad", "nok", "ng",
)  # fmt: skip
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
DOMAINS = ("source", "target")

# What may follow in the name of a folder without changing what it is: NormalSound_IND of ToyADMOS, normal recordings.
FILLERS = frozenset(
    (
        "sound",
        "sounds",
        "clip",
        "clips",
        "recording",
        "recordings",
        "data",
        "audio",
        "wav",
        "wavs",
        "file",
        "files",
        "ind",
        "cnt",
    )
)
INDIVIDUAL = re.compile(r"(?:id|unit|no|nr|case|serial|sn)?[ _.-]*\d+", re.IGNORECASE)
MACHINE_NAME = re.compile(r"[^\w.+=-]+")  # what config allows in machine=…


class LabelWords:
    """Tells normal from anomalous by words, in any letter case.

    Args:
        normal: Words for normal.
        anomalous: Words for anomalous.

    Raises:
        ValueError: A word is in both lists, or a list is empty.
    """

    def __init__(self, normal: Sequence[str], anomalous: Sequence[str]) -> None:
        self.normal, self.anomalous = ([word.casefold() for word in as_words(each)] for each in (normal, anomalous))
        if not self.normal or not self.anomalous:
            raise ValueError("data.reader.normal and data.reader.anomalous: give at least one word each")
        if both := sorted(set(self.normal) & set(self.anomalous)):
            raise ValueError(
                f"data.reader.normal and data.reader.anomalous both hold {', '.join(both)}; name each word in one"
            )

    def label(self, text: str) -> str:
        """normal or anomaly; empty where the text is neither word."""
        word = text.strip().casefold()
        if word in self.normal:
            return "normal"
        return "anomaly" if word in self.anomalous else ""

    def label_of_folder(self, name: str) -> str:
        """As `label`, for the name of a folder, which may add words such as "sound" or "recordings"."""
        first, *others = re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)) or [""]
        found = self.label(name)
        if not found and all(other.casefold() in FILLERS for other in others):
            found = self.label(first)
        return found


def as_words(given: object) -> tuple[str, ...]:
    """The words of a list, as texts; one that is given alone is a list of itself, not of its letters."""
    return tuple(map(str, given)) if isinstance(given, Sequence) and not isinstance(given, str) else (str(given),)


def machine_name(text: str) -> str:
    """A name of a machine as `machine=…` takes it: what is no letter, digit or one of . + = - becomes an underscore."""
    return MACHINE_NAME.sub("_", unicodedata.normalize("NFC", text)).strip("_.")[:100] or "machine"


def number_sections(names: Iterable[str]) -> dict[str, int]:
    """A number for each name of a section: the number it ends with where all differ in it, else by their order."""
    ordered = sorted(set(names))
    ends = [re.search(r"(\d{1,4})$", name) for name in ordered]
    numbers = [int(end[1]) for end in ends if end]
    if len(set(numbers)) == len(ordered):
        return dict(zip(ordered, numbers, strict=True))
    return {name: number for number, name in enumerate(ordered)}
