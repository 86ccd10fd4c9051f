"""A trained baseline as a thing that scores sound."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asd.data.decoding import read_waveform
from asd.data.logmel_datamodule import clip_log_mel
from asd.data.waveforms import WaveformBank
from asd.features.logmel import LogMelSettings, clip_windows, logmel_settings
from asd.inference.trained import ClipScore, section_of
from asd.models.baseline_networks import build_network
from asd.runs.folder import RunFolder
from asd.runs.manifest import is_done, read_manifest
from asd.scoring.window_scores import log_odds, squared_errors
from asd.training.checkpoint import load_checkpoint, load_part

IMAGES_AT_ONCE = 64  # bounds the memory of an hour-long clip


@dataclass(frozen=True)
class BaselineScorer:
    """A baseline's trained network, with what it takes to score clips.

    Attributes:
        method: autoencoder or mobilenetv2.
        network: In evaluation mode; the autoencoder in float64, where it costs little and repeats on any device.
        settings: Of the input.
        sections: Section numbers in the order of the classes.
        scorer: The scorer's settings; none for the autoencoder.
        device: Where the network lies.
    """

    method: str
    network: nn.Module
    settings: LogMelSettings
    sections: list[int]
    scorer: Mapping[str, Any]
    device: torch.device

    @property
    def knows_sections(self) -> bool:
        """Whether a score depends on the section."""
        return self.method != "autoencoder"

    @property
    def hop(self) -> int:
        """Columns from one window to the next."""
        return self.scorer["hop"] if self.knows_sections else 1

    @torch.inference_mode()
    def score(self, bank: WaveformBank, clip: int, section: int) -> NDArray[np.float64]:
        """The scores of a clip's windows, (windows,); the clip's is their mean.

        Args:
            bank: The waveforms.
            clip: Row of the clip.
            section: Its number.

        Raises:
            ValueError: The network knows no such section.
        """
        columns = clip_log_mel(bank, clip, self.settings)
        windows = clip_windows(columns, self.settings.n_frames, self.hop)
        if not self.knows_sections:
            flat = windows.flatten(1)
            return squared_errors(flat.numpy(), self.reconstruct(flat).numpy())
        if section not in self.sections:
            raise ValueError(f"section {section:02d} has no training clips: the network knows {self.sections}")
        probability = self.probabilities(windows)[:, self.sections.index(section)]
        return log_odds(probability.numpy(), self.scorer["formula"])

    def reconstruct(self, windows: Tensor) -> Tensor:
        """(windows, numbers) to what the autoencoder makes of them, float64."""
        return self.network(windows.to(self.device, torch.float64)).cpu()

    def probabilities(self, windows: Tensor) -> Tensor:
        """Images to the probability of each section, (images, sections)."""
        parts = [self.network(part.to(self.device)).softmax(dim=1).cpu() for part in windows.split(IMAGES_AT_ONCE)]
        return torch.cat(parts)


def load_baseline(checkpoint: Path, scorer: Mapping[str, Any], device: torch.device) -> BaselineScorer:
    """The baseline of a checkpoint, which alone is enough.

    Raises:
        ValueError: The checkpoint is missing, damaged or not one of ours.
    """
    content = load_checkpoint(checkpoint)
    config, sections = content["asd"]["config"], content["asd"]["sections"]
    network = build_network(config, len(sections))
    load_part(content, "network", network)
    if config["method"] == "autoencoder":
        network.double()
    settings = logmel_settings(config["input"])
    return BaselineScorer(config["method"], network.eval().to(device), settings, sections, scorer, device)


@dataclass(frozen=True, eq=False)
class TrainedBaseline:
    """A finished, evaluated run of a baseline: scores any recording."""

    run: RunFolder
    scorer: BaselineScorer

    def score(self, path: str | Path, section: int | None = None) -> ClipScore:
        """Scores one recording; it has windows instead of pieces, and no nearest training clips ("").

        Args:
            path: A WAV file of the sampling rate that the run was trained at.
            section: Its section; None: read from the file's name. The autoencoder needs none.

        Raises:
            ValueError: The file is unusable, or its section is not known.
        """
        path, settings = Path(path), self.scorer.settings
        known = self.scorer.sections
        number = section_of(path, section, known, self.run) if self.scorer.knows_sections else 0
        samples = read_waveform(path, sample_rate=settings.sample_rate, min_samples=settings.min_samples)
        windows = self.scorer.score(WaveformBank.from_arrays([samples]), 0, number)
        seconds = np.arange(len(windows)) * self.scorer.hop * settings.hop_length / settings.sample_rate
        return ClipScore(float(windows.mean()), windows, seconds, np.full(len(windows), ""))


def load_trained_baseline(path: Path, *, scorer: str | None, device: str) -> TrainedBaseline:
    """Loads what `asd.load_run` returns for a baseline.

    Raises:
        ValueError: The run is not finished, not evaluated, or evaluated in several ways and none is named.
    """
    run = RunFolder(path)
    if not is_done(run):
        raise ValueError(f"{path} is no finished run: give outputs/<name>/<machine>/<run>/<phase> (train.py)")
    found = {folder.name: read_manifest(folder / "manifest.json") for folder in sorted((path / "scores").glob("*"))}
    there = {name: manifest["scorer"] for name, manifest in found.items() if manifest is not None}
    if not there:
        name = path.absolute().parents[2].name
        raise ValueError(f"{path} is not scored: python evaluate.py name={name} first")
    if (scorer is None and len(there) > 1) or (scorer is not None and scorer not in there):
        raise ValueError(f"{path} is scored with {', '.join(there)}: name one of them as the scorer")
    settings = there[scorer or next(iter(there))]
    return TrainedBaseline(run, load_baseline(run.checkpoint, settings, torch.device(device)))
