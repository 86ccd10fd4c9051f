"""Files from elsewhere run no code, name no file outside of their folder, and are refused with a message."""

import ast
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import asd
from asd.config.trust import require_trusted
from asd.data.bad_clips import Usable, read_clips
from asd.data.decoding import Decoding
from asd.data.readers.configured import reader_of
from asd.data.recordings import open_recordings
from asd.data.waveforms import WaveformBank
from asd.evaluation import evaluate
from asd.experiment import train
from asd.inference.references import read_references
from asd.methods.method import read_run_config
from asd.runs.checkpoint import load_checkpoint, newest_checkpoint
from asd.runs.folder import RunFolder
from asd.runs.manifest import inside, read_manifest, sha256, write_manifest
from asd.system.reading import SAFE_LOADER
from tests.support.factory import scan_machine

Job = Callable[..., Any]
ROOT = Path(__file__).parents[1]
EXECUTED = Path("executed")


class Evil:
    """Unpickled, it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (EXECUTED,)


@pytest.fixture
def run(evaluated: RunFolder) -> Iterator[RunFolder]:
    """A finished, evaluated run; nothing may be executed by reading it."""
    shutil.rmtree("outputs/.cache")
    yield evaluated
    assert not EXECUTED.exists()


def test_the_loader_of_yaml_is_a_safe_one() -> None:
    assert SAFE_LOADER in (yaml.SafeLoader, yaml.CSafeLoader)


def test_the_trap_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Evil()))
    assert EXECUTED.exists()


def evil_checkpoint(path: Path) -> None:
    torch.save({"asd": {"format": 1, "config": Evil()}, "state_dict": {}, "global_step": 1}, path)


def evil_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Evil()))


def evil_legacy_checkpoint(path: Path) -> None:
    torch.save({"asd": Evil()}, path, _use_new_zipfile_serialization=False)


def evil_arrays(path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, unit=np.array([Evil()], dtype=object), clip=np.zeros(1))


def evil_yaml(path: Path) -> None:
    path.write_text("!!python/object/apply:pathlib.Path.touch [executed]\n")


@pytest.mark.parametrize("write", [evil_checkpoint, evil_pickle, evil_legacy_checkpoint, evil_arrays, evil_yaml])
def test_a_malicious_checkpoint_is_refused(run: RunFolder, write: Callable[[Path], None]) -> None:
    write(run.checkpoint)
    run.previous_checkpoint.unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"last\.ckpt cannot be loaded"):
        load_checkpoint(run.checkpoint)
    with pytest.raises(ValueError, match="has no checkpoint that loads"):
        newest_checkpoint(run)
    vouch(run)
    with pytest.raises(ValueError, match=r"last\.ckpt cannot be loaded"):
        asd.load_run(run.path)


def vouch(run: RunFolder) -> None:
    """Makes both manifests of a run agree with its files, as someone who forges a run would."""
    for path in (run.manifest, run.scores("cosine") / "manifest.json"):
        manifest = json.loads(path.read_text())
        manifest["files"] = {name: sha256(path.parent / name) for name in manifest["files"]}
        path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("content", [{}, {"asd": 3}, {"asd": {"format": 7}}, [1], {"asd": [1]}])
def test_a_checkpoint_of_others_is_refused(run: RunFolder, content: Any) -> None:
    torch.save(content, run.checkpoint)
    with pytest.raises(ValueError, match="is no checkpoint of this project"):
        load_checkpoint(run.checkpoint)


# What a forged configuration might name as the network: none of it is imported, called or made.
FOREIGN = {
    "os.system": r"names code of the package os, os\.system: give trust=\[os\]",
    "subprocess.run": "names code of the package subprocess",
    "timm.create_model": "names code of the package timm",
    "asdx.Net": "names code of the package asdx",
    "asd.models.compiling.torch.compile": "is not a class of asd",
    "asd.system.files.os.system": "is not a class of asd",
    "asd.config.instantiate.hydra.utils.call": "is not a class of asd",
    "asd.experiment.train": "is not a class of asd",
    "asd.system.files.Path": "is not a class of asd",
    "asd.models.nowhere.Net": "is not a class of asd",
    "torch.nn.modules.module.warnings.warn": "is not a class of torch",
    "asd": "names code of the package asd, asd",
    "asd.runs.folder.RunFolder": "is not a network",
    "asd.scoring.cosine.CosineNeighbours": "is not a network",
}


def forge(run: RunFolder, **parts: Any) -> None:
    """Puts parts into the configuration of a run, and makes its manifest vouch for them."""
    run.write_config(run.read_config() | parts)
    vouch(run)


@pytest.mark.parametrize("target", FOREIGN)
def test_a_run_names_networks_only(run: RunFolder, job: Job, target: str) -> None:
    evil = {"_target_": target, "name": "small", "command": "touch executed"}
    forge(run, backbone=evil)
    message = rf"config\.yaml: backbone.*{FOREIGN[target]}"
    with pytest.raises(ValueError, match=message):
        asd.load_run(run.path)
    with pytest.raises(ValueError, match=message):
        evaluate(job("evaluate", "overwrite=true"))


@pytest.mark.parametrize("target", FOREIGN)
def test_a_checkpoint_names_networks_only(run: RunFolder, target: str) -> None:
    content = load_checkpoint(run.checkpoint)
    content["asd"]["config"]["backbone"] = {"_target_": target, "name": "x", "command": "touch executed"}
    torch.save(content, run.checkpoint)
    values = load_checkpoint(run.checkpoint)["asd"]["config"]
    with pytest.raises(ValueError, match=rf"last\.ckpt: backbone.*{FOREIGN[target]}"):
        read_run_config(values, run.checkpoint)


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("input", {"_target_": "os.system", "name": "x"}),
        ("method", {"_target_": "os.system"}),
        ("data", {"reader": {"_target_": "subprocess.run", "args": ["touch", "executed"]}}),
        ("backbone", {"_target_": "torch.nn.Sequential", "name": "x", "a": [{"b": {"_target_": "os.system"}}]}),
        ("anything", {"deep": [{"_target_": "os.system", "command": "touch executed"}]}),
    ],
)
def test_no_other_part_of_a_run_names_foreign_code(run: RunFolder, key: str, part: dict[str, Any]) -> None:
    before = run.read_config()
    forge(run, **{key: before[key] | part if key == "data" else part})
    with pytest.raises(ValueError, match=rf"config\.yaml: {key} names code of the package (os|subprocess)"):
        asd.load_run(run.path)


def test_foreign_code_is_used_where_it_is_trusted(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mylab.py").write_text("from asd.models.small_cnn import SmallCnn\n\nclass Net(SmallCnn):\n    pass\n")
    monkeypatch.syspath_prepend(".")
    forge(run, backbone=run.read_config()["backbone"] | {"_target_": "mylab.Net"})
    clip = next(Path("data").rglob("*.wav"))
    with pytest.raises(ValueError, match=r"config\.yaml: backbone names code of the package mylab.*trust=\[mylab\]"):
        asd.load_run(run.path)
    with pytest.raises(ValueError, match="package mylab"):
        asd.load_run(run.path, trust=["other"])
    assert asd.load_run(run.path, trust=["mylab"]).score(clip).score > 0
    monkeypatch.setenv("ASD_TRUST", "other, mylab")
    assert asd.load_run(run.path).score(clip).score > 0


def test_nothing_in_a_run_is_resolved(run: RunFolder) -> None:
    """Hydra resolves what it makes parts of; an interpolation may turn into a component."""
    evil = "${oc.create:{_target_:pathlib.Path.touch,self:{_target_:pathlib.Path,_args_:[executed]}}}"
    forge(run, backbone=run.read_config()["backbone"] | {"channels": evil})
    with pytest.raises(ValueError, match=r"config\.yaml: backbone\.channels=.*holds plain values"):
        asd.load_run(run.path)


@pytest.mark.parametrize("key", ["method", "input"])
def test_a_class_of_ours_in_another_place_is_refused(run: RunFolder, key: str) -> None:
    forge(run, **{key: {"_target_": "asd.runs.folder.RunFolder", "name": "x", "path": "executed"}})
    with pytest.raises(ValueError, match=r"asd\.runs\.folder\.RunFolder.* not an? (Method|Input)"):
        asd.load_run(run.path)


def test_a_scorer_that_is_none_is_refused(run: RunFolder) -> None:
    path = run.scores("cosine") / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["scorer"] = {"_target_": "asd.runs.folder.RunFolder", "path": "executed"}
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"scorer\._target_=asd\.runs\.folder\.RunFolder: not a Scorer"):
        asd.load_run(run.path).score(next(Path("data").rglob("*.wav")))


@pytest.mark.parametrize("target", ["torch.hub.load", "torch.nn.modules.module.warnings.warn"])
def test_going_on_trusts_no_more_than_what_is_typed(trained: RunFolder, job: Job, target: str) -> None:
    """The optimizer is named by every command line: it is of torch, of which nothing else follows."""
    config = job("train")  # composed after the forgery, it would be refused as another configuration
    trained.manifest.unlink()
    trained.write_config(trained.read_config() | {"input": {"_target_": target, "name": "x"}})
    with pytest.raises(ValueError, match=r"config\.yaml: input.*(code of the package torch|not a class of torch)"):
        train(config)


@pytest.mark.parametrize("name", ["../../x", "/etc", "..", ".", "a/b", "cosine\n", ""])
def test_a_scorer_is_named_within_the_run(run: RunFolder, name: str) -> None:
    with pytest.raises(ValueError, match="the name of a folder under"):
        asd.load_run(run.path, scorer=name)


def test_a_scorer_of_others_is_refused(run: RunFolder) -> None:
    path = run.scores("cosine") / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["scorer"]["_target_"] = "os.system"
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"cosine/manifest\.json: scorer names code of the package os"):
        asd.load_run(run.path)


@pytest.mark.parametrize(
    "url", ["http://a.b/c.ckpt", "https://a.b/c.ckpt", "s3://b/c.ckpt", "file:///c.ckpt", "hf://c"]
)
def test_checkpoints_come_from_local_paths(run: RunFolder, job: Job, url: str) -> None:
    with pytest.raises(ValueError, match="only local files are read"):
        job("finetune", f"checkpoint='{url}'")
    with pytest.raises(ValueError, match="no such checkpoint"):
        load_checkpoint(Path(url))


@pytest.mark.parametrize("write", [evil_arrays, evil_pickle, evil_yaml, lambda path: path.write_bytes(b"PK\x03\x04")])
def test_malicious_references_are_refused(run: RunFolder, write: Callable[[Path], Any]) -> None:
    write(run.references)
    with pytest.raises(ValueError, match=r"references\.npz: .*: run evaluate\.py"):
        read_references(run.references)
    vouch(run)
    with pytest.raises(ValueError, match=r"references\.npz: .*: run evaluate\.py"):
        asd.load_run(run.path)


def test_references_with_other_arrays_are_refused(run: RunFolder) -> None:
    np.savez(run.references, unit=np.zeros((1, 2)), surprise=np.zeros(1))
    with pytest.raises(ValueError, match=r"references\.npz: .*: run evaluate\.py"):
        read_references(run.references)


@pytest.mark.parametrize("write", [evil_pickle, evil_checkpoint, evil_arrays, evil_yaml])
def test_a_malicious_cache_is_made_again(workplace: Path, write: Callable[[Path], None]) -> None:
    table = scan_machine(Path("data"), "fan")
    open_bank = partial(WaveformBank.open, table, Path("cache"), Decoding(16_000, 1), progress=False)
    bank = open_bank().file
    assert bank is not None
    samples = bank.read_bytes()
    write(bank)
    open_bank()
    assert bank.read_bytes() == samples
    assert not EXECUTED.exists()


@pytest.mark.parametrize("write", [evil_pickle, evil_yaml, lambda path: path.write_text('["a"]')])
def test_a_malicious_list_of_unusable_clips_is_made_again(
    workplace: Path, job: Job, write: Callable[[Path], Any]
) -> None:
    def open_clips() -> Usable[WaveformBank]:
        data = job("train", "data.on_bad_clip=skip").data
        reading = read_clips(reader_of(data), "fan", "skip")
        cache = Path(data.cache)
        return open_recordings(reading, Decoding(16_000, 1), cache=cache, on_bad_clip="skip", progress=False)

    open_clips()
    (verdict,) = Path("outputs/.cache").glob("*.unusable.json")
    write(verdict)
    assert open_clips().skipped == {}
    assert json.loads(verdict.read_text()) == {}
    assert not EXECUTED.exists()


@pytest.mark.parametrize("write", [evil_yaml, evil_pickle, lambda path: path.write_text("[1, 2]"), Path.touch])
def test_a_malicious_configuration_is_refused(run: RunFolder, write: Callable[[Path], Any]) -> None:
    run.config.unlink()
    write(run.config)
    with pytest.raises(ValueError, match=r"config\.yaml|utf-8"):
        run.read_config()


def test_interpolations_in_the_configuration_of_a_run_stay_text(run: RunFolder) -> None:
    config = yaml.safe_load(run.config.read_text())
    config["name"] = "${oc.env:HOME}"
    run.write_config(config)
    assert run.read_config()["name"] == "${oc.env:HOME}"


@pytest.mark.parametrize("name", ["/dev/zero", "/etc/hostname", "../../../../../../outside", "../outside", "pipe", "."])
def test_a_manifest_vouches_for_files_of_its_run_only(tmp_path: Path, name: str) -> None:
    run = RunFolder(tmp_path / "outputs/main/fan/small/train")
    (run.path / "checkpoints").mkdir(parents=True)
    (run.path.parent / "outside").write_text("secret")
    (tmp_path / "outside").write_text("secret")
    os.mkfifo(run.path / "pipe")  # reading it would never end
    run.config.write_text("a: 1")
    write_manifest(run.manifest, {"config.yaml": run.config})
    assert read_manifest(run.manifest) is not None
    manifest = json.loads(run.manifest.read_text())
    manifest["files"][name] = sha256(tmp_path / "outside")
    run.manifest.write_text(json.dumps(manifest))
    assert read_manifest(run.manifest) is None


def test_scores_vouch_for_files_of_their_run(run: RunFolder) -> None:
    path = run.scores("cosine") / "manifest.json"
    assert "../../references.npz" in json.loads(path.read_text())["files"]
    assert read_manifest(path) is not None
    shutil.copy(run.references, run.path.parent / "references.npz")
    manifest = json.loads(path.read_text())
    manifest["files"]["../../../references.npz"] = manifest["files"].pop("../../references.npz")
    path.write_text(json.dumps(manifest))
    assert read_manifest(path) is None


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/hostname", "missing"])
def test_names_stay_inside(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "x").touch()
    with pytest.raises(ValueError, match=r"leads out of|no such file"):
        inside(tmp_path / "folder", name)


def test_names_inside_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").touch()
    assert inside(Path(), "a") == tmp_path / "a"
    Path("link").symlink_to(tmp_path / "a")
    assert inside(tmp_path, "b/../link").read_text() == ""


@pytest.mark.parametrize("scorer", ["../../../other", "a/b", "..", ""])
def test_a_scorers_name_stays_in_the_run(run: RunFolder, scorer: str) -> None:
    with pytest.raises(ValueError, match="the name of a folder under"):
        asd.load_run(run.path, scorer=scorer)


def test_archives_of_weights_cannot_name_files(run: RunFolder) -> None:
    with zipfile.ZipFile(run.references, "w") as archive:
        archive.writestr("../../escaped.npy", b"x")
    with pytest.raises(ValueError, match=r"references\.npz: .*: run evaluate\.py"):
        read_references(run.references)
    assert not list(Path().rglob("escaped*"))


@pytest.mark.parametrize("target", [*FOREIGN][:-2])
def test_code_from_elsewhere_is_not_named(target: str) -> None:
    with pytest.raises(ValueError, match=rf"^here: key.*{FOREIGN[target]}"):
        require_trusted(target, "here: key")


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a file, by the text of what is called."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", sorted((ROOT / "asd").rglob("*.py")), ids=lambda path: path.name)
def test_files_are_read_in_the_safe_way(path: Path) -> None:
    for name, call in calls(path):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert name != "np.load" or given.get("allow_pickle") == "False"
        assert name != "torch.load" or given.get("weights_only") == "True"
        assert given.get("shell") != "True"
        assert name not in {"eval", "exec", "os.system", "yaml.unsafe_load", "joblib.load"}
        assert name != "yaml.load" or given.get("Loader") == "SAFE_LOADER"
        assert not name.startswith(("pickle.load", "cloudpickle.load"))
