"""Both phases as they run: what is left on disk, what is learnt, what repeats to the bit."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from asd.experiment import train
from asd.models.module import TrainingModule
from asd.runs.checkpoint import load_checkpoint
from asd.runs.folder import RunFolder
from asd.runs.manifest import is_done
from asd.runs.record import read_record
from asd.runs.status import read_status
from asd.training.trainer import build_trainer

Job = Callable[..., Any]


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    """The weights and statistics of a run's last checkpoint."""
    return load_checkpoint(run.checkpoint)["state_dict"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two states agree to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_run_leaves_its_folder(workplace: Path, job: Job) -> None:
    run = train(job("train", "trainer.max_steps=3"))
    assert run.path == Path("outputs/main/fan/small-512x32-s0/train")
    files = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
    assert files == {
        ".claim", "config.yaml", "status.json", "metrics.jsonl", "metrics.csv", "manifest.json",
        "checkpoints/last.ckpt",
    }  # fmt: skip
    assert is_done(run)
    assert read_status(run).state == "done"
    config = yaml.safe_load(run.config.read_text())
    assert config["loss"]["margin"] == 0.05
    assert "${" not in run.config.read_text()
    lines = read_record(run)
    assert [line["step"] for line in lines] == [2, 3]  # 8 source clips in batches of 4: two steps an epoch
    assert {"epoch", "loss", "accuracy", "lr", "pieces_per_second"} <= lines[0].keys()
    assert lines[-1]["lr"] == pytest.approx(0, abs=1e-9)  # the schedule ends at max_steps
    assert (run.path / "metrics.csv").read_text().count("\n") == 3


def test_an_epoch_lasts_until_its_device_is_done(workplace: Path, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def compute_late(module: TrainingModule, **asked: Any) -> dict[str, float]:
        time.sleep(0.3)  # as reading a sum does on a GPU with steps still to take
        return compute(module, **asked)

    compute = TrainingModule.compute
    monkeypatch.setattr(TrainingModule, "compute", compute_late)
    lines = read_record(train(job("train", "trainer.max_steps=3")))
    assert all(line["seconds"] >= 0.3 for line in lines)
    assert lines[-1]["pieces_per_second"] <= 4 / 0.3  # one step of four


def test_a_checkpoint_is_plain_and_says_what_it_is(trained: RunFolder) -> None:
    content = torch.load(trained.checkpoint, weights_only=True)
    assert content["asd"]["sections"] == [0, 1]
    assert content["asd"]["config"]["backbone"]["name"] == "small"
    assert content["asd"]["frozen"] == []
    assert content["global_step"] == read_record(trained)[-1]["step"] == 2  # the last one, not the best one


def test_finished_is_left_alone(workplace: Path, job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(job("train"))
    before = run.checkpoint.stat().st_mtime_ns
    train(job("train"))
    assert "is finished: nothing to do" in capsys.readouterr().out
    assert run.checkpoint.stat().st_mtime_ns == before
    train(job("train", "overwrite=true"))
    assert run.checkpoint.stat().st_mtime_ns > before


def test_same_seed_same_bytes(workplace: Path, job: Job) -> None:
    first = weights(train(job("train")))
    again = weights(train(job("train", "name=again")))
    other = weights(train(job("train", "seed=1")))
    assert same(first, again)
    assert not same(first, other)


def test_a_failure_is_written_down(workplace: Path, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, *_: Any) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr("asd.models.classifier.SectionClassifier.training_step", fail)
    with pytest.raises(RuntimeError, match="out of order"):
        train(job("train"))
    status = json.loads(Path("outputs/main/fan/small-512x32-s0/train/status.json").read_text())
    assert (status["state"], status["why"]) == ("failed", "RuntimeError: out of order")


@pytest.mark.parametrize("freeze", ["none", "until_last_block", "backbone", "arcface"])
def test_phase_two_starts_from_phase_one(trained: RunFolder, job: Job, freeze: str) -> None:
    start = weights(trained)
    run = train(job("finetune", f"freeze={freeze}"))
    assert run.phase == f"finetune-{freeze}"
    end = weights(run)
    frozen = load_checkpoint(run.checkpoint)["asd"]["frozen"]
    assert all(torch.equal(start[name], end[name]) for name in frozen)
    assert bool(frozen) == (freeze != "none")
    changed = {name for name in start if not torch.equal(start[name], end[name])}
    assert any(name.startswith("backbone.") for name in changed)  # every strategy changes the embedding
    assert ("head.weight" in changed) == (freeze != "arcface")


def test_frozen_statistics_stand_still_through_lightning(trained: RunFolder, job: Job) -> None:
    start = weights(trained)
    end = weights(train(job("finetune", "freeze=until_last_block")))
    moved = [name for name in start if "running_mean" in name and not torch.equal(start[name], end[name])]
    still = [name for name in start if "running_mean" in name and torch.equal(start[name], end[name])]
    assert still, "no BatchNorm lies in the frozen parts: the trap is not tested"
    frozen = load_checkpoint(Path("outputs/main/fan/small-512x32-s0/finetune-until_last_block/checkpoints/last.ckpt"))
    owners = {name.rpartition(".")[0] for name in frozen["asd"]["frozen"]}
    assert not [name for name in moved if name.rpartition(".")[0] in owners]


def test_phase_two_without_phase_one_says_what_to_type(workplace: Path, job: Job) -> None:
    first = (
        r"python train\.py data=folder data\.root=data backbone=small batch_size=4 trainer\.accelerator=cpu machine=fan"
    )
    with pytest.raises(ValueError, match=rf"does not exist\. Type first:\s+{first}$"):
        job("finetune")


def test_phase_two_refuses_another_network(trained: RunFolder, job: Job) -> None:
    with pytest.raises(ValueError, match=r"(?s)made with other settings:\s+input\.scale: linear → log"):
        job("finetune", "input.scale=log")
    train(job("finetune", "optimizer.lr=0.01"))  # other settings are phase 2's own


def test_phase_two_from_a_checkpoint_of_choice(trained: RunFolder, job: Job) -> None:
    shutil.copy(trained.checkpoint, "elsewhere.ckpt")
    shutil.rmtree("outputs")
    assert is_done(train(job("finetune", "checkpoint=elsewhere.ckpt")))
    with pytest.raises(ValueError, match="no such checkpoint"):
        train(job("finetune", "checkpoint=nowhere.ckpt", "name=other"))


def test_another_configuration_is_refused_before_the_work(trained: RunFolder, job: Job) -> None:
    with pytest.raises(ValueError, match=r"belongs to another configuration:\s+loss\.margin: 0\.05 → 0\.2"):
        job("train", "loss.margin=0.2")
    job("train", "data.workers=1", "logger=wandb", "allocator=system")


def test_changed_data_are_another_run(trained: RunFolder, job: Job) -> None:
    next(Path("data").rglob("*source_train*.wav")).unlink()
    with pytest.raises(ValueError, match=r"data\.fingerprint"):
        job("train")


@pytest.mark.ci
@pytest.mark.slow
def test_overfits_eight_clips(workplace: Path, job: Job) -> None:
    run = train(job("train", "trainer.max_steps=60", "mixup.probability=0", "batch_size=8"))
    assert read_record(run)[-1]["accuracy"] == 1.0
    assert read_record(run)[-1]["loss"] < 0.5


@pytest.mark.ci
@pytest.mark.slow
def test_wandb_offline_records_one_run_each(workplace: Path, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for seed in (0, 1):
        run = train(job("train", "logger=wandb", f"seed={seed}"))
        assert len(list(run.path.glob("wandb/offline-run-*"))) == 1


def test_what_this_computer_does_not_have(workplace: Path, job: Job) -> None:
    if torch.backends.mps.is_available():
        pytest.skip("this one has it")
    with pytest.raises(ValueError, match=r"trainer\.\*: .*MPS"):
        train(job("train", "trainer.accelerator=mps"))


def test_tasks_of_a_job_scheduler_are_no_processes_of_ours(
    job: Job, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sbatch -n 8` reserves cores by asking for eight tasks, python is called once, without srun."""
    facts = {"JOB_ID": "1", "JOB_NAME": "job", "NTASKS": "8", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in facts.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    config = job("train", "trainer.precision=32-true")
    found = build_trainer(RunFolder(config.folder()), config.trainer, n_epochs=1, callbacks=[], loggers=[])
    assert (found.world_size, found.num_devices) == (1, 1)
