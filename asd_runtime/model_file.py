"""An exported detector in one file: a zip archive of manifest.json, network.onnx and arrays.npz.

The manifest says what the network takes, how its output becomes scores, and which run it comes from. The arrays are the
references, the training scores and the mel filters. Nothing in the file is ever executed.
"""

import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

FORMAT = "asd-model-1"
NETWORK = "network.onnx"
MOST = 2**31  # of anything that is counted
FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the same detector gives the same bytes

Pad = Literal["reflect", "zeros"]
Domain = Literal["both", "source", "target"]
DOMAINS: tuple[Domain, ...] = ("both", "source", "target")


@dataclass(frozen=True)
class ColumnInput:
    """Columns of a Fourier transform, as many as a window has; column c is centred on sample c · hop_length."""

    sample_rate: int
    n_fft: int
    hop_length: int
    n_frames: int

    @property
    def margin(self) -> int:
        """Samples that windows reach beyond either end of a clip."""
        return self.n_fft // 2

    @property
    def window_length(self) -> int:
        """Samples of one window."""
        return (self.n_frames - 1) * self.hop_length + self.n_fft


@dataclass(frozen=True)
class PieceInput(ColumnInput):
    """Standardised spectrogram pieces (asd/features/spectrogram.py says what each setting means).

    Attributes:
        stride: Columns from one piece of a clip to the next.
    """

    n_bins: int
    scale: Literal["linear", "power", "log"]
    pair_mean: bool
    pad: Pad
    standardise: Literal["piece", "frequency", "time_mean", "none"]
    stride: int
    kind: Literal["pieces"] = "pieces"


@dataclass(frozen=True)
class LogMelInput(ColumnInput):
    """Windows of log-mel energies (asd/features/logmel.py says what each setting means).

    Attributes:
        stride: Columns from one window of a clip to the next.
    """

    n_mels: int
    power: float
    pad: Pad
    stride: int
    kind: Literal["log-mel"] = "log-mel"


@dataclass(frozen=True)
class WindowInput:
    """Windows of the waveform as they are, in [−32768, 32768): the graph holds what becomes of them.

    Attributes:
        window_length: Samples of a window.
        hop_length: Samples from one position to the next.
        margin: Samples that windows reach beyond either end of a clip.
        pad: What is there.
        stride: Positions from one window of a clip to the next.
    """

    sample_rate: int
    window_length: int
    hop_length: int
    margin: int
    pad: Pad
    stride: int
    kind: Literal["windows"] = "windows"


@dataclass(frozen=True)
class PooledInput:
    """Log-mel energies of a whole clip, in dB, pooled over time by their rank (asd/features/temporal_pooling.py).

    Attributes:
        r: Weight of each rank, as a share of the one before; 1: mean over time, 0: maximum.
        floor: Smallest energy below the logarithm.
        deviation: Whether the standard deviation over time of each band follows.
    """

    sample_rate: int
    n_fft: int
    hop_length: int
    pad: Pad
    r: float
    floor: float
    deviation: bool = False
    kind: Literal["pooled"] = "pooled"

    @property
    def margin(self) -> int:
        """Samples that columns reach beyond either end of a clip."""
        return self.n_fft // 2

    @property
    def window_length(self) -> int:
        """Samples of one column."""
        return self.n_fft


@dataclass(frozen=True)
class NeighbourScoring:
    """Embeddings → 1 − mean of the K largest cosines to the section's references.

    Attributes:
        n_neighbors: K.
        aggregation: What makes a clip's score of its pieces' scores.
        references: Domains of the references searched; `nearest` keeps the smaller score of the two domains.
    """

    n_neighbors: int
    aggregation: Literal["mean", "max"]
    references: Literal["both", "source", "target", "nearest"]
    kind: Literal["neighbours"] = "neighbours"


@dataclass(frozen=True)
class ReconstructionScoring:
    """Mean squared error of each reconstructed window; the clip's score is their mean."""

    kind: Literal["reconstruction"] = "reconstruction"


@dataclass(frozen=True)
class LogOddsScoring:
    """Log odds against the clip's own section, from the network's logits; the clip's score is their mean."""

    formula: Literal["official_2021", "corrected_2022"]
    kind: Literal["log-odds"] = "log-odds"


@dataclass(frozen=True)
class BackEndScoring:
    """Embeddings → one formula of asd_runtime/back_ends.py, or several in units of their training scores.

    Attributes:
        parts: Names of the formulas; their arrays are in `Section.state`.
        how: What makes one score of theirs.
        aggregation: What makes a clip's score of its pieces' scores.
    """

    parts: Sequence[str]
    how: Literal["mean", "minimum"]
    aggregation: Literal["mean", "max"]
    kind: Literal["back-ends"] = "back-ends"


Input = PieceInput | LogMelInput | WindowInput | PooledInput
Scoring = NeighbourScoring | ReconstructionScoring | LogOddsScoring | BackEndScoring
KINDS: dict[str, type[Any]] = {each.kind: each for each in (*get_args(Input), *get_args(Scoring))}


@dataclass(frozen=True)
class Identity:
    """The run that a detector comes from.

    Attributes:
        run: Its folder, <name>/<machine>/<run>/<phase>.
        machine: Such as fan.
        method: Such as arcface.
        scorer: Name of the scorer.
        checkpoint: SHA-256 of the checkpoint.
        versions: Of the packages that exported it.
    """

    run: str
    machine: str
    method: str
    scorer: str
    checkpoint: str
    versions: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class References:
    """The training pieces of a section, or a thinned choice of them.

    Attributes:
        unit: (references, dim) unit embeddings.
        clip: (references,) row of `Section.clips`.
        is_source: (references,) whether that clip is of the source domain.
    """

    unit: NDArray[np.floating]
    clip: NDArray[np.int64]
    is_source: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TailQuantiles:
    """Quantiles of the gamma distribution fitted to training scores, so that no runtime has to fit one.

    Attributes:
        tail: (levels,) shares of normal sound above, decreasing.
        score: (levels,) the scores that they lie above.
        warnings: Why the fit is not to be trusted; empty where nothing is wrong with it.
    """

    tail: NDArray[np.float64]
    score: NDArray[np.float64]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Section:
    """What a detector knows of one section.

    Attributes:
        number: Section number.
        class_index: Its place among the classes of the network.
        clips: (training clips,) paths relative to the data's root.
        training_scores: (training clips,) none of them scored against itself.
        is_source: (training clips,) whether a clip is of the source domain.
        gamma: Fitted quantiles by domain; a domain without a fit is absent.
        references: None for scorers that need none.
        state: What other scorers learned, `PART.NAME` for each of their arrays.
    """

    number: int
    class_index: int
    clips: NDArray[np.str_]
    training_scores: NDArray[np.float64]
    is_source: NDArray[np.bool_]
    gamma: Mapping[str, TailQuantiles] = field(default_factory=dict)
    references: References | None = None
    state: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def scores_of(self, domain: Domain) -> NDArray[np.float64]:
        """The training scores of one domain, or of both."""
        if domain == "both":
            return self.training_scores
        return self.training_scores[self.is_source == (domain == "source")]


@dataclass(frozen=True, eq=False)
class Model:
    """Everything that scores sound.

    Attributes:
        identity: Where it comes from.
        input: What the network takes.
        scoring: How its output becomes scores.
        clip_samples: Length of the training clips (median), in samples: the natural window of a stream.
        sections: By section number.
        network: The ONNX graph's bytes; one input, one output, weights inside. None: the input is the embedding.
        mel_filters: (n_fft / 2 + 1, n_mels) float64 for log-mel inputs, else None.
        notes: Figures measured at export, such as what thinning the references costs.
    """

    identity: Identity
    input: Input
    scoring: Scoring
    clip_samples: int
    sections: Mapping[int, Section]
    network: bytes | None
    mel_filters: NDArray[np.float64] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def write_model(path: Path, model: Model) -> None:
    """Writes the file; whoever replaces one that is in use does so as a whole, as `asd export` does."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in packed(model).items():
            archive.writestr(zipfile.ZipInfo(name, FIXED_DATE), content)


def packed(model: Model) -> dict[str, bytes]:
    """The members of the archive."""
    arrays: dict[str, NDArray[Any]] = {}
    if model.mel_filters is not None:
        arrays["mel_filters"] = model.mel_filters
    sections = [pack_section(section, arrays) for _, section in sorted(model.sections.items())]
    manifest = {
        "format": FORMAT,
        "identity": {**asdict(model.identity), "versions": dict(model.identity.versions)},
        "input": asdict(model.input),
        "scoring": asdict(model.scoring),
        "clip_samples": model.clip_samples,
        "sections": sections,
        "notes": dict(model.notes),
    }
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    network = {} if model.network is None else {NETWORK: model.network}
    return {"manifest.json": text.encode(), **network, "arrays.npz": buffer.getvalue()}


def pack_section(section: Section, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Puts a section's arrays beside the others and returns its part of the manifest."""
    prefix = f"section_{section.number:02d}."
    arrays |= {
        f"{prefix}clips": section.clips,
        f"{prefix}training_scores": section.training_scores,
        f"{prefix}is_source": section.is_source,
    }
    for domain, quantiles in section.gamma.items():
        arrays[f"{prefix}gamma_{domain}"] = np.stack([quantiles.tail, quantiles.score])
    if section.references is not None:
        arrays |= {f"{prefix}references.{name}": array for name, array in vars(section.references).items()}
    arrays |= {f"{prefix}state.{name}": array for name, array in section.state.items()}
    return {
        "number": section.number,
        "class_index": section.class_index,
        "gamma_warnings": {domain: list(quantiles.warnings) for domain, quantiles in section.gamma.items()},
        "has_references": section.references is not None,
    }


def read_model(path: Path) -> Model:
    """Reads what `write_model` wrote.

    Raises:
        ValueError: The file is missing, damaged, of another format, or holds other things.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in ("manifest.json", "arrays.npz")}
            network = archive.read(NETWORK) if NETWORK in archive.namelist() else None
        manifest = json.loads(members["manifest.json"])
        if manifest.get("format") != FORMAT:
            raise ValueError(f"format {manifest.get('format')!r}, this runtime reads {FORMAT}")
        with np.load(io.BytesIO(members["arrays.npz"]), allow_pickle=False) as stored:
            return unpacked(manifest, network, dict(stored))
    except Exception as error:  # damaged archives fail in many ways; a deeply nested manifest by RecursionError
        raise ValueError(f"{path}: no exported detector ({error}). Write one with: asd export RUN") from None


def unpacked(manifest: dict[str, Any], network: bytes | None, arrays: dict[str, NDArray[Any]]) -> Model:
    """The model of an archive's members."""
    sections = [unpack_section(entry, arrays) for entry in manifest["sections"]]
    if not sections:
        raise ValueError("it has no section")
    return Model(
        identity=Identity(**manifest["identity"]),
        input=typed(manifest["input"]),
        scoring=typed(manifest["scoring"]),
        clip_samples=int(manifest["clip_samples"]),
        sections={section.number: section for section in sections},
        network=network,
        mel_filters=arrays.get("mel_filters"),
        notes=manifest["notes"],
    )


def typed(values: dict[str, Any]) -> Any:
    """The dataclass that `kind` names.

    Raises:
        ValueError: A setting has no value that it can have.
    """
    kind = KINDS[values["kind"]]
    for name, hint in get_type_hints(kind).items():
        if name in values and not fits(values[name], hint, least=int(name != "margin")):
            raise ValueError(f"{name} is {values[name]!r}")
    return kind(**values)


def fits(value: Any, hint: Any, *, least: int) -> bool:
    """Whether a value of a manifest is one of a setting's; what is counted is `least` or more."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint == Sequence[str]:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is hint and (hint is not int or least <= value < MOST)


def unpack_section(entry: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Section:
    """A section from its part of the manifest and its arrays."""
    prefix = f"section_{entry['number']:02d}."
    names = ("unit", "clip", "is_source")
    references = {name: arrays[f"{prefix}references.{name}"] for name in names} if entry["has_references"] else None
    return Section(
        number=entry["number"],
        class_index=entry["class_index"],
        clips=arrays[f"{prefix}clips"],
        training_scores=arrays[f"{prefix}training_scores"],
        is_source=arrays[f"{prefix}is_source"],
        gamma={
            domain: TailQuantiles(
                arrays[f"{prefix}gamma_{domain}"][0], arrays[f"{prefix}gamma_{domain}"][1], tuple(warnings)
            )
            for domain, warnings in entry["gamma_warnings"].items()
        },
        references=References(**references) if references else None,
        state={
            name.removeprefix(f"{prefix}state."): array
            for name, array in arrays.items()
            if name.startswith(f"{prefix}state.")
        },
    )
