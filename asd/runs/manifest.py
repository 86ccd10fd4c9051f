"""A run is its configuration: what counts as a difference, and what a manifest vouches for."""

import hashlib
import importlib.metadata
import os
import platform
import stat
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from asd.runs.folder import RunFolder
from asd.system.files import write_json
from asd.system.reading import read_json, shaped

# Keys that cannot change a result: where things lie, how fast and how loudly they are done.
NOISE = (
    "overwrite",
    "progress",
    "save.",
    "quiet",
    "allocator",
    "speed.cpu.",
    "speed.cuda.",
    "data.root",
    "data.table",
    "data.edition",  # the fingerprint tells what a reader made of the files
    "data.reader.",
    "data.cache",
    "data.bank",
    "data.workers",
    "data.simulate.",
    "trainer.accelerator",
    "trainer.log_every_n_steps",
    "trainer.profiler",
    "logger.",
    "objective",
)


# Keys that runs of earlier versions lack, and what they meant by that.
ADDED = {"data.sample_rate": "error", "data.channel": "error", "classes": "section", "scope": "machine"}


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested plain values with their dotted keys."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def essential(values: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of a configuration's plain values that make a run what it is."""
    return {
        key: value
        for key, value in flatten(values)
        if not any(key == noise or (noise.endswith(".") and key.startswith(noise)) for noise in NOISE)
        and key != "data.simulate"
        and ADDED.get(key) != value
    }


# "auto" goes on as the run began (runs/auto).
MAY_BE_AUTO = ("compile", "trainer.precision")


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Lines «key: theirs → ours» for each essential key that differs."""
    new, old = essential(ours), essential(theirs)
    return [
        f"{key}: {old.get(key, ADDED.get(key, '(absent)'))} → {new.get(key, ADDED.get(key, '(absent)'))}"
        for key in sorted(new.keys() | old.keys())
        if new.get(key) != old.get(key) and not (key in MAY_BE_AUTO and new.get(key) == "auto")
    ]


def refuse_other(run: RunFolder, ours: Mapping[str, Any]) -> None:
    """Makes sure that a folder is free or belongs to this configuration.

    Args:
        run: The folder.
        ours: Plain values of the configuration.

    Raises:
        ValueError: Another configuration owns the folder; the message names the keys that differ.
    """
    if not (run.config.exists() and run.is_begun):  # a pipe or a folder in its place is refused by who reads it
        return
    other = differences(ours, run.read_config())
    if other:
        lines = "\n  ".join(other)
        key = other[0].partition(":")[0]
        raise ValueError(
            f"{run.path} belongs to another configuration:\n  {lines}\n"
            f"Give this one a name of its own: name={ours['name']}-2, "
            f"or in a sweep name='{ours['name']}-${{{key}}}'; or remove the folder."
        )


def refuse_other_network(run: RunFolder, shared: RunFolder) -> None:
    """Raises ValueError where the network that machines share has other weights since a finished run took it."""
    taken, there = (read_manifest(folder.manifest) for folder in (run, shared))
    if taken and there and taken.get("weights") != there.get("weights"):
        raise ValueError(
            f"{run.path} has the network that {shared.path} had before it was trained anew: give overwrite=true to "
            "take the present one"
        )


def sha256(path: Path) -> str:
    """The hash of a file's bytes.

    Raises:
        OSError: It cannot be read, or is a pipe or a device, which might never end.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path}: not a plain file: move it away")
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_version() -> dict[str, str]:
    """The versions that a number depends on."""
    packages = ("asd", "torch", "numpy", "pytorch-lightning", "timm")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


@cache
def commit() -> str | None:
    """The commit of the checkout that this package is run from, `+` behind it where files differ; None elsewhere."""
    package = Path(__file__).parents[1]
    describe = ["describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        for words in (["ls-files", "--error-unmatch", "__init__.py"], describe):
            found = subprocess.run(["git", "-C", package, *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def write_manifest(path: Path, files: Mapping[str, Path], **facts: Any) -> None:
    """Vouches for files by their hashes, with facts beside them.

    Args:
        path: Of the manifest.
        files: Name of each file in the manifest, relative to the manifest's folder, to its path.
        facts: Plain values to keep.
    """
    hashes = {name: sha256(file) for name, file in files.items()}
    write_json(path, {"files": hashes, "versions": code_version(), "commit": commit(), **facts})


# Facts that a manifest may hold; one of another shape is none.
FACTS: dict[str, Any] = {
    "versions": dict[str, str], "commit": str | None, "notes": list[str], "frozen": list[str], "parts": list[str],
    "n_weights": int, "last_epoch": dict[str, Any], "skipped": int,
}  # fmt: skip


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest, if it is there, is one, and every file it vouches for is unchanged; else None."""
    try:
        manifest = read_json(path, dict[str, Any])
        files = shaped(manifest.get("files"), dict[str, str], f"{path}: files")
        for name in manifest.keys() & FACTS.keys():
            shaped(manifest[name], FACTS[name], f"{path}: {name}")
        intact = all(sha256(vouched(path, name)) == known for name, known in files.items())
    except (OSError, ValueError):
        return None
    return manifest if intact else None


def scorer_settings(manifest: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """How the scores that a manifest vouches for were made.

    Raises:
        ValueError: The manifest, which `path` names, says it in another shape.
    """
    return shaped(manifest.get("scorer", {}), dict[str, Any], f"{path}: scorer")


def vouched(manifest: Path, name: str) -> Path:
    """A file that a manifest vouches for: in the manifest's folder, or for scores in their run's.

    Raises:
        ValueError: It lies elsewhere, or is no file.
    """
    folder = manifest.parent
    within = folder.parents[1] if folder.parent.name == "scores" else folder
    return inside(within, os.path.relpath(folder / name, within))


def is_done(run: RunFolder) -> bool:
    """Whether a run is finished: its manifest verifies."""
    return read_manifest(run.manifest) is not None


def inside(folder: Path, name: str) -> Path:
    """The file that a name in a manifest, which may come from elsewhere, means within a folder.

    Links that lie in the folder are followed: they are the user's own.

    Raises:
        ValueError: It leads out of the folder, or to what is no regular file.
    """
    path = Path(os.path.abspath(folder / name))
    if not path.is_relative_to(os.path.abspath(folder)):
        raise ValueError(f"{name}: leads out of {folder}")
    if not path.is_file():
        raise ValueError(f"{name}: no such file in {folder}")
    return path
