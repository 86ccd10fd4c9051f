"""Features of all clips of a run, kept in the cache: another scorer needs neither the network nor the sound again."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asd.runs.folder import RunFolder
from asd.system.arrays import read_arrays
from asd.system.files import replacing
from asd.system.progress import say


@dataclass(frozen=True)
class FeatureStore:
    """One file for each run; a later computation from anything else takes its place.

    Attributes:
        path: Of the file.
        identity: Plain values that the features are a function of, such as the hash of the checkpoint.
    """

    path: Path
    identity: Mapping[str, Any]

    @classmethod
    def of_run(cls, run: RunFolder, cache: Path, **identity: Any) -> "FeatureStore":
        """The store of a run; features of frequency bands do not take the place of embeddings."""
        name = "-".join(run.path.absolute().parts[-4:]) + ("-bands" if identity.get("bands") else "")
        return cls(cache / "features" / f"{name}.npz", identity)

    def get(self, compute: Callable[[], Iterable[Tensor]], *, anew: bool = False) -> list[Tensor]:
        """The features of each clip, (pieces, dim), as they are kept, or computed and kept.

        Args:
            compute: Gives them in the order of the clips.
            anew: Whether to compute them whatever is there.
        """
        kept = None if anew else self.read()
        if kept is not None:
            return kept
        features = list(compute())
        self.write(features)
        return features

    def read(self) -> list[Tensor] | None:
        """What is kept; None where nothing of this identity is, or the file is damaged, which is said."""
        if not self.path.is_file():
            return None
        try:
            arrays = read_arrays(self.path, {"identity": (0, "U"), "n_pieces": (1, "iu"), "features": (2, "f")})
            if str(arrays["identity"]) != self.text:
                return None
            return list(torch.from_numpy(arrays["features"]).split(arrays["n_pieces"].tolist()))
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: the numbers do not add up
            say(f"{error}: its features are computed again")
            return None

    def write(self, features: list[Tensor]) -> None:
        """Keeps the features."""
        n_pieces = np.array([len(pieces) for pieces in features])
        with replacing(self.path) as temporary, open(temporary, "wb") as file:
            np.savez(file, features=torch.cat(features).numpy(), n_pieces=n_pieces, identity=np.array(self.text))

    @property
    def text(self) -> str:
        """The identity, as it is kept."""
        return json.dumps(self.identity, sort_keys=True)
