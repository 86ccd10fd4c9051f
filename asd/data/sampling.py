"""Which clips make a training step: phase 1 from source, phase 2 with one section from target (Report 2.4).

A step is a pure function of (seed, step): any worker may draw any step, in any order, again after a restart.
"""

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Protocol

import numpy as np

from asd.data.clips import ClipTable

# One stream of random numbers for each purpose. Not by the length of the key: numpy fills short keys up with zeros.
ORDER, MIXING, TARGET_SECTION, TARGET_ORDER = range(4)


@dataclass(frozen=True)
class BatchIndices:
    """One training step as index arrays, all (batch,).

    Attributes:
        clip: int64, rows of the table.
        partner: int64, rows of the clips mixed in, always of another section.
        section: int64, class of each clip: the position in `table.classes`.
        partner_section: int64, class of each partner.
        mix_weight: float32, weight of the partner; 0 where a clip stays as it is.
        position: int64, of the window in both clips (asd/features/input).
    """

    clip: np.ndarray
    partner: np.ndarray
    section: np.ndarray
    partner_section: np.ndarray
    mix_weight: np.ndarray
    position: np.ndarray


class BatchPlan(Protocol):
    """Chooses the clips of each step."""

    n_steps_per_epoch: int

    def indices(self, step: int) -> BatchIndices:
        """The indices of one step, a pure function of (seed, step)."""


class RankSlice:
    """The part of each step that one of several processes takes; together they take the whole.

    Args:
        plan: Of the whole.
        rank: Number of the process.
        n_ranks: Number of processes.
    """

    def __init__(self, plan: BatchPlan, rank: int, n_ranks: int) -> None:
        self.plan = plan
        self.rank = rank
        self.n_ranks = n_ranks
        self.n_steps_per_epoch = plan.n_steps_per_epoch

    def indices(self, step: int) -> BatchIndices:
        """The process's share of the indices of one step.

        Raises:
            ValueError: The processes cannot take equal shares.
        """
        whole = self.plan.indices(step)
        each, rest = divmod(len(whole.clip), self.n_ranks)
        if rest:
            raise ValueError(
                f"batch_size={len(whole.clip)} cannot be shared out equally among {self.n_ranks} devices: "
                f"take trainer.devices or batch_size (another result) so that it can"
            )
        ours = slice(self.rank * each, (self.rank + 1) * each)
        return BatchIndices(*(getattr(whole, field.name)[ours] for field in fields(whole)))


class BalancedSource:
    """Phase 1: clips of the source domain, as many of each section as the batch allows.

    Slot after slot the sections take turns; each hands out its clips in random order, reshuffled when all were seen.

    Args:
        table: The clips.
        batch_size: Clips of a step.
        mix_range: Lowest and highest weight of the partner (Table 3: [0, 0.5)).
        mix_probability: Of mixing a clip at all.
        n_positions: (clips,) positions of each clip that a window can be cut at (asd/features/input).
        seed: Of all randomness.

    Raises:
        ValueError: An argument is out of range, a section has no clips of the domain, a clip is too short,
            or there is only one class.
    """

    domains: tuple[str, ...] = ("source",)

    def __init__(
        self,
        table: ClipTable,
        *,
        batch_size: int,
        mix_range: tuple[float, float],
        mix_probability: float,
        n_positions: np.ndarray,
        seed: int,
    ) -> None:
        check_arguments(batch_size, mix_range, mix_probability, seed)
        check_positions(table, n_positions)
        self.batch_size = batch_size
        self.mix_range = mix_range
        self.mix_probability = mix_probability
        self.n_positions = n_positions
        self.seed = seed
        self.clips = {domain: clips_by_class(table, domain) for domain in self.domains}
        self.source = self.clips["source"]
        n_clips = sum(len(clips) for clips in self.source)
        self.n_steps_per_epoch = max(1, -(-n_clips // batch_size))

    def indices(self, step: int) -> BatchIndices:
        """The indices of one step, counted from 0 over all epochs."""
        slot = step * self.batch_size + np.arange(self.batch_size)
        section, number = slot % len(self.source), slot // len(self.source)
        clip = self._clips(section, number, step)
        random = np.random.default_rng([self.seed, MIXING, step])
        partner_section = (section + random.integers(1, len(self.source), self.batch_size)) % len(self.source)
        partner = pick(self._pools(step), partner_section, random)
        n_positions = np.minimum(self.n_positions[clip], self.n_positions[partner])
        position = random.integers(0, n_positions - 1, endpoint=True)
        return BatchIndices(clip, partner, section, partner_section, self._mix_weight(random), position)

    def _clips(self, section: np.ndarray, number: np.ndarray, step: int) -> np.ndarray:
        """The clip of each slot: the `number`-th that its section hands out."""
        return np.array([self._source_clip(*slot) for slot in zip(section.tolist(), number.tolist(), strict=True)])

    def _source_clip(self, section: int, number: int) -> int:
        cycle, place = divmod(number, len(self.source[section]))
        return int(self.source[section][shuffled(len(self.source[section]), self.seed, ORDER, section, cycle)[place]])

    def _pools(self, step: int) -> list[np.ndarray]:
        """The clips that partners come from, by section."""
        return self.source

    def _mix_weight(self, random: np.random.Generator) -> np.ndarray:
        """(batch,) float32 weights of the partners (Report 2.3)."""
        low, high = np.float32(self.mix_range[0]), np.float32(self.mix_range[1])
        weight = np.minimum(low + (high - low) * random.random(self.batch_size, np.float32), np.nextafter(high, low))
        return np.where(random.random(self.batch_size) < self.mix_probability, weight, np.float32(0))


class TargetStep(BalancedSource):
    """Phase 2: in each step one section, drawn anew, gives clips of the target domain, the others of the source.

    That holds for partners too. Within a step the section hands out its few target clips in random order, reshuffled
    when all were seen. Arguments and errors as of BalancedSource; every section needs target clips as well.
    """

    domains = ("source", "target")

    def target_section(self, step: int) -> int:
        """The class whose clips come from the target domain in a step; one that has clips there."""
        there = [number for number, clips in enumerate(self.clips["target"]) if len(clips)]
        return there[int(np.random.default_rng([self.seed, TARGET_SECTION, step]).integers(len(there)))]

    def _clips(self, section: np.ndarray, number: np.ndarray, step: int) -> np.ndarray:
        clip = super()._clips(section, number, step)
        chosen = self.target_section(step)
        slots = np.flatnonzero(section == chosen)
        pool = self.clips["target"][chosen]
        n_rounds = -(-len(slots) // len(pool))
        orders = [shuffled(len(pool), self.seed, TARGET_ORDER, step, turn) for turn in range(n_rounds)]
        if orders:
            clip[slots] = pool[np.concatenate(orders)[: len(slots)]]
        return clip

    def _pools(self, step: int) -> list[np.ndarray]:
        chosen = self.target_section(step)
        return [*self.source[:chosen], self.clips["target"][chosen], *self.source[chosen + 1 :]]


@lru_cache(maxsize=256)
def shuffled(n_items: int, *key: int) -> np.ndarray:
    """(n_items,) a random order that only the key determines."""
    order = np.random.default_rng(key).permutation(n_items)
    order.flags.writeable = False
    return order


def pick(pools: list[np.ndarray], which: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """An entry of each pool that `which` names, all equally likely."""
    place = random.integers(np.array([len(pool) for pool in pools])[which])
    return np.array([pools[pool][at] for pool, at in zip(which.tolist(), place.tolist(), strict=True)])


def clips_by_class(table: ClipTable, domain: str) -> list[np.ndarray]:
    """The training clips of a domain as rows of the table, one array per class.

    Sections have clips of both domains. Of other classes one may be in a single domain: where the source domain has no
    clips of it, those of the target domain are taken; where the target domain has none, its array is empty.

    Raises:
        ValueError: There are fewer than two classes, or no clips of the domain in a section, or in any class.
    """
    classes, index, train = table.classes, table.class_index, table.is_train
    if len(classes) < 2:
        raise ValueError(one_class(table))
    here = train & (table.is_target if domain == "target" else table.is_source)
    clips = [np.flatnonzero(here & (index == number)) for number in range(len(classes))]
    empty = [name for name, found in zip(classes, clips, strict=True) if not len(found)]
    if empty and (table.class_name is None or len(empty) == len(classes)):
        way_out = ". Phase 2 learns from target clips; without any, evaluate.py takes phase 1" * (domain == "target")
        raise ValueError(f"{table.machine}: no training clips from the {domain} domain in {', '.join(empty)}{way_out}")
    if domain == "source":
        clips = [found if len(found) else np.flatnonzero(train & (index == k)) for k, found in enumerate(clips)]
    return clips


def one_class(table: ClipTable) -> str:
    """What to do where there is nothing to tell apart."""
    n_attributes = len(np.unique(table.attributes[table.is_train]))
    attributes = f"classes=attributes ({n_attributes} different ones), " if n_attributes > 1 else ""
    return (
        f"{table.machine}: {len(table.classes)} class with training clips ({', '.join(table.classes)}); a classifier "
        f"needs at least 2. What works with one section: {attributes}classes=clusters-8 (groups of similar training "
        "clips); method=autoencoder, method=logmel_neighbour or method=temporal_pooling, which need no classes. Or "
        "tell individuals or operating states apart as sections: folders id_00, id_01 … above normal/, or a column "
        "section in a table"
    )


def check_arguments(batch_size: int, mix_range: tuple[float, float], mix_probability: float, seed: int) -> None:
    """Raises ValueError where an argument is out of range."""
    low, high = mix_range
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: must be at least 1")
    if not 0 <= low <= high <= 1:
        raise ValueError(f"mix_range={low, high}: must be two weights, 0 <= low <= high <= 1")
    if not 0 <= mix_probability <= 1:
        raise ValueError(f"mix_probability={mix_probability}: must be between 0 and 1")
    if seed < 0:
        raise ValueError(f"seed={seed}: must not be negative")


def check_positions(table: ClipTable, n_positions: np.ndarray) -> None:
    """Raises ValueError where the positions are not those of the table, or a training clip has none."""
    if n_positions.shape != (len(table),):
        raise ValueError(
            f"n_positions of shape {n_positions.shape}: must be ({len(table)},), one per clip of the table"
        )
    short = np.flatnonzero(table.is_train & (n_positions < 1))
    if len(short):
        raise ValueError(f"{table.path[short[0]]}: shorter than a piece; {len(short)} such training clips")
