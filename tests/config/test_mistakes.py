"""Command lines that a user gets wrong: each is refused before torch is imported, with the key and what to type."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd.config.compose import plan
from asd.launch.script import preflight
from asd.runs.folder import RunFolder
from asd.runs.manifest import write_manifest
from tests.support.factory import make_machine

ROOT = Path(__file__).parents[2]
HERE = "data=folder data.root=data machine=fan"
SMALL = f"{HERE} backbone=small"  # is typed with the lines of TRAIN, but for keys that they give

# What is typed after the script's name, and what the answer must say. Words in «guillemets» are one argument; HERE is
# the small data set.
TRAIN = [
    # keys
    ("train.py machin=fan", r"unknown key 'machin'.*machine"),
    ("train.py loss.margn=0.1", r"unknown key 'loss\.margn'.*loss\.margin"),
    ("train.py +loss.easy=true", r"unknown key 'loss\.easy'"),
    ("train.py +new.key=1", r"unknown key 'new'"),
    ("train.py lr=0.1", r"unknown key 'lr'.*optimizer\.lr"),
    ("train.py optimizer.batch_size=8", r"unknown key 'optimizer\.batch_size'.*Did you mean batch_size"),
    ("train.py trainer.epochs=3", r"unknown key 'trainer\.epochs'.*trainer\.max_epochs"),
    ("train.py trainer.num_nodes=2", r"trainer\.num_nodes is in no file of conf/: type a \+ in front"),
    ("train.py +trainer.max_epoch=3", r"unknown key 'trainer\.max_epoch'.*trainer\.max_epochs"),
    ("train.py loss.margin.degrees=3", r"unknown key 'loss\.margin\.degrees'.*loss\.margin"),
    ("train.py optimizer=adam", r"optimizer=adam: no such choice.*adamw, sgd"),
    ("train.py checkpoint=last.ckpt", r"unknown key 'checkpoint' of train\.py; it is one of finetune\.py"),
    ("train.py ~loss.margin", r"~loss\.margin: no key can be deleted; give loss\.margin another value"),
    ("train.py seed=0 seed=1", r"seed is given twice, seed=0 and seed=1"),
    # groups and choices
    ("train.py backbone=resnet5", r"backbone=resnet5: no such choice\. Did you mean resnet50"),
    ("train.py input=1024x64", r"input=1024x64: no such choice\. Did you mean 1024x32"),
    ("train.py loss=null", r"loss=None: no such choice.*arcface"),
    ("train.py loss=../loss/arcface", r"loss=\.\./loss/arcface: no such choice.*arcface"),
    ("train.py experiment=smok", r"experiment=smok: no such choice.*smoke"),
    ("train.py machine=fan scorer=lof", r"not to method=arcface: its scorer is one of evaluate\.py"),
    ("train.py freeze=arcface", r"freeze: train\.py has no such group\. It is a group of finetune\.py"),
    ("train.py backbone@extra=small", r"backbone@extra: a group has one place; give backbone=CHOICE"),
    # the grammar
    ("train.py seed", r"seed: no value; give seed=VALUE"),
    ("train.py resume", r"resume: no value; give key=value"),
    ("train.py --seed=1", r"--seed: no such option\. Keys are given without dashes: seed=1"),
    ("train.py --epochs 3", r"--epochs: no such option.*trainer\.max_epochs"),
    ("train.py mixup.weight=[0,0.5", r"the value of mixup\.weight cannot be read.*A list is \[a,b\]"),
    ("train.py name=[", r"the value of name cannot be read"),
    ("train.py seed=0,1", r"seed=0,1: several values are a sweep, add -m"),
    ("train.py -m seed=0,", r"the value of seed cannot be read"),
    ("train.py -m name=", r"name= is not allowed: give up to 100 letters"),
    ("train.py name=${nam}", r"name: .*'nam' not found"),
    ("train.py name=${oc.env:NO_SUCH_VARIABLE}", r"name: .*'NO_SUCH_VARIABLE' not found"),
    # types and ranges
    ("train.py seed=one", r"seed=one is not allowed: give a whole number from 0 to 2147483647"),
    ("train.py seed=4294967296", r"seed=4294967296 is not allowed.*2147483647"),
    ("train.py seed=1.5", r"seed=1\.5 is not allowed: give a whole number"),
    ("train.py batch_size=1", r"batch_size=1 is not allowed: give a whole number from 2"),
    ("train.py batch_size=true", r"batch_size=True is not allowed"),
    ("train.py loss.margin=-0.1", r"loss\.margin=-0\.1 is not allowed: give a number from 0 to 1\.5"),
    ("train.py loss.margin=nan", r"loss\.margin=nan is not allowed"),
    ("train.py optimizer.weight_decay=inf", r"optimizer\.weight_decay=inf is not allowed"),
    ("train.py optimizer.lr=0", r"optimizer\.lr=0 is not allowed"),
    ("train.py mixup.weight=0.5", r"mixup\.weight=0\.5 is not allowed: give a list of 2"),
    ("train.py input.scale=loud", r"input\.scale=loud is not allowed: give one of linear, power, log"),
    ("train.py overwrite=yes", r"overwrite=yes is not allowed: give one of True"),
    ("train.py data.on_bad_clip=ignore", r"data\.on_bad_clip=ignore is not allowed: give one of error, skip"),
    ("train.py phase=finetune", r"phase=finetune is not allowed: give train, or leave it out"),
    ("train.py trainer.precision=7", r"trainer\.precision=7 is not allowed: give one of auto, 32-true"),
    ("train.py trainer.devices=-3", r"trainer\.devices=-3 is not allowed: give .*auto"),
    ("train.py trainer.accelerator=cuda:0", r"trainer\.accelerator=cuda:0 is not allowed: give one of auto, cpu, gpu"),
    ("train.py +trainer.strategy=fsdp", r"trainer\.strategy=fsdp is not allowed: give one of auto, ddp"),
    ("train.py +trainer.profiler=fast", r"trainer\.profiler=fast is not allowed: give one of simple"),
    ("train.py +trainer.gradient_clip_val=-1", r"trainer\.gradient_clip_val=-1 is not allowed"),
    ("train.py trainer.max_epochs=0", r"trainer\.max_epochs=0 is not allowed: give a whole number, at least 1"),
    # names that become folders
    ("train.py name=a/b", r"name=a/b is not allowed: give up to 100 letters"),
    ("train.py «name=my run»", r"name=my run is not allowed"),
    ("train.py name=..", r"name=\.\. is not allowed.*no dot in front"),
    ("train.py backbone.name=../../x", r"backbone\.name=\.\./\.\./x is not allowed"),
    # keys that do not go together
    ("train.py trainer.max_epochs=-1 trainer.max_steps=-1", r"a training needs a length; give one of them"),
    ("train.py input.n_bins=500", r"input\.n_bins=500 does not fit input\.n_fft=2046.*n_fft=1998 or input\.n_bins=512"),
    ("train.py input.n_fft=1023", r"input\.n_fft=1023: must be even.*1024"),
    ("train.py mixup.weight=[0.5,0.1]", r"mixup\.weight=\[0\.5,0\.1\]: .*give \[0\.1,0\.5\]"),
    ("train.py optimizer.momentum=0", r"optimizer\.nesterov=True needs optimizer\.momentum above 0"),
    ("train.py trainer.accelerator=cpu trainer.precision=16-mixed", r"trainer\.precision=16-mixed needs a GPU"),
    ("train.py trainer.accelerator=cpu trainer.devices=[0,1]", r"trainer\.devices=\[0, 1\] names GPUs"),
    # networks
    ("train.py backbone.embedding_dim=0", r"backbone\.embedding_dim=0 is not allowed"),
    ("train.py «backbone._target_=a»", r"backbone\._target_=a is not allowed: give the whole name of a class"),
    # files that would be executed
    ("train.py --experimental-rerun x.pickle", r"--experimental-rerun is not allowed: it unpickles a file"),
    ("train.py --config-dir nowhere", r"--config-dir nowhere: no such folder"),
    ("train.py hydra.job.chdir=true", r"hydra\.job\.chdir=true: paths such as data\.root"),
]

# Command lines that stand for themselves.
OTHERS = [
    ("train.py", r"machine is missing: add machine=… to the command, such as fan"),
    ("train.py machine=fan", r"(?s)no data at data\.root=.*data=simulated"),
    ("train.py data=folder machine=fan", r"data\.root=null is not allowed: give the path of a folder"),
    ("train.py data=folder data.root=data machine=fun", r"machine=fun: not in data\. Did you mean fan"),
    ("train.py data=folder data.root=data machine=Fan", r"machine=Fan: not in data\. Did you mean fan"),
    ("train.py data=folder data.root=data machine=[fan,pump]", r"several are a sweep, -m machine=fan,pump"),
    ("train.py data=simulated machine=robot", r"machine=robot: not in the simulated factory"),
    ("train.py data=simulated machine=fan data.simulate.sections=0", r"data\.simulate\.sections=0 is not allowed"),
    ("train.py data=folder data.root=file.txt machine=fan", r"data\.root=file\.txt is a file"),
    ("train.py HERE data.cache=file.txt", r"data\.cache: .*file\.txt is a file"),
    ("finetune.py HERE", r"(?s)does not exist\. Type first:\s+python train\.py"),
    ("finetune.py HERE checkpoint=gone.ckpt", r"checkpoint=gone\.ckpt: no such"),
    ("finetune.py HERE checkpoint=https://a/b.ckpt", r"only local files are read"),
    ("finetune.py HERE freeze=half", r"freeze=half: no such choice.*arcface"),
    ("finetune.py HERE freeze.parts=arcface", r"freeze\.parts=arcface .*give a list"),
    ("finetune.py HERE freeze.parts=[a/b]", r"freeze\.parts=\['a/b'\] is not allowed"),
    (
        "finetune.py name=made HERE backbone=small freeze.parts=[block7]",
        r"freeze\.parts: this network has no block7\. Did you mean block\d",
    ),
    ("evaluate.py name=none", r"no finished run in outputs/none\. Did you mean|no finished run in outputs/none.*made"),
    ("evaluate.py name=made phase=finetune-all", r"phase=finetune-all: no finished run has it.*train"),
    ("evaluate.py name=made machine=[]", r"machine=\[\] is not allowed"),
    ("evaluate.py name=made machine=fam", r"machine=\['fam'\]: no finished run in outputs/made\. Did you mean fan"),
    ("evaluate.py name=made machine=[fan,pump]", r"machine=\['pump'\]: no finished run"),
    ("evaluate.py name=made machine=fan,pump", r"several values are a sweep.*a list is machine=\[fan,pump\]"),
    ("evaluate.py name=made scorer.n_neighbours=5", r"unknown key 'scorer\.n_neighbours'.*scorer\.n_neighbors"),
    ("evaluate.py name=made scorer.n_neighbors=0", r"scorer\.n_neighbors=0 is not allowed"),
    ("evaluate.py name=made scorer.name=../../x", r"scorer\.name=\.\./\.\./x is not allowed"),
    ("evaluate.py name=made backbone=small", r"backbone: evaluate\.py has no such group\. It is a group of train\.py"),
    ("evaluate.py name=made data=folder", r"data: .*give data\.root=DIR only if they moved"),
    ("evaluate.py experiment=smoke", r"experiment: .*Give name=…, the name of the grid"),
    ("evaluate.py name=made loss.margin=0.2", r"unknown key 'loss\.margin' of evaluate\.py; it is one of train"),
    ("evaluate.py name=made ensemble=median", r"ensemble=median is not allowed: give one of mean, zscore, rank"),
    ("evaluate.py name=made data.root=nowhere", r"data\.root=nowhere: no such folder"),
]  # fmt: skip


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a tiny data set and a finished run."""
    place = tmp_path_factory.mktemp("workshop")
    make_machine(place / "data")
    (place / "file.txt").touch()
    run = RunFolder(place / "outputs/made/fan/small-512x32-s0/train")
    run.path.mkdir(parents=True)
    run.write_config(plan("train", words(SMALL))[1].configs[0].plain())
    write_manifest(run.manifest, {"config.yaml": run.config}, parts=["block1", "block2", "embedding"])
    return place


@pytest.fixture
def in_workshop(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The working directory, left as it was found."""
    monkeypatch.chdir(workshop)
    monkeypatch.delenv("ASD_DATA", raising=False)
    monkeypatch.delenv("ASD_CACHE", raising=False)
    before = sorted(workshop.rglob("*"))
    yield
    assert sorted(workshop.rglob("*")) == before


def words(line: str) -> list[str]:
    """The arguments of a command line."""
    return [quoted or plain for quoted, plain in re.findall(r"«(.*?)»|(\S+)", line.replace("HERE", HERE))]


@pytest.mark.parametrize(("line", "answer"), TRAIN + OTHERS)
def test_a_mistake_is_answered_with_the_key_and_what_to_type(in_workshop: None, line: str, answer: str) -> None:
    script, *arguments = words(line)
    if (line, answer) in TRAIN:
        typed = {word.lstrip("+~").partition("=")[0] for word in arguments}
        arguments = [word for word in words(SMALL) if word.partition("=")[0] not in typed] + arguments
    with pytest.raises(ValueError, match=answer):
        preflight(script.removesuffix(".py"), arguments)


# Only the code itself knows these, which imports torch: still before a clip is decoded.
OF_CODE = [
    ("backbone._target_=asd.models.small_cnn.SmalCnn", r"backbone\._target_=.*SmalCnn cannot be imported"),
    ("+backbone.depth=3", r"backbone\.depth: SmallCnn takes no such setting.*embedding_dim"),
    ("backbone=resnet50 backbone.model=resnet5O", r"resnet5O: not a network of timm.*resnet50"),
    ("backbone._target_=os.system", r"backbone: os\.system|backbone.*os\.system"),
    ("+callbacks.mine._target_=mine.Callback", r"callbacks\.mine\._target_=mine\.Callback cannot be imported"),
    ("+callbacks.off=null +callbacks.mine._target_=torch.nn.Identity", r"callbacks\.mine: Identity is not a callback"),
    ("loss=subcluster_adacos loss.sub_clusters=1.5", r"loss\.sub_clusters=1\.5 is not allowed: give a whole number"),
    ("optimizer.lr=0.1 +optimizer.speed=3", r"optimizer\.speed: SGD takes no such setting"),
]  # fmt: skip


@pytest.mark.parametrize(("words_", "answer"), OF_CODE)
def test_a_mistake_in_code_is_answered_before_a_clip_is_decoded(workplace: Path, words_: str, answer: str) -> None:
    from asd.experiment import train
    from tests.support.jobs import tiny

    with pytest.raises(ValueError, match=f"(?s){answer}"):
        train(tiny("train", *words_.split()))
    assert not list(workplace.rglob("*.bank"))


def test_there_are_more_than_forty() -> None:
    assert len({line for line, _ in TRAIN + OTHERS}) == len(TRAIN + OTHERS) >= 40


def test_the_lines_are_right_but_for_the_mistake(in_workshop: None) -> None:
    preflight("train", words(SMALL))
    preflight("finetune", [*words(SMALL), "name=made", "freeze.parts=[block1,arcface]"])
    preflight("evaluate", ["name=made", "machine=[fan]", "phase=train"])


AS_PROCESSES = [line for line, _ in (TRAIN + OTHERS)[::40]]


@pytest.mark.parametrize("line", AS_PROCESSES)
def test_as_a_process_of_its_own(workshop: Path, line: str) -> None:
    script, *arguments = words(line)
    command = [sys.executable, "-X", "importtime", str(ROOT / script), *arguments]
    with (workshop / "said").open("w+") as output:
        process = subprocess.Popen(command, cwd=workshop, stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        lines = output.read().splitlines()
    said = "\n".join(each for each in lines if not each.startswith("import time:"))
    assert process.returncode == 1
    assert said.strip()
    assert "Traceback" not in said
    assert not any(re.search(r"\| +torch$", each) for each in lines)
    assert used.ru_utime + used.ru_stime < 3  # 1.0 is usual
