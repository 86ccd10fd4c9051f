"""A detector: how far any recording is from the normal ones, what that means, and why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from asd.config.schema import RunConfig
from asd.data.clip_names import ClipName, parse_name
from asd.data.decoding import from_array, read_clip
from asd.data.waveforms import WaveformBank
from asd.inference.explanation import Explanation, band_edges, carried_by_bands
from asd.inference.references import StoredReferences
from asd.methods.method import Extractor, Method, ScorerChoice
from asd.runs.scores import ScoreTable
from asd.scoring.scorer import ClipPieces, Scorer
from asd_runtime.model_file import DOMAINS, Domain, Section, TailQuantiles
from asd_runtime.verdict import DEFAULT_RULE, ClipScore, Threshold, find_threshold, share_below

Sound = str | Path | NDArray[np.generic]
MOST_SAMPLES = 30 * 60 * 16_000  # of a recording: half an hour at 16 kHz takes 1.6 GB with the report's input
N_NEAREST = 3  # training clips of an explanation
ALL_SECTIONS = -1  # a recording of unknown section, by a method that has no sections


class Detector:
    """Scores any recording: a file, or an array of samples.

    Wherever a sound is taken it is a path, or (samples,) or (samples, channels) int16 or floats of full scale 1, whose
    `sample_rate` in Hz is then given beside it.

    Args:
        machine: Its name, for messages.
        method: How it was made.
        sections: Section numbers in the order of the classes.
        extractor: Sound to the features of its pieces.
        choice: How they are scored.
        references: Features of the training pieces; None where the scorer needs none.
        training: Scores of the training clips, none of them scored against itself.
    """

    def __init__(
        self,
        machine: str,
        method: Method[RunConfig],
        sections: list[int],
        extractor: Extractor,
        choice: ScorerChoice,
        references: StoredReferences | None,
        training: ScoreTable,
    ) -> None:
        self.machine = machine
        self.method = method
        self.sections = sections
        self.extractor = extractor
        self.choice = choice
        self.references = references
        self.training = training
        self.fitted = lru_cache(len(sections) + 1)(self._fitted)
        self.known = cache(self._known)

    def score(
        self,
        sound: Sound,
        section: int | None = None,
        *,
        sample_rate: int | None = None,
        threshold: str = DEFAULT_RULE,
        domain: Domain | None = None,
        hop_seconds: float | None = None,
    ) -> ClipScore:
        """Scores one recording against the training clips of its section, never against itself.

        Args:
            sound: A file or an array.
            section: Its section; None: read from the file's name, or the only one.
            sample_rate: Of an array, in Hz.
            threshold: A rule, see `asd_runtime.verdict.RULES`.
            domain: Whose training clips the verdict counts; None: those of the domain in the file's name, or both.
            hop_seconds: From one score to the next, which the threshold per-day needs.

        Raises:
            ValueError: The sound is unusable; its section, the domain or the rule is not known.
        """
        number, chosen = self.find_section(sound, section), domain or self.find_domain(sound)
        limit = find_threshold(self.known(number), threshold, domain=chosen, hop_seconds=hop_seconds)
        return self.judge(self.waveform(sound, sample_rate), number, self.own_rows(sound), limit, chosen)

    def embed(self, sound: Sound, *, sample_rate: int | None = None) -> NDArray[np.float32]:
        """What the scorer sees of a recording: the features of its pieces, (pieces, dim), in the order of time.

        Raises:
            ValueError: The sound is unusable.
        """
        return self.features(self.waveform(sound, sample_rate)).numpy()

    def explain(
        self,
        sound: Sound,
        section: int | None = None,
        *,
        sample_rate: int | None = None,
        n_bands: int = 16,
        normal: Sound | None = None,
    ) -> Explanation:
        """Why a recording has its score: the nearest training clips, the curve over time, the bands that carry it.

        Args:
            sound: A file or an array.
            section: Its section; None: as of `score`.
            sample_rate: Of arrays, in Hz.
            n_bands: Of equal width on a mel scale; each is scored once.
            normal: The recording whose bands replace those of the sound one after the other; None: the nearest
                training clip, or silence where its file is not there.

        Raises:
            ValueError: As of `score`, or fewer than two bands.
        """
        edges = band_edges(n_bands, self.method.sample_rate)
        number, domain, own = self.find_section(sound, section), self.find_domain(sound), self.own_rows(sound)
        limit = find_threshold(self.known(number), DEFAULT_RULE, domain=domain)
        samples = self.waveform(sound, sample_rate)
        found = self.judge(samples, number, own, limit, domain)
        nearest = found.nearest_clips(N_NEAREST)
        replacement, other = self.replacement(nearest, normal, sample_rate)
        carried = carried_by_bands(
            samples,
            other,
            lambda changed: self.judge(changed, number, own, limit, domain).score,
            edges,
            self.method.sample_rate,
        )
        return Explanation(found, nearest, edges, carried, replacement)

    def replacement(
        self, nearest: list[str], normal: Sound | None, sample_rate: int | None
    ) -> tuple[str, NDArray[np.generic]]:
        """The recording whose bands are taken, and what it is called."""
        paths = [Path(self.method.config.data.root) / name for name in nearest]
        chosen = normal if normal is not None else next((path for path in paths if path.is_file()), None)
        if chosen is None:
            return "silence", np.zeros(1, np.int16)
        return str(chosen) if isinstance(chosen, str | Path) else "an array", self.waveform(chosen, sample_rate)

    def judge(
        self, samples: NDArray[np.generic], number: int, own_rows: tuple[int, ...], limit: Threshold, domain: Domain
    ) -> ClipScore:
        """The score and verdict of a waveform.

        Args:
            samples: (samples,) as `waveform` gives them.
            number: Of the section.
            own_rows: Of the references: the training clips that the recording is, or that are parts of it.
            limit: Where normal ends.
            domain: Whose training clips the share counts.
        """
        features = self.features(samples)
        is_cut = len(own_rows) > 1  # a scorer leaves out one clip, not several
        scorer, rows = self.fitted(number, own_rows if is_cut else ())
        own_clip = np.flatnonzero(np.isin(rows, own_rows))
        one_clip = np.zeros(len(features), np.int64)
        pieces = ClipPieces(self.section_name(number), self.class_index(number), features, one_clip, np.array([True]))
        found = scorer.score(pieces, own_clip if len(own_clip) else None)
        names = np.full(len(features), "")
        if self.references is not None and found.nearest.shape[1]:
            names = self.references.path[rows[found.nearest[:, 0]]]
        score = float(found.clips[0])
        return ClipScore(
            score=score,
            section=number,
            share_below=share_below(self.known(number), score, domain),
            threshold=limit,
            is_anomalous=score > limit.value,
            pieces=found.pieces,
            seconds=self.extractor.seconds(len(samples)),
            nearest=names,
        )

    def waveform(self, sound: Sound, sample_rate: int | None = None) -> NDArray[np.generic]:
        """The samples of a file or an array, (samples,), as the method takes them.

        Raises:
            ValueError: They are unusable, or an array without its rate.
        """
        if isinstance(sound, str | Path):
            return read_clip(Path(sound), replace(self.method.decoding, max_samples=MOST_SAMPLES))
        if sample_rate is None:
            raise ValueError(f"an array needs its sample_rate: {self.method.sample_rate} Hz are expected")
        return from_array(sound, sample_rate, self.method.decoding)

    def features(self, samples: NDArray[np.generic]) -> Tensor:
        """The features of the pieces of a waveform, (pieces, dim)."""
        [found] = self.extractor.extract(WaveformBank.from_arrays([samples]))
        return found

    def own_rows(self, sound: Sound) -> tuple[int, ...]:
        """The rows of a recording that is itself a training clip, or of its parts; none of a new one."""
        if self.references is None or not isinstance(sound, str | Path):
            return ()
        return self.references.rows_of(Path(sound))

    def _fitted(self, section: int, without: tuple[int, ...] = ()) -> tuple[Scorer, NDArray[np.int64]]:
        """The scorer of a section without some of its clips, and which training clips its numbers are."""
        scorer, rows = self.choice.build(), np.array([], np.int64)
        if self.references is not None:
            name, index = self.section_name(section), self.class_index(section)
            train, rows = self.references.of_section(section, index, name, without=without)
            scorer.fit(train)
        return scorer, rows

    def _known(self, section: int) -> Section:
        """What a verdict needs of a section's training clips."""
        clips = self.training.select((self.training.section == section) | (section == ALL_SECTIONS))
        known = Section(section, self.class_index(section), clips.clip, clips.score, clips.domain == "source")
        return replace(known, gamma=FittedTails(known))

    def class_index(self, section: int) -> int:
        """The place of a section among the classes."""
        return 0 if section == ALL_SECTIONS else self.sections.index(section)

    def section_name(self, section: int) -> str:
        """What messages call a section."""
        return f"{self.machine} section {section:02d}"

    def find_section(self, sound: Sound, section: int | None) -> int:
        """The section given, or the one in the file's name, or the only one.

        Raises:
            ValueError: It is not known, or several are and neither tells which.
        """
        name = str(sound) if isinstance(sound, str | Path) else "an array"
        if section is None:
            named = named_parts(sound)
            section = named.section if named else self.sections[0] if len(self.sections) == 1 else ALL_SECTIONS
            if section not in self.sections and not self.method.NEEDS_SECTION:
                return ALL_SECTIONS
            if section == ALL_SECTIONS:
                raise ValueError(f"{name}: the name tells no section; give --section, one of {self.sections}")
        if section not in self.sections:
            raise ValueError(f"{name}: section {section} is not known to {self.machine}; it knows {self.sections}")
        return section

    def find_domain(self, sound: Sound) -> Domain:
        """The domain in a file's name, if the run has training clips of it; else both."""
        named = named_parts(sound)
        known = set(self.training.domain.tolist())
        if named is None or named.domain not in known:
            return "both"
        return "source" if named.domain == "source" else "target"


@dataclass(frozen=True, eq=False)
class FittedTails(Mapping[str, TailQuantiles]):
    """The fitted quantiles of each domain, fitted when a threshold asks for them.

    Attributes:
        section: Whose training scores they are of.
    """

    section: Section

    def __getitem__(self, domain: str) -> TailQuantiles:
        """Those of one domain."""
        from asd.scoring.thresholds import tail_quantiles  # scipy.stats takes a second to import

        found = tail_quantiles(self.section.scores_of(cast(Domain, domain)))
        if found is None:
            raise KeyError(domain)
        return found

    def __iter__(self) -> Iterator[str]:
        """The domains."""
        return iter(DOMAINS)

    def __len__(self) -> int:
        """Of the domains."""
        return len(DOMAINS)


def named_parts(sound: Sound) -> ClipName | None:
    """What the name of a file tells; None where it is no clip's."""
    try:
        return parse_name(Path(sound).name) if isinstance(sound, str | Path) else None
    except ValueError:
        return None
