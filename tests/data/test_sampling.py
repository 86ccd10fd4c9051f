"""What the training steps draw, checked with plain loops."""

import itertools
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd.data.clips import ClipTable
from asd.data.sampling import BalancedSource, BatchIndices, TargetStep

PLANS = (BalancedSource, TargetStep)


def make_table(source: list[int], target: list[int], n_test: int = 4) -> ClipTable:
    """A table with so many training clips of each section, and test clips of every section."""
    rows = []
    for section, counts in enumerate(zip(source, target, strict=True)):
        for domain, count in zip(("source", "target"), counts, strict=True):
            rows += [(section, domain, "train", index) for index in range(count)]
            rows += [(section, domain, "test", index) for index in range(n_test)]
    section, domain, split, index = (np.array(column) for column in zip(*rows, strict=True))
    return ClipTable(
        machine="fan",
        root=Path("data"),
        path=np.array([f"section_{s:02d}_{d}_{p}_normal_{i:04d}.wav" for s, d, p, i in rows]),
        section=(10 + section).astype(np.int16),  # neither 0 … 5 nor equal to the classes
        domain=domain,
        split=split,
        label=np.full(len(rows), "normal"),
        attributes=np.full(len(rows), ""),
        size=np.full(len(rows), 320044),
        mtime_ns=index,
    )


SIX = make_table([100, 101, 90, 100, 8, 110], [3] * 6)


def make_plan(kind: type[BalancedSource], table: ClipTable = SIX, **changes: Any) -> BalancedSource:
    arguments: dict[str, Any] = {
        "batch_size": 48,
        "mix_range": (0.0, 0.5),
        "mix_probability": 1.0,
        "n_positions": np.full(len(table), 282),
        "seed": 0,
    }
    return kind(table, **{**arguments, **changes})


def equal(one: BatchIndices, other: BatchIndices) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in one.__dict__)


@pytest.mark.parametrize("kind", PLANS)
def test_shapes_and_types(kind: type[BalancedSource]) -> None:
    draw = make_plan(kind).indices(0)
    for name in ("clip", "partner", "section", "partner_section", "position"):
        assert getattr(draw, name).shape == (48,)
        assert getattr(draw, name).dtype == np.int64
    assert draw.mix_weight.shape == (48,)
    assert draw.mix_weight.dtype == np.float32


@pytest.mark.parametrize("kind", PLANS)
def test_each_of_six_sections_gives_eight_clips(kind: type[BalancedSource]) -> None:
    plan = make_plan(kind)
    for step in range(50):
        assert Counter(plan.indices(step).section.tolist()) == dict.fromkeys(range(6), 8)


@pytest.mark.parametrize("kind", PLANS)
def test_five_sections_are_as_even_as_it_goes(kind: type[BalancedSource]) -> None:
    plan = make_plan(kind, make_table([20] * 5, [3] * 5))
    total: Counter[int] = Counter()
    for step in range(5):
        counts = Counter(plan.indices(step).section.tolist())
        assert sorted(counts.values()) == [9, 9, 10, 10, 10]
        total += counts
    assert set(total.values()) == {48}


@pytest.mark.parametrize("kind", PLANS)
def test_sections_and_splits_are_those_of_the_clips(kind: type[BalancedSource]) -> None:
    plan = make_plan(kind)
    for step in range(30):
        draw = plan.indices(step)
        for clip, section in (*zip(draw.clip, draw.section), *zip(draw.partner, draw.partner_section)):  # noqa: B905
            assert SIX.sections[section] == SIX.section[clip]
            assert SIX.split[clip] == "train"
        assert (draw.section != draw.partner_section).all()


def test_phase_1_draws_from_source_only() -> None:
    plan = make_plan(BalancedSource)
    for step in range(30):
        draw = plan.indices(step)
        assert set(SIX.domain[np.concatenate([draw.clip, draw.partner])]) == {"source"}


def test_a_section_hands_out_all_its_clips_before_any_comes_again() -> None:
    plan = make_plan(BalancedSource)
    handed_out: dict[int, list[int]] = defaultdict(list)
    for step in range(60):
        draw = plan.indices(step)
        for clip, section in zip(draw.clip.tolist(), draw.section.tolist(), strict=True):
            handed_out[section].append(clip)
    for section, clips in handed_out.items():
        own = np.flatnonzero(SIX.is_train & SIX.is_source & (SIX.section == SIX.sections[section]))
        cycles = [clips[start : start + len(own)] for start in range(0, len(clips) - len(own) + 1, len(own))]
        assert len(cycles) >= 4
        for cycle in cycles:
            assert sorted(cycle) == own.tolist()
        assert len({tuple(cycle) for cycle in cycles}) == len(cycles), "the order is never reshuffled"


def test_fewer_clips_than_slots() -> None:
    plan = make_plan(BalancedSource, make_table([1, 3], [1, 1]))
    for step in range(10):
        counts = Counter(plan.indices(step).clip.tolist())
        assert sorted(counts.values()) == [8, 8, 8, 24]


def test_sections_differ_in_their_orders() -> None:
    table = make_table([50, 50], [1, 1])
    draws = [make_plan(BalancedSource, table).indices(step) for step in range(2)]
    first = {
        section: table.mtime_ns[np.concatenate([d.clip[d.section == section] for d in draws])] for section in (0, 1)
    }
    assert not np.array_equal(first[0], first[1])


def test_partners_come_from_all_other_sections_alike() -> None:
    plan = make_plan(BalancedSource)
    pairs: Counter[tuple[int, int]] = Counter()
    partners: Counter[int] = Counter()
    for step in range(400):
        draw = plan.indices(step)
        pairs.update(zip(draw.section.tolist(), draw.partner_section.tolist(), strict=True))
        partners.update(draw.partner.tolist())
    assert len(pairs) == 30
    assert 560 < min(pairs.values()) <= max(pairs.values()) < 720  # 640 expected
    small = [partners[clip] for clip in np.flatnonzero(SIX.is_train & SIX.is_source & (SIX.section == 14))]
    assert len(small) == 8
    assert 320 < min(small) <= max(small) < 480  # 400 expected


@pytest.mark.parametrize("mix_range", [(0.0, 0.5), (0.2, 0.7), (0.3, 0.3), (0.0, 1.0)])
def test_weights_are_uniform(mix_range: tuple[float, float]) -> None:
    low, high = mix_range
    plan = make_plan(BalancedSource, mix_range=mix_range)
    weights = np.concatenate([plan.indices(step).mix_weight for step in range(200)]).astype(float)
    if low == high:
        assert (weights == np.float32(low)).all()
        return
    assert low - 1e-7 <= weights.min() < low + 0.01
    assert high - 0.01 < weights.max() < high
    counts, _ = np.histogram(weights, bins=10, range=mix_range)
    assert 840 < counts.min() <= counts.max() < 1080  # 960 expected


def test_some_clips_stay_as_they_are() -> None:
    plan = make_plan(BalancedSource, mix_probability=0.25)
    weights = np.concatenate([plan.indices(step).mix_weight for step in range(100)])
    assert 0.22 < (weights > 0).mean() < 0.28
    assert not make_plan(BalancedSource, mix_probability=0.0).indices(0).mix_weight.any()


def test_pieces_start_anywhere_in_both_clips() -> None:
    positions = np.random.default_rng(0).integers(32, 40, len(SIX)) - 31
    plan = make_plan(BalancedSource, n_positions=positions)
    seen = set()
    for step in range(100):
        draw = plan.indices(step)
        last = np.minimum(positions[draw.clip], positions[draw.partner]) - 1
        assert (draw.position >= 0).all()
        assert (draw.position <= last).all()
        seen |= set((last - draw.position).tolist()) | set(draw.position.tolist())
    assert seen == set(range(8)), "first and last columns come up"
    starts = Counter(np.concatenate([make_plan(BalancedSource).indices(step).position for step in range(300)]).tolist())
    assert set(starts) == set(range(282))


@pytest.mark.parametrize("kind", PLANS)
def test_a_step_is_a_function_of_seed_and_number(kind: type[BalancedSource]) -> None:
    plan = make_plan(kind)
    draws = [plan.indices(step) for step in range(20)]
    again = make_plan(kind)
    for step in reversed(range(20)):
        assert equal(again.indices(step), draws[step])
    other = make_plan(kind, seed=1)
    for step in range(20):
        for name in ("clip", "partner", "mix_weight", "position"):
            assert not np.array_equal(getattr(other.indices(step), name), getattr(draws[step], name))
    for one, two in itertools.pairwise(draws):
        assert not np.array_equal(one.mix_weight, two.mix_weight)
        assert not np.array_equal(one.position, two.position)


@pytest.mark.parametrize("kind", PLANS)
def test_the_global_random_state_is_neither_read_nor_moved(kind: type[BalancedSource]) -> None:
    np.random.seed(3)
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr, index]
    first = make_plan(kind).indices(7)
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index]
    np.random.seed(4)
    assert equal(make_plan(kind).indices(7), first)


def test_phase_2_takes_one_section_from_target_and_the_others_from_source() -> None:
    plan = make_plan(TargetStep)
    chosen = Counter()
    for step in range(300):
        draw = plan.indices(step)
        clips = np.concatenate([draw.clip, draw.partner])
        sections = np.concatenate([draw.section, draw.partner_section])
        target = {section for clip, section in zip(clips, sections, strict=True) if SIX.domain[clip] == "target"}
        assert len(target) == 1
        for clip, section in zip(clips, sections, strict=True):
            assert SIX.domain[clip] == ("target" if section in target else "source")
        chosen[target.pop()] += 1
    assert set(chosen) == set(range(6))
    assert 30 < min(chosen.values()) <= max(chosen.values()) < 75  # 50 expected


def test_phase_2_takes_turns_among_the_target_clips_of_a_step() -> None:
    orders = defaultdict(set)
    plan = make_plan(TargetStep)
    for step in range(300):
        draw = plan.indices(step)
        clips = draw.clip[SIX.domain[draw.clip] == "target"].tolist()
        assert len(clips) == 8
        assert len(set(clips[:3])) == len(set(clips[3:6])) == 3
        assert len(set(clips[6:])) == 2
        orders[SIX.section[clips[0]]].add(tuple(SIX.mtime_ns[clips[:3]].tolist()))
    assert [len(found) for found in orders.values()] == [6] * 6, "every order of three clips comes up in every section"


def test_phase_2_with_a_batch_that_misses_the_section() -> None:
    plan = make_plan(TargetStep, batch_size=2)
    n_without = 0
    for step in range(60):
        draw = plan.indices(step)
        n_without += "target" not in SIX.domain[draw.clip]
    assert n_without > 20


def test_steps_of_an_epoch() -> None:
    for kind in PLANS:
        assert make_plan(kind).n_steps_per_epoch == 11  # 509 clips
        assert make_plan(kind, make_table([24, 24], [1, 1])).n_steps_per_epoch == 1
        assert make_plan(kind, make_table([24, 25], [1, 1])).n_steps_per_epoch == 2
        assert make_plan(kind, make_table([1, 1], [1, 1])).n_steps_per_epoch == 1


@pytest.mark.parametrize("kind", PLANS)
def test_a_draw_takes_no_time(kind: type[BalancedSource]) -> None:
    plan = make_plan(kind, make_table([1000] * 6, [3] * 6))
    times = []
    for step in range(100):
        start = time.perf_counter()
        plan.indices(step)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 2e-3  # 0.2 ms on an idle core


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size=0: must be at least 1"),
        ({"mix_range": (0.5, 0.2)}, "mix_range="),
        ({"mix_range": (0.0, 1.5)}, "mix_range="),
        ({"mix_range": (-0.1, 0.5)}, "mix_range="),
        ({"mix_probability": 1.1}, "mix_probability=1.1: must be between 0 and 1"),
        ({"seed": -1}, "seed=-1: must not be negative"),
        ({"n_positions": np.full(3, 282)}, r"n_positions of shape \(3,\): must be \(563,\)"),
        ({"n_positions": np.zeros(len(SIX), int)}, "section_00_source_train_normal_0000.wav: shorter than a piece"),
    ],
)
@pytest.mark.parametrize("kind", PLANS)
def test_arguments_out_of_range(kind: type[BalancedSource], changes: dict[str, Any], message: str) -> None:
    if "n_positions" in changes and len(changes["n_positions"]) == 3:
        message = message.replace("563", str(len(SIX)))
    with pytest.raises(ValueError, match=message):
        make_plan(kind, **changes)


@pytest.mark.parametrize("kind", PLANS)
def test_tables_that_cannot_be_drawn_from(kind: type[BalancedSource]) -> None:
    with pytest.raises(ValueError, match="fan: 1 class with training clips \\(section 10\\)"):
        make_plan(kind, make_table([5], [3]))
    with pytest.raises(ValueError, match="no training clips from the source domain in section 11"):
        make_plan(kind, make_table([5, 0, 5], [3, 3, 3]))


def test_phase_2_needs_target_clips_of_every_section() -> None:
    table = make_table([5, 5, 5], [0, 3, 0])
    make_plan(BalancedSource, table)
    with pytest.raises(ValueError, match="no training clips from the target domain in section 10, section 12"):
        make_plan(TargetStep, table)


def test_short_test_clips_are_no_matter_of_training() -> None:
    make_plan(BalancedSource, n_positions=np.where(SIX.is_test, 0, 282))
