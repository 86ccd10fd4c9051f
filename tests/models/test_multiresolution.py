"""The network of several branches."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from asd.models.freezing import frozen_parts
from asd.models.multiresolution import FFT, MultiResolution, Resolution, SqueezeExcitation, band
from tests.support.backbones import noise

SMALL: dict[str, Any] = {
    "n_samples": 16_000, "sample_rate": 16_000, "embedding_dim": 24, "resolutions": [[256, 128], [1024, 512]],
}  # fmt: skip


def build(**options: Any) -> MultiResolution:
    torch.manual_seed(0)
    return MultiResolution(**(SMALL | options))


@pytest.fixture(scope="module")
def small() -> MultiResolution:
    return build().eval()


def test_the_network_of_the_paper() -> None:
    backbone = build(n_samples=160_000, embedding_dim=512, resolutions=[[256, 128], [1024, 512], [4096, 2048]])
    with torch.no_grad():
        assert backbone.eval()(noise(1, 160_000)).shape == (1, 512)
    assert backbone.n_branches == 4
    spectra = backbone.network.spectra
    assert {name: spectrum.shape(160_000) for name, spectrum in spectra.items()} == {
        "stft_256": (125, 1249),  # 250 … 8000 Hz at 62.5 Hz
        "stft_1024": (500, 311),  # 203 … 8000 Hz at 15.6 Hz
        "stft_4096": (1997, 77),  # 203 … 8000 Hz at 3.9 Hz
    }


def test_nothing_can_make_the_embedding_constant() -> None:
    for name, module in build().named_modules():
        assert getattr(module, "bias", None) is None, f"{name} has a bias"
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert not module.affine, name


def test_silence_is_the_zero_embedding_and_finite(small: MultiResolution) -> None:
    fresh = build().eval()
    assert torch.equal(fresh(torch.zeros(2, 16_000)), torch.zeros(2, 24))
    trained = build()
    trained(torch.zeros(4, 16_000)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained.parameters())


@pytest.mark.parametrize("subtract", [False, True])
def test_spectrograms_against_numpy(subtract: bool) -> None:
    backbone = build(time_mean_subtraction=subtract)
    waveform = noise(2, 16_000)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    frames = [waveform[1, start : start + 1024].numpy() * hann for start in range(0, 16_000 - 1024 + 1, 512)]
    expected = np.abs(np.fft.rfft(frames)).T[13:513]  # 203 … 8000 Hz
    if subtract:
        expected -= expected.mean(axis=1, keepdims=True)
    found = backbone.network.spectra["stft_1024"](waveform)[1, 0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_bins_of_a_band_include_both_ends() -> None:
    assert band(Resolution(256, 128), 16_000, 250.0, 500.0) == (4, 9)
    with pytest.raises(ValueError, match=r"f_min=10\.0, f_max=20\.0: n_fft=256 at 16000 Hz has no bin"):
        band(Resolution(256, 128), 16_000, 10.0, 20.0)


def test_squeeze_excitation_is_that_of_a_plain_loop() -> None:
    torch.manual_seed(1)
    layer, x = SqueezeExcitation(32).double(), noise(2, 32, 3, 5).double()
    means = [[float(x[n, c].mean()) for c in range(32)] for n in range(2)]
    for n in range(2):
        inner = [
            max(0.0, sum(w * m for w, m in zip(row, means[n], strict=True))) for row in layer.squeeze.weight.tolist()
        ]
        for c, row in enumerate(layer.excite.weight.tolist()):
            weight = 1 / (1 + np.exp(-sum(w * i for w, i in zip(row, inner, strict=True))))
            torch.testing.assert_close(layer(x)[n, c], x[n, c] * weight)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, [FFT, "stft_256", "stft_1024"]),
        ({"whole_clip": False}, ["stft_256", "stft_1024"]),
        ({"resolutions": []}, [FFT]),
    ],
)
def test_each_branch_has_its_place_in_the_embedding(options: dict[str, Any], names: list[str]) -> None:
    backbone = build(**options).eval()
    assert list(backbone.network.embedding) == names
    before = backbone(noise(1, 16_000)).chunk(len(names), dim=1)
    for place, name in enumerate(names):
        changed = build(**options).eval()
        for layer in changed.network.embedding[name].modules():
            if isinstance(layer, nn.Linear):
                layer.weight.data.mul_(2)
        after = changed(noise(1, 16_000)).chunk(len(names), dim=1)
        assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [
            i != place for i in range(len(names))
        ]


def test_the_parts_hold_everything_once_in_the_order_of_the_signal(small: MultiResolution) -> None:
    held = [id(value) for part in small.parts().values() for value in (*part.parameters(), *part.buffers())]
    state = small.state_dict(keep_vars=True)
    assert len(held) == len(set(held)) == len(state)
    assert set(held) == {id(value) for value in state.values()}
    order: list[str] = []
    hooks = [
        part.register_forward_hook(lambda *_, name=name: order.append(name)) for name, part in small.parts().items()
    ]
    small(noise(1, 16_000))
    for hook in hooks:
        hook.remove()
    assert order == list(small.parts()) == ["fft", "stem", "stage1", "stage2", "stage3", "stage4", "embedding"]
    assert frozen_parts(small, ["until_last_block"]) == ["fft", "stem", "stage1", "stage2", "stage3"]


def test_every_weight_learns() -> None:
    backbone = build()
    backbone(noise(4, 16_000)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in backbone.parameters())


@torch.no_grad()
def test_a_clip_does_not_see_its_neighbours(small: MultiResolution) -> None:
    clips = noise(3, 16_000)
    torch.testing.assert_close(small(clips)[1:2], small(clips[1:2]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_spectra_are_float32_under_autocast(small: MultiResolution) -> None:
    found: list[torch.Tensor] = []
    hook = small.network.spectra["stft_256"].register_forward_hook(lambda *args: found.append(args[2]))
    with torch.autocast("cpu", torch.bfloat16):
        embedding = small(noise(1, 16_000))
    hook.remove()
    assert found[0].dtype == torch.float32
    assert embedding.isfinite().all()


@pytest.mark.ci
@pytest.mark.slow
def test_the_forward_pass_is_one_graph(small: MultiResolution) -> None:
    compiled = torch.compile(small, fullgraph=True, backend="eager")
    assert torch.equal(compiled(noise(1, 16_000)), small(noise(1, 16_000)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embedding_dim": 25}, "embedding_dim=25: 3 branches need a multiple, such as 384"),
        ({"resolutions": [], "whole_clip": False}, "no branch"),
        ({"resolutions": [[256, 128], [256, 64]]}, "give each n_fft once"),
        ({"n_samples": 1000}, "n_samples=1000: shorter than the window n_fft=1024"),
        ({"n_samples": 0}, "n_samples=0"),
        ({"resolutions": [[256, 0], [1024, 512]]}, "hop_length=0"),
    ],
)
def test_sizes_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_a_clip_of_another_length_is_refused(small: MultiResolution) -> None:
    with pytest.raises(ValueError, match=r"must be \(pieces, 16000\)"):
        small(noise(1, 15_999))
