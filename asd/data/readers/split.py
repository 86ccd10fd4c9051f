"""Normal recordings that nobody has sorted into training and test: a seeded split that never divides a recording."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

# Files of several microphones at one time are one recording: …_ch1_0001.wav, …_ch2_0001.wav (ToyADMOS).
CHANNEL = re.compile(r"[_-]ch(?:annel)?_?\d+(?=[_.-])", re.IGNORECASE)


@dataclass(frozen=True)
class Split:
    """How test recordings are chosen among normal ones.

    Attributes:
        test_share: Share of the normal clips of each section that is tested on, 0 to below 1.
        by: What stays together: `file`, `folder`, or a regular expression for the paths; what its groups (or, without
            groups, the whole match) find names the recording session.
        seed: Of the choice.

    Raises:
        ValueError: A share out of range, or a broken expression.
    """

    test_share: float = 0.25
    by: str = "file"
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the values."""
        if isinstance(self.test_share, bool) or not 0 <= self.test_share < 1:
            raise ValueError(f"data.reader.split.test_share={self.test_share}: give a share from 0 to below 1")
        try:
            re.compile(self.by)
        except re.error as error:
            raise ValueError(
                f"data.reader.split.by={self.by}: give file, folder or a regular expression ({error})"
            ) from None

    def session(self, path: str) -> str:
        """The session of a file, by its path; a file that the expression does not fit is its own."""
        folder, _, name = path.rpartition("/")
        if self.by == "folder":
            return folder
        found = re.search(self.by, path) if self.by != "file" else None
        if found:
            return "\0".join(group or "" for group in found.groups()) or found[0]
        return f"{folder}/{CHANNEL.sub('', name)}"

    def test_files(self, paths: Sequence[str]) -> set[str]:
        """The files, of those of one section, that are tested on; at least one session is left to train on.

        The order depends on seed and names alone: a recording added later moves no other from training to test unless
        their number makes it so.
        """
        sessions: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            sessions[self.session(path)].append(path)
        wanted, chosen = round(self.test_share * len(paths)), list[str]()
        for session in sorted(sessions, key=self._rank)[:-1]:
            if len(chosen) >= wanted:
                break
            chosen += sessions[session]
        return set(chosen)

    def _rank(self, session: str) -> bytes:
        return hashlib.sha256(f"{self.seed}\0{session}".encode()).digest()
