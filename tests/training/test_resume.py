"""Whatever ends a run, the same command goes on from there and ends with the same bytes."""

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from asd.config.schema import RunConfig
from asd.evaluation import evaluate
from asd.experiment import train
from asd.models.classifier import SectionClassifier
from asd.runs.checkpoint import load_checkpoint, newest_checkpoint
from asd.runs.folder import RunFolder
from asd.runs.manifest import is_done
from asd.runs.record import read_record
from asd.runs.status import read_status
from asd.system.files import NoRoomError
from asd.training.checkpoint import AtomicCheckpointIO
from asd.training.nonfinite import NonFiniteError
from tests.support.full_disk import file_limit, full_at
from tests.support.jobs import tiny
from tests.support.originals import Originals

Job = Callable[..., Any]
AT_EVERY_STEP = (pytest.mark.slow, pytest.mark.ci)
LENGTH = "trainer.max_steps=5"  # two steps an epoch: two whole epochs and half of one


def run_folder(name: str = "main", phase: str = "train") -> RunFolder:
    """The tiny run under a name."""
    return RunFolder(Path(f"outputs/{name}/fan/small-512x32-s0/{phase}"))


def whole_run(originals: Originals) -> RunFolder:
    """A run that nothing disturbed."""
    originals.lay_out("whole", lambda: train(tiny("train", LENGTH, "name=whole")))
    return run_folder("whole")


def digest(run: RunFolder) -> str:
    """SHA-256 of the weights and statistics of a finished run."""
    assert is_done(run)
    state = load_checkpoint(run.checkpoint)["state_dict"]
    content = b"".join(name.encode() + state[name].numpy().tobytes() for name in sorted(state))
    return hashlib.sha256(content).hexdigest()


def losses(run: RunFolder) -> list[tuple[int, float, float]]:
    """What the record says of each epoch, without times."""
    return [(line["epoch"], line["loss"], line["accuracy"]) for line in read_record(run)]


@contextmanager
def before_step(step: int, act: Callable[[], Any]) -> Iterator[None]:
    """Does something just before the loss of a step is computed, the first time it comes."""
    original = SectionClassifier.training_step
    times = []

    def training_step(self: SectionClassifier, batch: Any, batch_idx: int) -> Any:
        if self.global_step == step and not times:
            times.append(1)
            act()
        return original(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SectionClassifier, "training_step", training_step)
        yield


def interrupt(config: RunConfig, step: int, number: int) -> RunFolder:
    """A run that gets a signal within a step."""
    with before_step(step, lambda: os.kill(os.getpid(), number)), pytest.raises(SystemExit) as end:
        train(config)
    assert end.value.code == 128 + number
    run = run_folder(config.name, config.phase_folder)
    assert read_status(run).state == "interrupted"
    assert not run.lock.exists()
    return run


@pytest.mark.parametrize(
    ("step", "workers"),
    [
        (0, 0),
        (3, 2),
        *(pytest.param(*rest, marks=AT_EVERY_STEP) for rest in ((0, 2), (1, 0), (1, 2), (2, 0), (2, 2), (3, 0))),
    ],
)
def test_a_signal_ends_the_run_after_the_step_and_it_goes_on_to_the_bit(
    workplace: Path, originals: Originals, job: Job, step: int, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = whole_run(originals)
    many = f"data.workers={workers}"
    run = interrupt(job("train", LENGTH, many), step, signal.SIGTERM if step % 2 else signal.SIGINT)
    assert load_checkpoint(run.checkpoint)["global_step"] == step + 1
    train(job("train", LENGTH, many))
    assert f"going on at step {step + 1} with" in capfd.readouterr().out
    assert digest(run) == digest(whole)
    assert losses(run) == losses(whole)
    assert run.checkpoint.stat().st_size == whole.checkpoint.stat().st_size


def test_a_signal_in_the_last_step_lets_it_finish(workplace: Path, job: Job) -> None:
    with before_step(4, lambda: os.kill(os.getpid(), signal.SIGTERM)), pytest.raises(SystemExit) as end:
        train(job("train", LENGTH))
    assert end.value.code == 143
    assert is_done(run_folder())
    assert read_status(run_folder()).state == "done"


def test_a_second_signal_does_not_wait(workplace: Path, job: Job) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the second signal was ignored")

    with before_step(1, twice), pytest.raises(SystemExit) as end:
        train(job("train", LENGTH))
    assert end.value.code == 143
    assert read_status(run_folder()).state == "interrupted"
    assert newest_checkpoint(run_folder()) is None


def test_handlers_are_put_back(workplace: Path, job: Job) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    train(job("train"))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.ci
@pytest.mark.slow
def test_phase_two_goes_on_too(workplace: Path, job: Job) -> None:
    for name in ("whole", "main"):
        train(job("train", f"name={name}"))
    whole = train(job("finetune", LENGTH, "name=whole"))
    run = interrupt(job("finetune", LENGTH), 2, signal.SIGTERM)
    train(job("finetune", LENGTH))
    assert digest(run) == digest(whole)
    assert losses(run) == losses(whole)


@pytest.mark.parametrize("step", [2, 3])
def test_a_crash_goes_on_from_the_last_checkpoint_that_was_due(
    workplace: Path, originals: Originals, job: Job, step: int
) -> None:
    def crash() -> None:
        raise RuntimeError("out of order")

    whole = whole_run(originals)
    config = job("train", LENGTH, "save.every_n_steps=1")
    with before_step(step, crash), pytest.raises(RuntimeError, match="out of order"):
        train(config)
    run = run_folder()
    assert read_status(run).why == "RuntimeError: out of order"
    kept = newest_checkpoint(run)
    assert kept is not None
    assert kept.step == step
    train(config)
    assert digest(run) == digest(whole)
    assert losses(run) == losses(whole)
    assert load_checkpoint(run.previous_checkpoint)["global_step"] == 4


@pytest.mark.ci
@pytest.mark.slow
def test_checkpoints_come_by_the_clock(workplace: Path, job: Job) -> None:
    run = train(job("train", LENGTH, "save.every_n_minutes=0"))
    assert load_checkpoint(run.previous_checkpoint)["global_step"] == 4
    assert not run_folder("none").previous_checkpoint.exists()
    train(job("train", LENGTH, "name=none", "save.every_n_minutes=null"))
    assert not run_folder("none").previous_checkpoint.exists()


def test_same_run_same_bytes_of_the_checkpoint(workplace: Path, job: Job) -> None:
    before = train(job("train", LENGTH)).checkpoint.read_bytes()
    train(job("train", LENGTH, "overwrite=true", "save.every_n_steps=1"))
    config = load_checkpoint(run_folder().checkpoint)["asd"]["config"]
    assert config["save"]["every_n_steps"] == 1
    train(job("train", LENGTH, "overwrite=true"))
    after = train(job("train", LENGTH)).checkpoint.read_bytes()
    assert len(before) == len(after)


def test_killed_between_the_last_checkpoint_and_the_manifest(workplace: Path, job: Job) -> None:
    run = train(job("train", LENGTH))
    before = run.checkpoint.read_bytes()
    run.manifest.unlink()
    train(job("train", LENGTH))
    assert is_done(run)
    assert run.checkpoint.read_bytes() == before
    assert [line["step"] for line in read_record(run)] == [2, 4, 5]


def test_what_killed_processes_left_is_cleared_away(workplace: Path, job: Job) -> None:
    leftover = run_folder().checkpoint.parent / ".last.ckpt.4194305-4.tmp"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    train(job("train"))
    assert not leftover.exists()


def damage_truncate(path: Path, share: float) -> None:
    """Cuts a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def damage_flip(path: Path, share: float) -> None:
    """Changes a byte of a file."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * share)] ^= 1
    path.write_bytes(content)


DAMAGES = [(damage_truncate, share) for share in (0.0, 0.1, 0.5, 0.99)] + [
    (damage_flip, share) for share in (0.01, 0.3, 0.6, 0.8)
]


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize(("damage", "share"), DAMAGES)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    workplace: Path, job: Job, damage: Callable[[Path, float], None], share: float, capsys: pytest.CaptureFixture[str]
) -> None:
    config = job("train", LENGTH, "save.every_n_steps=1")
    run = train(config)
    before = digest(run)
    damage(run.checkpoint, share)
    assert not is_done(run)
    train(config)
    said = capsys.readouterr().out
    assert "last.ckpt cannot be loaded" in said
    assert "looking at the one before" in said
    assert "going on at step 4" in said
    assert digest(run) == before
    for path in (run.checkpoint, run.previous_checkpoint):
        damage(path, share)
    with pytest.raises(ValueError, match="has no checkpoint that loads"):
        train(config)
    train(config.with_values(overwrite=True))
    assert digest(run) == before


@pytest.mark.ci
@pytest.mark.slow
def test_a_loss_that_is_no_number_names_the_clips(workplace: Path, job: Job) -> None:
    original = SectionClassifier.training_step

    def spoil(self: SectionClassifier, batch: Any, batch_idx: int) -> Any:
        loss = original(self, batch, batch_idx)
        return loss * float("nan") if self.global_step == 3 else loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SectionClassifier, "training_step", spoil)
        with pytest.raises(NonFiniteError, match=r"(?s)loss of step 3 is not.*fan/train/section_00_source_train"):
            train(job("train", "trainer.max_steps=6", "save.every_n_steps=1"))
    run = run_folder()
    assert read_status(run).state == "failed"
    assert "step 3" in read_status(run).why
    kept = load_checkpoint(run.checkpoint)
    assert kept["global_step"] == 3
    assert all(torch.isfinite(value).all() for value in kept["state_dict"].values() if value.is_floating_point())
    assert [line["epoch"] for line in read_record(run)] == [0]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_weights_that_are_no_numbers_are_never_kept(workplace: Path, job: Job, value: float) -> None:
    with pytest.raises(NonFiniteError, match=r"step 1 left head\.\w+ with values that are not finite"):
        train_spoilt(job("train", LENGTH, "save.every_n_steps=1"), at=1, value=value)
    assert load_checkpoint(run_folder().checkpoint)["global_step"] == 1


def train_spoilt(config: RunConfig, at: int, value: float = float("inf")) -> None:
    """A run whose gradient is infinite, or no number, in one step."""
    original = SectionClassifier.on_before_optimizer_step

    def spoil(self: SectionClassifier, optimizer: torch.optim.Optimizer) -> None:
        original(self, optimizer)
        if self.global_step == at:
            for parameter in self.head.parameters():
                parameter.grad = torch.full_like(parameter, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SectionClassifier, "on_before_optimizer_step", spoil)
        train(config)


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_out_of_memory_gives_advice(workplace: Path, job: Job, error: BaseException) -> None:
    def fail() -> None:
        raise error

    with before_step(1, fail), pytest.raises(ValueError, match=r"out of memory, training small.*batch_size=4"):
        train(job("train"))
    assert read_status(run_folder()).state == "failed"


def test_a_full_disk_at_a_checkpoint_leaves_the_earlier_one(workplace: Path, originals: Originals, job: Job) -> None:
    whole = whole_run(originals)
    config = job("train", LENGTH, "save.every_n_steps=1")
    limit = whole.checkpoint.stat().st_size // 2
    with file_limit(10**9), pytest.MonkeyPatch.context() as patch:
        save = AtomicCheckpointIO.save_checkpoint

        def save_full(self: AtomicCheckpointIO, checkpoint: dict[str, Any], path: Any, **_: Any) -> None:
            with file_limit(limit if checkpoint["global_step"] == 3 else 10**9):
                save(self, checkpoint, path)

        patch.setattr(AtomicCheckpointIO, "save_checkpoint", save_full)
        with pytest.raises(NoRoomError, match=r"no room to write .*last\.ckpt .*bytes are free there.*Earlier files"):
            train(config)
    run = run_folder()
    assert read_status(run).state == "failed"
    kept = newest_checkpoint(run)
    assert kept is not None
    assert kept.step == 2
    assert not list(run.path.rglob("*.tmp"))
    train(config)
    assert digest(run) == digest(whole)


@pytest.mark.parametrize("target", ["metrics.jsonl", "config.yaml", "status.json", "manifest.json"])
def test_a_full_disk_at_any_file_is_said_and_resume_works(
    workplace: Path, originals: Originals, job: Job, target: str
) -> None:
    whole = whole_run(originals)
    config = job("train", LENGTH)

    with full_at(target), pytest.raises(NoRoomError, match=f"no room to write .*{target}"):
        train(config)
    run = run_folder()
    assert not is_done(run)
    train(config)
    assert digest(run) == digest(whole)
    assert losses(run) == losses(whole)


def test_a_full_disk_while_scoring_leaves_the_run_and_no_half_scores(trained: RunFolder, job: Job) -> None:
    with file_limit(2000), pytest.raises(NoRoomError, match="no room to write"):
        evaluate(job("evaluate"))
    assert is_done(trained)
    assert not list(trained.path.rglob("scores.csv"))
    assert not list(trained.path.rglob("*.tmp"))
    evaluate(job("evaluate"))
    assert (trained.scores("cosine") / "scores.csv").is_file()
