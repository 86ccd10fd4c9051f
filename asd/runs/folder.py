"""Where a run lies, and what lies in it (DESIGN: files that outlive a process)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from asd.config.schema import ALL_MACHINES
from asd.config.schema import OUTPUTS as OUTPUTS
from asd.config.upgrade import upgrade
from asd.system.files import remove, remove_leftovers, write_text
from asd.system.printable import one_line
from asd.system.reading import read_yaml


@dataclass(frozen=True)
class RunFolder:
    """The files of one phase of one run."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def status(self) -> Path:
        """pending, running, done, failed or interrupted."""
        return self.path / "status.json"

    @property
    def lock(self) -> Path:
        """Who works on the run; there only while somebody does."""
        return self.path / "lock.json"

    @property
    def claim(self) -> Path:
        """Is locked for the milliseconds in which a process looks at the lock and takes it."""
        return self.path / ".claim"

    @property
    def metrics(self) -> Path:
        """One line per epoch."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The newest checkpoint."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def previous_checkpoint(self) -> Path:
        """The checkpoint before the newest."""
        return self.path / "checkpoints" / "previous.ckpt"

    @property
    def is_begun(self) -> bool:
        """Whether there is a checkpoint: before the first one, a failed start leaves nothing worth keeping."""
        return self.checkpoint.is_file() or self.previous_checkpoint.is_file()

    @property
    def manifest(self) -> Path:
        """Written last by training: the run is done if this verifies."""
        return self.path / "manifest.json"

    @property
    def classes(self) -> Path:
        """The class of each training clip; only where classes are not the sections."""
        return self.path / "classes.csv"

    @property
    def log(self) -> Path:
        """What its process said in a sweep; tracebacks, above all."""
        return self.path / "run.log"

    @property
    def references(self) -> Path:
        """The unit embeddings of the training pieces."""
        return self.path / "references.npz"

    def scores(self, scorer: str) -> Path:
        """The folder of one scorer's scores."""
        return self.path / "scores" / scorer

    @property
    def phase(self) -> str:
        """train, or finetune-<freeze>."""
        return self.path.name

    @property
    def system(self) -> str:
        """<backbone>-<input>-s<seed>/<phase>: what a row of a table is called."""
        return f"{self.path.parent.name}/{self.phase}"

    @property
    def machine(self) -> str:
        """The machine of the run."""
        return self.path.parent.parent.name

    @property
    def is_shared(self) -> bool:
        """Whether it trains the network that all machines share, and is no machine's."""
        return self.machine == ALL_MACHINES

    def empty(self) -> None:
        """Removes what is in the folder, but for the log and what says who holds it.

        A link is removed, not what it leads to. Only a folder of checkpoints on another disk stays where it is: from it
        the run's checkpoints are removed.
        """
        kept = (self.lock, self.claim, self.log)
        self.manifest.unlink(missing_ok=True)  # first: what is half removed is not finished
        for path in sorted(self.path.iterdir()):
            if path == self.checkpoint.parent and path.is_symlink() and path.is_dir():
                remove_leftovers(path, below=False)
                for checkpoint in (self.checkpoint, self.previous_checkpoint):
                    checkpoint.unlink(missing_ok=True)
            elif path not in kept:
                remove(path)

    def read_config(self) -> dict[str, Any]:
        """The configuration that the run was made with, in today's form; plain values are read, nothing is resolved.

        Raises:
            ValueError: The file holds anything else.
        """
        found = read_yaml(self.config, dict[str, Any])
        try:
            return upgrade(found)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{self.config}: not the configuration of a run ({one_line(error)})") from None

    def write_config(self, values: Mapping[str, Any]) -> None:
        """Keeps the plain values of a configuration as YAML."""
        write_text(self.config, yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))


def results(name: str) -> RunFolder:
    """Where the tables of a grid lie: held, like a run, while they are made."""
    return RunFolder(OUTPUTS / name / "results")


def grid_names(typed: Iterable[str]) -> list[str]:
    """The names of grids that were typed as NAME or outputs/NAME, each once.

    Raises:
        ValueError: A path leads somewhere else: its last part may be the name of another grid here.
    """
    names = []
    for text in typed:
        path = Path(text)
        here = len(path.parts) == 1 or path.absolute().parent.resolve() == OUTPUTS.resolve()
        if not here or path.name in ("", ".."):
            raise ValueError(f"{text} is no grid in {OUTPUTS.absolute()}: go to the folder that holds its {OUTPUTS}")
        names.append(path.name)
    return list(dict.fromkeys(names))


def find_runs(name: str, machines: Iterable[str] | None = None) -> list[RunFolder]:
    """The runs of machines under a name, sorted by machine and system; those of some machines only, if given."""
    wanted = None if machines is None else set(machines)
    return [run for run in runs_below(OUTPUTS / name) if wanted is None or run.machine in wanted]


def runs_below(grid: Path, *, shared: bool = False) -> list[RunFolder]:
    """The runs in the folder of a grid, sorted by machine and system.

    Args:
        grid: outputs/<name>.
        shared: Also those of networks that machines share, which are scored with each machine.
    """
    found = (RunFolder(path.parent) for path in sorted(grid.glob("*/*/*/config.yaml")))
    return [run for run in found if shared or not run.is_shared]
