"""File names that need no quoting in any file system, address or attribute."""

import hashlib
import re
from pathlib import PurePosixPath

LONGEST = 80


def slug(text: str, identity: str | None = None) -> str:
    """The text in safe letters; with a hash behind it where letters were lost.

    Args:
        text: What people should recognise.
        identity: What the name stands for, if that is more than `text`: two of them never share a name.
    """
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:LONGEST].strip("-")
    if identity is None and readable == text:
        return readable
    return f"{readable}-{hashlib.sha256((identity or text).encode()).hexdigest()[:8]}"


def clip_slug(clip: str) -> str:
    """The file name, without suffix, of the media of a clip."""
    path = PurePosixPath(clip)
    machine = path.parts[-3] if len(path.parts) >= 3 else ""
    return slug(f"{machine}-{path.stem}", clip)


def machine_page(machine: str) -> str:
    """The file of a machine's page."""
    return f"machine-{slug(machine)}.html"


def run_slug(machine: str, system: str) -> str:
    """A run's name in the names of its files."""
    return f"{slug(machine)}--{slug(system.replace('/', '--'))}"


def system_page(machine: str, system: str) -> str:
    """The file of a run's page."""
    return f"{run_slug(machine, system)}.html"
