"""What a classifier tells apart, and which clips a step takes of it."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd.data import classes as module
from asd.data.classes import check_clusters, cluster_classes, k_means, told_classes
from asd.data.clips import ClipTable
from asd.data.sampling import BalancedSource, TargetStep, clips_by_class
from asd.data.waveforms import WaveformBank
from asd.evaluation import evaluate
from asd.experiment import train
from asd.runs.checkpoint import load_checkpoint
from asd.runs.classes import read_classes
from tests.support.factory import make_machine, scan_machine, tone
from tests.support.jobs import compose
from tests.training.test_resume import before_step, digest

Job = Callable[..., Any]


def table_of(rows: list[tuple[int, str, str, str]]) -> ClipTable:
    """A table of (section, domain, split, attributes)."""
    section, domain, split, attributes = (np.array(column) for column in zip(*rows, strict=True))
    return ClipTable(
        machine="fan",
        root=Path("data"),
        path=np.array([f"{row:03d}.wav" for row in range(len(rows))]),
        section=section,
        domain=domain,
        split=split,
        label=np.full(len(rows), "normal"),
        attributes=attributes,
        size=np.ones(len(rows), np.int64),
        mtime_ns=np.ones(len(rows), np.int64),
    )


TOLD = table_of(
    [
        (0, "source", "train", "load 1"),
        (0, "source", "train", "load 2"),
        (0, "target", "train", "load 2"),
        (0, "target", "train", "load 3"),
        (4, "source", "train", ""),
        (4, "source", "test", "load 9"),
    ]
)


def test_told_classes() -> None:
    assert TOLD.classes == ["section 00", "section 04"]
    assert TOLD.class_index.tolist() == [0, 0, 0, 0, 1, 1]
    expected = {
        "section": ["section 00"] * 4 + ["section 04"] * 2,
        "attributes": [f"section 00, load {k}" for k in (1, 2, 2, 3)] + ["section 04", "section 04, load 9"],
        "attributes_domain": [
            "section 00, load 1, source",
            "section 00, load 2, source",
            "section 00, load 2, target",
            "section 00, load 3, target",
            "section 04, source",
            "section 04, load 9, source",
        ],
    }
    for kind, names in expected.items():
        assert told_classes(TOLD, kind).tolist() == names
    told = replace(TOLD, class_name=told_classes(TOLD, "attributes"))
    assert told.classes == ["section 00, load 1", "section 00, load 2", "section 00, load 3", "section 04"]
    assert told.class_index[:5].tolist() == [0, 1, 1, 2, 3]
    assert told.select(told.section == 0).classes == told.classes[:3]


def test_a_class_of_one_domain_gives_what_it_has() -> None:
    told = replace(TOLD, class_name=told_classes(TOLD, "attributes"))
    assert [rows.tolist() for rows in clips_by_class(told, "source")] == [[0], [1], [3], [4]]
    assert [rows.tolist() for rows in clips_by_class(told, "target")] == [[], [2], [3], []]
    with pytest.raises(ValueError, match="no training clips from the target domain in section 04"):
        clips_by_class(TOLD, "target")
    settings: dict[str, Any] = {"batch_size": 16, "mix_range": (0.0, 0.5), "mix_probability": 1.0, "seed": 0}
    for kind in (BalancedSource, TargetStep):
        plan = kind(told, n_positions=np.full(len(told), 9), **settings)
        for step in range(30):
            drawn = plan.indices(step)
            chosen = plan.target_section(step) if isinstance(plan, TargetStep) else None
            assert chosen in (None, 1, 2)
            for clip, number in [*zip(drawn.clip, drawn.section), *zip(drawn.partner, drawn.partner_section)]:  # noqa: B905
                domain = "target" if number == chosen or number == 2 else "source"
                assert (told.class_index[clip], told.domain[clip]) == (number, domain)
            assert (drawn.section != drawn.partner_section).all()


def test_clusters_are_found_among_the_training_clips_of_each_section_alone() -> None:
    frequency = [300, 3000, 300, 3000, 300, 3000, 700]
    rows = [(section, "source", "train", "") for section in (0, 1) for _ in range(6)]
    table = table_of([*rows, (0, "source", "test", "")])
    bank = WaveformBank.from_arrays([tone(hz, 0.5, seed) for seed, hz in enumerate([*frequency[:6], *frequency])])
    names = cluster_classes(table, bank, 2, sample_rate=16_000, seed=0, progress=False)
    alternating = ["cluster 00", "cluster 01"] * 3
    assert names.tolist() == [f"section {k:02d}, {name}" for k in (0, 1) for name in alternating] + ["section 00"]


def test_k_means_ends_where_no_point_is_nearer_to_another_centre() -> None:
    points = np.random.default_rng(0).normal(size=(60, 3))
    found = k_means(points, 5, seed=1)
    assert found.tolist() == k_means(points, 5, seed=1).tolist()
    centres = [points[found == number].mean(axis=0) for number in range(5)]
    for point, number in zip(points, found, strict=True):
        assert number == min(range(5), key=lambda k: float(((point - centres[k]) ** 2).sum()))
    assert list(dict.fromkeys(found.tolist())) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="2 training clips of a section differ; give fewer clusters"):
        k_means(points[[0, 1, 0, 1]], 3, seed=0)


def test_too_many_clusters() -> None:
    with pytest.raises(ValueError, match="section 00 of fan has 4 training clips; give at most classes=clusters-4"):
        check_clusters(TOLD, 5)


REFUSED = [
    (
        ["classes=cluster-4"],
        "one of section, attributes, attributes_domain, machine, or clusters-N such as",
    ),
    (["classes=clusters-7"], "section 00 of fan has 6 training clips; give at most classes=clusters-6"),
    (["classes=clusters-1"], "classes=clusters-8 (groups of similar training clips); method=autoencoder, method="),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_cannot_be_told_apart_names_the_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: Job, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make_machine(tmp_path / "data", sections=1)
    with pytest.raises(ValueError, match=r".*") as caught:
        job("train", *words)
    assert message in str(caught.value)


def test_the_message_for_one_section_names_its_attributes(tmp_path: Path) -> None:
    one = scan_machine(make_machine(tmp_path, sections=1, target=0, test=0), "fan")
    with pytest.raises(ValueError, match=r"What works with one section: classes=clusters-8"):
        clips_by_class(one, "source")
    told = replace(one, attributes=np.array(["a", "b", "a", "b"]))
    with pytest.raises(ValueError, match=r"one section: classes=attributes \(2 different ones\), classes=clusters-8"):
        clips_by_class(told, "source")


@pytest.mark.slow
def test_pseudo_classes_of_one_section_go_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: Job
) -> None:
    """Trained, killed and gone on with, fine-tuned, evaluated, scored: the clusters are made once."""
    monkeypatch.chdir(tmp_path)
    make_machine(tmp_path / "data", sections=1, source=8)
    words = ("classes=clusters-2", "trainer.max_steps=4", "save.every_n_steps=1")
    whole = train(job("train", *words))
    with before_step(2, lambda: os.kill(os.getpid(), signal.SIGTERM)), pytest.raises(SystemExit):
        train(job("train", *words, "name=again"))
    kept = Path("outputs/again/fan/small-512x32-s0/train/classes.csv")
    assert kept.read_bytes() == whole.classes.read_bytes()

    def never(*_: object, **__: object) -> None:
        raise AssertionError("clusters are made once")

    monkeypatch.setattr(module, "cluster_classes", never)
    again = train(job("train", *words, "name=again"))
    assert digest(again) == digest(whole)
    tuned = train(job("finetune", *words, "name=again", "freeze=none"))
    assert tuned.classes.read_bytes() == whole.classes.read_bytes()
    assert load_checkpoint(tuned.checkpoint)["asd"]["classes"] == ["section 00, cluster 00", "section 00, cluster 01"]
    evaluate(compose("evaluate", "name=again", "accelerator=cpu", "progress=false"))
    assert (tuned.scores("cosine") / "scores.csv").is_file()
    with pytest.raises(ValueError, match="classes: clusters-2 → clusters-3"):
        job("finetune", "classes=clusters-3", *words[1:], "name=again", "freeze=backbone")
    table = scan_machine(tmp_path / "data", "fan")
    again.classes.write_text("clip,class\n")
    with pytest.raises(ValueError, match=r"no class of .* and 9 other training clips"):
        read_classes(again, table)
    again.classes.unlink()
    with pytest.raises(ValueError, match=r"is not finished"):
        train(job("finetune", *words, "name=again", "freeze=backbone"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["attributes", "attributes_domain"])
def test_attributes_as_classes_through_both_phases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: Job, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make_machine(tmp_path / "data", sections=1)
    for path in sorted((tmp_path / "data/dev_data/fan/train").iterdir()):
        load = int(path.stem[-1]) % 2 if "source" in path.name else 2
        path.rename(path.with_name(f"{path.stem}_load_{load}.wav"))
    run = train(job("train", f"classes={kind}"))
    assert len(set(load_checkpoint(run.checkpoint)["asd"]["classes"])) == 3
    tuned = train(job("finetune", f"classes={kind}", "freeze=none"))
    evaluate(compose("evaluate", "accelerator=cpu", "progress=false"))
    assert (tuned.scores("cosine") / "scores.csv").is_file()
