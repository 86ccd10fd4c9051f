"""The simulated factory: its layout, that a seed is a sound, how it sounds, how hard it is."""

import hashlib
import json
import wave
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from scipy.stats import hmean
from sklearn.metrics import roc_auc_score

from asd.cli import main as cli
from asd.data.clips import MACHINES
from asd.data.readers.dcase import DcaseReader
from asd.scoring.logmel import mean_log_mel, nearest_distance
from asd.simulator import dataset as simulator
from asd.simulator.dataset import NEAR_AND_FAR, SIMULATOR_VERSION, Sizes, Take, clips, simulate, write_clip
from asd.simulator.faults import FAULTS
from asd.simulator.oscillators import N_SAMPLES, RATE
from asd.simulator.recording import Recording, individual, render, run, site
from tests.support.factory import scan_machine
from tests.support.full_disk import check_message, file_limit, full_at
from tests.support.power import Disk

FULL_SCALE = 32_768


def small(root: Path, **changes: Any) -> Path:
    """A data set of a few clips, made in this process."""
    asked = {"machines": ["fan"], "sections": 4, "source": 2, "target": 1, "test": 1, "workers": 1, "progress": False}
    simulate(root, **{**asked, **changes})
    return root


def contents(root: Path) -> dict[str, bytes]:
    """The clips under a folder: relative name to bytes."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.wav"))}


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips of silence: for tests that are about files."""
    monkeypatch.setattr(simulator, "render", lambda clip, nearness: np.zeros(N_SAMPLES, dtype=np.int16))


# The data set


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fan with four sections."""
    return small(tmp_path_factory.mktemp("factory") / "set")


EDITIONS = {  # edition: sections, those with labels, domains of its test clips
    "2020": (5, 3, {"none"}),
    "2022": (5, 3, {"source", "target", "unknown"}),
    "2023": (1, 1, {"source", "target"}),
    "2025": (1, 1, {"source", "target"}),
    "2026": (1, 1, {"source", "target"}),
}


@pytest.mark.parametrize("edition", EDITIONS)
def test_layouts_of_other_editions_hold_the_same_sound(tmp_path: Path, quiet: None, edition: str) -> None:
    n_sections, n_told, domains = EDITIONS[edition]
    small(tmp_path, edition=edition, sections=n_sections, test=2)
    reading = DcaseReader(tmp_path, edition=edition).read("fan")
    table = reading.table
    assert reading.excluded == {}
    assert DcaseReader(tmp_path).editions == (("2023", "2024", "2025") if edition == "2023" else (edition,))
    n_domains = 1 if edition == "2020" else 2
    assert len(table) == n_sections * (2 + (n_domains == 2) + 2 * 2 * n_domains)
    assert set(table.domain[table.is_test].tolist()) == domains
    assert {int(s) for s in table.section[table.is_test & (table.label != "unknown")]} == set(range(n_told))
    if edition != "2020":
        assert (table.attributes[table.label != "unknown"] != "").all()
        assert len(list(tmp_path.rglob("attributes_*.csv"))) == n_sections
    sizes = Sizes(n_sections, 2, 1, 2, 0, edition)
    names = [path for path, _ in clips("fan", sizes)]
    assert len(set(names)) == len(names)
    sound = {take.recording for _, take in clips("fan", replace(sizes, source=4, edition="2021"))}
    assert {take.recording for _, take in clips("fan", sizes)} <= sound
    small(tmp_path, edition=edition, sections=n_sections, test=2)  # nothing is missing
    with pytest.raises(ValueError, match=f"edition {edition} there, 2021 asked"):
        small(tmp_path, sections=n_sections, test=2)


def test_machines_of_the_evaluation_are_others_in_first_shot_editions() -> None:
    sizes = Sizes(1, 2, 1, 2, 0, "2023")
    assert {path.split("/")[0] for path, _ in clips("fan", sizes)} == {"dev_data"}
    names = [path for path, _ in clips("pump", sizes)]
    assert {path.rpartition("/")[0] for path in names} == {"eval_data/pump/train", "eval_data/pump/test"}
    assert sorted(name for name in names if "/test/" in name) == [
        f"eval_data/pump/test/section_00_{number:04d}.wav" for number in range(8)
    ]


def test_2025_has_the_machine_alone_and_2026_a_second_microphone(tmp_path: Path) -> None:
    clean = [take for path, take in clips("fan", Sizes(1, 2, 1, 2, 0, "2025")) if "/supplemental/" in path]
    assert [take.recording.index for take in clean] == [2, 3]  # none of the training clips
    usual, alone, far = (render(clean[0].recording, nearness) for nearness in (0.0, 60.0, -6.0))
    two = Take(clean[0].recording, NEAR_AND_FAR)
    write_clip((tmp_path / "two.wav", two))
    found, _ = soundfile.read(tmp_path / "two.wav", dtype="int16")
    assert np.array_equal(found, np.stack([usual, far], axis=1))
    assert (tmp_path / "two.wav").stat().st_size == two.n_bytes
    # As loud as the recorder made them, they are less alike the more background there is.
    like = [abs(np.corrcoef(alone, other)[0, 1]) for other in (usual, far)]
    assert like[0] > like[1] > 0.1
    fainter = next(take for _, take in clips("fan", Sizes(1, 1, 1, 1, 0, nearness=-3.0)))
    write_clip((tmp_path / "fainter.wav", fainter))
    found, _ = soundfile.read(tmp_path / "fainter.wav", dtype="int16")
    assert np.array_equal(found, render(fainter.recording, -3.0))


def test_editions_that_are_not_simulated(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="edition=2027: not simulated; there are 2020, 2021"):
        small(tmp_path, edition="2027")
    with pytest.raises(ValueError, match="sections=4: the simulated factory of 2023 takes 1 to 1"):
        small(tmp_path, edition="2023")


def test_layout_is_that_of_the_real_data_set(made: Path) -> None:
    table = scan_machine(made, "fan")
    assert table.sections == [0, 1, 2, 3]
    assert len(table) == 4 * (2 + 1 + 2 * 2)
    development = table.select(table.section < 3)
    assert all(path.startswith("dev_data/fan/") for path in development.path)
    assert set(development.label) == {"normal", "anomaly"}
    later = table.select(table.section == 3)
    assert all(path.startswith("eval_data/fan/") for path in later.path)
    assert set(later.select(later.is_train).label) == {"normal"}
    assert set(later.select(later.is_test).label) == {"unknown"}
    names = sorted(Path(path).name for path in later.select(later.is_test & later.is_source).path)
    assert names == ["section_03_source_test_0000.wav", "section_03_source_test_0001.wav"]
    assert all(table.select(table.is_train).attributes != "")
    assert not any(table.select(table.is_test).attributes)


def test_three_sections_have_no_evaluation_set(tmp_path: Path, quiet: None) -> None:
    small(tmp_path / "set", sections=3)
    assert not (tmp_path / "set" / "eval_data").exists()


def test_format_is_that_of_the_real_data_set(made: Path) -> None:
    for path in made.rglob("*.wav"):
        with wave.open(str(path)) as file:
            assert file.getparams()[:4] == (1, 2, 16_000, 160_000)


def test_hidden_labels_are_one_of_each_in_random_order() -> None:
    sizes = Sizes(sections=4, source=0, target=0, test=40, seed=0)
    hidden = [take.recording for path, take in clips("fan", sizes) if path.startswith("eval_data/fan/source_test")]
    labels = np.array([clip.label for clip in hidden]).reshape(-1, 2)
    assert all(set(pair) == {"normal", "anomaly"} for pair in labels)
    assert 10 < np.sum(labels[:, 0] == "normal") < 30


@pytest.mark.slow
@pytest.mark.ci
def test_same_bytes_for_any_number_of_workers(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "FEW", 0)
    assert contents(small(tmp_path / "two", workers=2)) == contents(made)


def test_a_clip_does_not_depend_on_how_many_there_are(made: Path, tmp_path: Path) -> None:
    more = contents(small(tmp_path / "more", sections=4, source=3, target=1, test=1))
    assert contents(made).items() < more.items()


def test_another_seed_is_another_factory(made: Path, tmp_path: Path) -> None:
    clip = Recording(0, "fan", 0, "source", "train", "normal", 0)
    assert not np.array_equal(render(clip), render(replace(clip, seed=1)))


def test_what_is_complete_is_left_alone_and_said(tmp_path: Path, quiet: None, capsys: pytest.CaptureFixture) -> None:
    root = small(tmp_path / "set")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.wav")}
    small(root, progress=True)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.wav")} == before
    assert "fan complete" in capsys.readouterr().out


def test_what_is_missing_or_cut_short_is_made_again(made: Path, tmp_path: Path) -> None:
    root = small(tmp_path / "set", sections=1, source=1, target=0)
    whole = contents(root)
    first, second = sorted(root.rglob("*.wav"))[:2]
    first.unlink()
    second.write_bytes(second.read_bytes()[:1000])
    small(root, sections=1, source=1, target=0)
    assert contents(root) == whole


def test_machines_join_later(tmp_path: Path, quiet: None) -> None:
    root = small(tmp_path / "set")
    small(root, machines=["pump"])
    assert {path.parts[-3] for path in root.rglob("*.wav")} == {"fan", "pump"}


def test_a_broken_off_clip_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(clip: Recording, nearness: float) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulator, "render", fail)
    with pytest.raises(KeyboardInterrupt):
        small(tmp_path / "set")
    assert [path.name for path in (tmp_path / "set").rglob("*") if path.is_file()] == ["simulated.json"]


@pytest.mark.parametrize("full", [lambda: file_limit(100_000), lambda: full_at("pump"), lambda: full_at("/dev_data")])
def test_a_full_disk_is_one_message_and_the_same_command_goes_on(
    tmp_path: Path, quiet: None, full: Callable[[], AbstractContextManager[None]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A clip that does not fit, and no room for the name of a clip or of a folder."""
    words = ["data", "simulate", "--root", str(tmp_path), "--sections", "1", "--source", "2", "--target", "0"]
    command = [*words, "--test", "0", "--quiet", "--machines"]
    assert cli([*command, "fan"]) == 0
    before = contents(tmp_path)
    with full():
        assert cli([*command, "fan,pump"]) == 1
    check_message(capsys.readouterr().err, "dev_data/pump")
    assert contents(tmp_path) == before
    assert not list(tmp_path.rglob("*.tmp"))
    assert cli([*command, "fan,pump"]) == 0
    assert len(contents(tmp_path)) == 2 * len(before) == 4


def test_other_parameters_are_refused(tmp_path: Path, quiet: None) -> None:
    root = small(tmp_path / "set")
    with pytest.raises(ValueError, match=r"source 2 there, 5 asked; seed 0 there, 1 asked.*Choose another folder"):
        small(root, source=5, seed=1)
    with pytest.raises(ValueError, match=r"nearness 0.0 there, -3.0 asked"):
        small(root, nearness=-3.0)


def test_another_version_of_the_sound_is_refused(tmp_path: Path, quiet: None) -> None:
    root = small(tmp_path / "set")
    record = json.loads((root / "simulated.json").read_text())
    assert record["simulator"] == SIMULATOR_VERSION
    (root / "simulated.json").write_text(json.dumps({**record, "simulator": 0}))
    with pytest.raises(ValueError, match="simulator 0 there"):
        small(root)


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"neither empty nor a simulated factory \(no simulated.json\)"):
        small(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"machines": ["fann"]}, "machines=\\['fann'\\]: not simulated; there are ToyCar"),
        ({"sections": 0}, "sections=0: the simulated factory of 2021 takes 1 to 100"),
        ({"source": 10_001}, "source=10001"),
        ({"test": -1}, "test=-1"),
        ({"seed": -1}, "seed=-1: must not be negative"),
        ({"nearness": float("nan")}, "nearness=nan: give -60 to 60 dB"),
    ],
)
def test_impossible_sizes_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(tmp_path / "set", **changes)
    assert not (tmp_path / "set").exists()


# The sound


def a_normal(machine: str, section: int = 0) -> Recording:
    """A normal test clip."""
    return Recording(0, machine, section, "source", "test", "normal", 0)


@pytest.mark.parametrize("machine", MACHINES)
def test_sections_and_domains_differ_between_clips_alike(machine: str) -> None:
    assert individual(0, machine, 0) is not individual(0, machine, 1)
    source, target = site(0, machine, 0, "source"), site(0, machine, 0, "target")
    assert source.speed == 1 != target.speed
    assert source.attributes != target.attributes
    first, again = render(a_normal(machine)), render(a_normal(machine))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, render(replace(a_normal(machine), index=1)))


@pytest.mark.parametrize(("machine", "fault"), [(m, f) for m, faults in FAULTS.items() for f in faults])
def test_each_fault_changes_the_sound(machine: str, fault: str) -> None:
    sound = individual(0, machine, 0)
    broken = FAULTS[machine][fault](sound, 1.0, np.random.default_rng(0))
    here = site(0, machine, 0, "source")
    before, after = (run(each, here, np.random.default_rng(1), np.random.default_rng(2)) for each in (sound, broken))
    assert not np.array_equal(before, after)
    distance = np.abs(log_spectrum(before) - log_spectrum(after)).mean()
    assert distance > 0.05


def log_spectrum(samples: np.ndarray) -> np.ndarray:
    """Level of 200 bands in dB."""
    power = np.abs(np.fft.rfft(samples.astype(np.float64))[1:]) ** 2
    return 10 * np.log10(power.reshape(200, -1).mean(axis=1))


def test_faults_take_turns_and_vary_in_strength() -> None:
    broken = [Recording(0, "fan", 0, "source", "test", "anomaly", index) for index in range(25)]
    assert {clip.fault for clip in broken} == set(FAULTS["fan"])
    assert all(len({round(c.strength, 3) for c in broken if c.fault == fault}) == 5 for fault in FAULTS["fan"])
    assert a_normal("fan").fault is None


@pytest.mark.parametrize("machine", MACHINES)
def test_nothing_clips_and_nothing_is_silent(machine: str) -> None:
    for label in ("normal", "anomaly"):
        for index in range(3):
            samples = render(replace(a_normal(machine), label=label, index=index)).astype(np.float64)
            assert np.abs(samples).max() < 0.91 * FULL_SCALE
            assert np.sqrt(np.mean(samples**2)) > 0.003 * FULL_SCALE


def band_levels(samples: np.ndarray) -> np.ndarray:
    """Levels of eight bands from 50 Hz to 8 kHz, dB."""
    power = np.abs(np.fft.rfft(samples.astype(np.float64))) ** 2
    edges = np.rint(np.geomspace(50, RATE / 2, 9) * N_SAMPLES / RATE).astype(int)
    return 10 * np.log10(np.add.reduceat(power, edges[:-1]))


def one_of_each() -> list[Recording]:
    """A normal clip of each machine, and one of each of its faults, by turns from either domain."""
    normal = [Recording(0, machine, 0, "source", "test", "normal", 0) for machine in MACHINES]
    broken = [(machine, index) for machine in MACHINES for index in range(len(FAULTS[machine]))]
    domains = ("source", "target")
    return normal + [Recording(0, m, 1, domains[index % 2], "test", "anomaly", index) for m, index in broken]


# Levels are rounded to 0.02 dB, shifted so that no frozen level is near an edge of rounding: the last bits of another
# processor's sines do not matter, while a changed sound moves some of the 336 levels across.
ROUNDING = 0.7525
FROZEN = "30b6bfacef0023e2db02a584c2e9c7c996a9e23caca966a7aa37a5f5a1f8169a"


def test_the_sound_is_frozen() -> None:
    """Another sound is another SIMULATOR_VERSION: published figures belong to one of them."""
    levels = 50 * np.concatenate([band_levels(render(clip)) for clip in one_of_each()]) + ROUNDING
    assert np.abs(levels % 1 - 0.5).min() > 0.001, "too near the edge of rounding: choose ROUNDING again"
    digest = hashlib.sha256(np.rint(levels).astype("<i4").tobytes()).hexdigest()
    assert (SIMULATOR_VERSION, digest) == (1, FROZEN)


# How hard it is


def measure(clips_of: list[Recording]) -> dict[str, np.ndarray]:
    """Features and truth of clips, as columns."""
    columns: dict[str, list[Any]] = {name: [] for name in ("mel", "rms", "peak")}
    for clip in clips_of:
        samples = render(clip) / FULL_SCALE
        columns["mel"].append(mean_log_mel(samples, RATE))
        columns["rms"].append(np.sqrt(np.mean(samples**2)))
        columns["peak"].append(np.abs(samples).max())
    truth = {
        key: np.array([getattr(clip, key) for clip in clips_of]) for key in ("section", "domain", "split", "label")
    }
    return {**{name: np.array(values) for name, values in columns.items()}, **truth}


def development(machine: str, seed: int, source: int, test: int) -> list[Recording]:
    """The clips of the three sections of a development set."""
    return [take.recording for _, take in clips(machine, Sizes(3, source, 3, test, seed))]


def nearest_neighbour_aucs(table: dict[str, np.ndarray]) -> np.ndarray:
    """AUC of the mean log-mel neighbour: (sections, domains)."""
    aucs = np.zeros((3, 2))
    for section in range(3):
        here = table["section"] == section
        is_train = table["split"][here] == "train"
        score, label, domain = (
            nearest_distance(table["mel"][here], is_train),
            table["label"][here],
            table["domain"][here],
        )
        for column, name in enumerate(("source", "target")):
            test = ~is_train & (domain == name)
            aucs[section, column] = roc_auc_score(label[test] == "anomaly", score[test])
    return aucs


def loudness_aucs(tables: list[dict[str, np.ndarray]]) -> tuple[float, float]:
    """AUC of RMS and of peak alone over all test clips."""
    both = {key: np.concatenate([table[key] for table in tables]) for key in ("rms", "peak", "split", "label")}
    test = both["split"] == "test"
    truth = both["label"][test] == "anomaly"
    return roc_auc_score(truth, both["rms"][test]), roc_auc_score(truth, both["peak"][test])


@pytest.mark.slow
@pytest.mark.ci
def test_difficulty_of_a_small_set() -> None:
    table = measure(development("fan", seed=0, source=15, test=10))
    assert 0.5 < hmean(nearest_neighbour_aucs(table).ravel()) < 0.75
    assert all(0.3 < auc < 0.7 for auc in loudness_aucs([table]))


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES)
def test_difficulty(machine: str, record_property: Callable[[str, object], None]) -> None:
    tables = [measure(development(machine, seed, source=100, test=25)) for seed in (0, 1, 2)]
    aucs = np.stack([nearest_neighbour_aucs(table) for table in tables])
    per_seed = [hmean(each.ravel()) for each in aucs]
    rms, peak = loudness_aucs(tables)
    record_property("difficulty", f"{machine}: {per_seed} {aucs.mean(axis=(0, 1))} rms {rms} peak {peak}")
    assert all(0.55 < auc < 0.70 for auc in per_seed)
    assert aucs[:, :, 1].mean() < aucs[:, :, 0].mean()
    assert 0.35 < rms < 0.65
    assert 0.35 < peak < 0.65


@pytest.mark.parametrize("n_operations", [0, 5, 11, 12, 40, None])
def test_a_loss_of_power_costs_no_clip_that_was_said_to_be_there(
    tmp_path: Path, quiet: None, monkeypatch: pytest.MonkeyPatch, n_operations: int | None
) -> None:
    sizes = {"machines": ["fan"], "sections": 1, "source": 3, "target": 1, "test": 1, "workers": 1}
    simulate(tmp_path / "whole", **sizes)
    disk = Disk(tmp_path / "data", monkeypatch)
    disk.stop_after(n_operations)
    with disk.losing_power():
        simulate(tmp_path / "data", **sizes)
    lost = disk.drop_unflushed()
    assert not [path for path in lost if path.suffix == ".wav"]
    simulate(tmp_path / "data", **sizes)
    for path in (tmp_path / "whole").rglob("*.wav"):
        assert (tmp_path / "data" / path.relative_to(tmp_path / "whole")).read_bytes() == path.read_bytes()
    assert not list((tmp_path / "data").rglob("*.tmp"))
