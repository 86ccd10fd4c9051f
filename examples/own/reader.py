"""A reader of one's own, for an odd layout: <root>/<machine>_<number>_<ok|bad>_<day>.wav, all in one folder."""

import re
from pathlib import Path

from asd.data.readers.contract import Clip, Reading, clip_table, require_machine
from asd.data.sound_files import list_sound

NAME = re.compile(r"(?P<machine>[A-Za-z]+)_(?P<unit>\d+)_(?P<state>ok|bad)_(?P<day>\d+)\.wav")


class FlatFolder:
    """Units are sections; the last day of each unit is its test.

    Args:
        root: Folder of the recordings.
        test_day: From this day on recordings are for testing.
    """

    def __init__(self, root: Path, *, test_day: int = 5) -> None:
        self.root = root
        self.test_day = test_day

    def machines(self) -> list[str]:
        """The words in front of the file names."""
        names = (NAME.fullmatch(file.path) for file in list_sound(self.root, self.root).files)
        return sorted({match["machine"] for match in names if match})

    def read(self, machine: str) -> Reading:
        """The recordings of one machine; files of other names are left out, with the reason."""
        require_machine(machine, self.machines(), self.root)
        clips, excluded = [], {}
        for file in list_sound(self.root, self.root).files:
            match = NAME.fullmatch(file.path)
            if match is None:
                excluded[file.path] = "no name of the form pump_01_ok_3.wav"
            elif match["machine"] == machine:
                is_test = int(match["day"]) >= self.test_day or match["state"] == "bad"
                label = "normal" if match["state"] == "ok" else "anomaly"
                clips.append(Clip(file, int(match["unit"]), "source", "test" if is_test else "train", label, ""))
        return Reading(clip_table(machine, self.root, clips), excluded=excluded)
