"""What each edition of DCASE Task 2 is, as one table. What is confirmed, and by whom: docs/editions.md."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from asd.config.messages import nearest
from asd.data.clip_names import (
    BLIND_2022,
    EVALUATION_2023,
    EVALUATION_2024,
    EVALUATION_2025,
    EVALUATION_2026,
    MACHINES_2020,
    MACHINES_2021,
    MACHINES_2022,
    MACHINES_2026,
    NAME_2020,
    NAME_2021,
    NAME_2022,
    SPLIT_BY_DOMAIN,
    SUPPLEMENT,
    SUPPLEMENT_2025,
    TOGETHER,
    ClipName,
    read_name,
)
from asd.dcase.counts import COUNTS_2021, Group, first_shot, hidden_counts

PARTS = ("dev", "additional", "evaluation", "labels")


@dataclass(frozen=True)
class Part:
    """Archives that were published together.

    Attributes:
        record: Number of the Zenodo record.
        archive: Name of one machine's archive; empty: the record's files belong to all machines together.
        folder: Where it is unpacked below the root: `<folder>/<machine>/…`.
        machines: The machines it has an archive of.
        renamed: Archives whose names differ: corrected uploads.
    """

    record: int
    archive: str
    folder: str
    machines: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    def archive_of(self, machine: str) -> str:
        """Name of one machine's archive."""
        return self.renamed.get(machine, self.archive.format(machine=machine))


@dataclass(frozen=True)
class Edition:
    """One year of the task; what most of them have in common is the default.

    Attributes:
        year: Of the challenge.
        parts: dev, additional, evaluation and labels, as far as their records are known.
        seconds: Allowed lengths of a clip, from and to, in seconds.
        classes: What distinguishes a machine's recordings: machine IDs, or sections.
        folders: Where clips lie within a machine, and the split they belong to.
        names: Patterns of clip names per folder of `folders`; the first that fits counts.
        channels: Of every clip.
        attribute_files: Glob of the files beside the folders that list attributes; empty: none.
        metric_rule: Of `asd.scoring.metrics`; "2020": AUC and pAUC per machine ID, without domains.
        counts: Clips of each group, where known.
        licence: What a user should know before downloading.
    """

    year: int
    parts: Mapping[str, Part]
    seconds: tuple[float, float]
    classes: Literal["machine_id", "section"] = "section"
    folders: Mapping[str, str] = field(default_factory=lambda: TOGETHER)
    names: tuple[re.Pattern[str], ...] = (NAME_2022, BLIND_2022)
    channels: int = 1
    attribute_files: str = "attributes_*.csv"
    metric_rule: Literal["2020", "2021", "2022"] = "2022"
    counts: Mapping[Group, int] = field(default_factory=dict)
    licence: str = "The licence is stated in the record; read it there before you use the recordings."
    sample_rate: int = 16_000

    @property
    def machines(self) -> list[str]:
        """Every machine of any part."""
        return sorted({machine for part in self.parts.values() for machine in part.machines})

    def read_name(self, name: str, folder: str) -> ClipName:
        """Reads the name of a clip that lies in a folder of its machine.

        Raises:
            ValueError: The folder or the name is none of this edition's, or they contradict each other.
        """
        return read_name(name, folder, folders=self.folders, names=self.names)


def edition_of(year: int) -> Edition:
    """The edition of a year.

    Raises:
        ValueError: There is none in the table.
    """
    if year not in EDITIONS:
        raise ValueError(f"no edition {year}.{nearest(str(year), map(str, EDITIONS))}")
    return EDITIONS[year]


SUPPLEMENTED = {**TOGETHER, SUPPLEMENT: SUPPLEMENT}

EDITIONS: Mapping[int, Edition] = MappingProxyType(
    {
        2020: Edition(
            year=2020,
            parts={
                "dev": Part(3678171, "dev_data_{machine}.zip", "dev_data", MACHINES_2020),
                "additional": Part(3727685, "eval_data_train_{machine}.zip", "eval_data", MACHINES_2020),
                "evaluation": Part(3841772, "eval_data_test_{machine}.zip", "eval_data", MACHINES_2020),
            },
            classes="machine_id",
            names=(NAME_2020,),
            seconds=(10, 11),
            attribute_files="",
            metric_rule="2020",
        ),
        2021: Edition(
            year=2021,
            parts={
                "dev": Part(4562016, "dev_data_{machine}.zip", "dev_data", MACHINES_2021),
                "additional": Part(4660992, "eval_data_{machine}_train.zip", "eval_data", MACHINES_2021),
                "evaluation": Part(4884786, "eval_data_{machine}_test.zip", "eval_data", MACHINES_2021),
                "labels": Part(5257674, "", "ground_truth"),
            },
            folders=SPLIT_BY_DOMAIN,
            names=(NAME_2021,),
            seconds=(10, 10),
            attribute_files="",
            metric_rule="2021",
            counts=COUNTS_2021,
            licence=(
                "fan, gearbox, pump, slider, valve (MIMII DUE): CC BY-NC-SA 4.0. "
                "ToyCar, ToyTrain (ToyADMOS2): an evaluation licence without redistribution."
            ),
        ),
        2022: Edition(
            year=2022,
            parts={
                "dev": Part(6355122, "dev_{machine}.zip", "dev_data", MACHINES_2022),
                "additional": Part(6462969, "eval_data_{machine}_train.zip", "eval_data", MACHINES_2022),
                "evaluation": Part(6586456, "eval_data_{machine}_test.zip", "eval_data", MACHINES_2022),
            },
            seconds=(10, 10),
            counts=hidden_counts(("bearing",), range(3, 4), ("unknown",), 200),
        ),
        2023: Edition(
            year=2023,
            parts={
                "dev": Part(7882613, "dev_{machine}.zip", "dev_data", MACHINES_2022),
                "additional": Part(7830345, "eval_data_{machine}_train.zip", "eval_data", EVALUATION_2023),
                "evaluation": Part(7860847, "eval_data_{machine}_test.zip", "eval_data", EVALUATION_2023),
            },
            seconds=(6, 18),
            counts=first_shot(EVALUATION_2023),
        ),
        2024: Edition(
            year=2024,
            parts={
                "dev": Part(10902294, "dev_{machine}.zip", "dev_data", MACHINES_2022),
                "additional": Part(
                    11259435,
                    "eval_data_{machine}_train.zip",
                    "eval_data",
                    EVALUATION_2024,
                    {name: f"eval_data_{name}_train_r2.zip" for name in ("3DPrinter", "RoboticArm")},
                ),
                "evaluation": Part(11363076, "eval_data_{machine}_test.zip", "eval_data", EVALUATION_2024),
            },
            seconds=(6, 18),
            counts=first_shot(EVALUATION_2024),
        ),
        2025: Edition(
            year=2025,
            parts={
                "dev": Part(15097779, "dev_{machine}.zip", "dev_data", MACHINES_2022),
                "additional": Part(15392814, "eval_data_{machine}_train.zip", "eval_data", EVALUATION_2025),
                "evaluation": Part(15519362, "eval_data_{machine}_test.zip", "eval_data", EVALUATION_2025),
            },
            folders=SUPPLEMENTED,
            names=(NAME_2022, BLIND_2022, SUPPLEMENT_2025),
            seconds=(6, 18),
            counts=first_shot(EVALUATION_2025),
        ),
        2026: Edition(
            year=2026,
            parts={
                "dev": Part(19336329, "dev_{machine}.zip", "dev_data", MACHINES_2026, {"ToyCar": "dev_ToyCar_r2.zip"}),
                "additional": Part(20151556, "eval_data_{machine}_train.zip", "eval_data", EVALUATION_2026),
                "evaluation": Part(20437238, "eval_data_{machine}_test.zip", "eval_data", EVALUATION_2026),
            },
            seconds=(6, 16),
            channels=2,
        ),
    }
)
