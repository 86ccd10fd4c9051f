"""The private interfaces of libraries that we use (docs/decisions.md): what a release changes fails here, by name."""

import inspect

import pytorch_lightning as pl
import torch
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from torch import nn


def test_hydras_sweeper_splits_overrides_into_jobs() -> None:
    parsed = OverridesParser.create().parse_overrides(["a=1,2", "b=x"])
    assert [list(job) for batch in BasicSweeper.split_arguments(parsed, None) for job in batch] == [
        ["a=1", "b=x"],
        ["a=2", "b=x"],
    ]


def test_torchs_norm_of_many_tensors() -> None:
    tensors = [torch.tensor([1.0, -3.0]), torch.tensor([[float("nan")]])]
    first, second = torch._foreach_norm(tensors, ord=float("inf"))
    assert first == 3
    assert second.isnan()


def test_torch_says_what_the_processor_multiplies() -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        probe = getattr(torch.cpu, name, None)
        assert probe is None or isinstance(probe(), bool)


def test_every_batch_normalisation_is_of_one_class() -> None:
    from timm.layers import BatchNormAct2d

    kind = nn.modules.batchnorm._BatchNorm
    assert issubclass(nn.BatchNorm1d, kind)
    assert issubclass(nn.BatchNorm2d, kind)
    assert issubclass(BatchNormAct2d, kind)


def test_a_module_without_a_trainer_says_so_without_raising() -> None:
    assert pl.LightningModule()._trainer is None
    assert "_trainer" in inspect.getsource(pl.LightningModule.trainer.fget)
