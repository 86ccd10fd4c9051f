"""The aisfx network with the weights of the package, against the package's own network."""

import pickle
from pathlib import Path

import pytest
import torch

from asd.features.aisfx import AisfxPieces
from asd.models import aisfx
from asd.models.aisfx import Aisfx, checkpoint_path, read_weights
from tests.support.backbones import noise


@pytest.fixture(scope="module")
def weights() -> Path:
    try:
        return checkpoint_path()
    except ValueError:
        pytest.skip("aisfx is not installed: pip install --no-deps aisfx==0.1.2")


def test_it_embeds_as_the_network_of_the_package(weights: Path) -> None:
    theirs_module = pytest.importorskip("aisfx.models.cnn2d")
    theirs = theirs_module.EmbeddingNet("max", 3, 1, 64)
    own = read_weights(weights)
    turned = {name.removeprefix("block"): value.mT if value.ndim == 4 else value for name, value in own.items()}
    theirs.load_state_dict({f"conv_block{name}": value for name, value in turned.items()})
    pieces = noise(2, 1, 96, 40).abs()
    with torch.no_grad():
        expected = theirs.eval()(pieces.squeeze(1).mT)
        found = Aisfx(n_bins=96, n_frames=40).eval()(pieces)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found.std() > 0


def test_random_weights_need_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aisfx.importlib.util, "find_spec", lambda _: None)
    backbone = Aisfx(n_bins=96, n_frames=16, pretrained=False)
    assert backbone(noise(2, 1, 96, 16)).shape == (2, 512)
    with pytest.raises(ValueError, match=r"pip install --no-deps aisfx==0\.1\.2.*backbone\.pretrained=false"):
        Aisfx(n_bins=96, n_frames=16)


def test_the_parts_are_its_blocks() -> None:
    backbone = Aisfx(n_bins=96, n_frames=16, pretrained=False)
    assert list(backbone.parts()) == ["block1", "block2", "block3", "block4"]
    held = sum(p.numel() for part in backbone.parts().values() for p in part.parameters())
    assert held == sum(p.numel() for p in backbone.parameters()) == 4_686_144
    assert backbone.last_block == "block4"


class Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('executed')",)


def test_a_checkpoint_that_names_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save(({}, Harm()), path)
    with pytest.raises(ValueError, match=r"checkpoint\.pth: not the checkpoint of aisfx"):
        read_weights(path)


@pytest.mark.parametrize("content", [{"a": 1}, ({"embedding_net.conv_block1.conv1.weight": torch.zeros(1)}, {})])
def test_another_checkpoint_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match="not the checkpoint of aisfx"):
        read_weights(path)
    path.write_bytes(pickle.dumps(b"")[:3])
    with pytest.raises(ValueError, match="not the checkpoint of aisfx"):
        read_weights(path)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_bins": 96, "n_frames": 7}, "96×7: both sides must be at least 8"),
        ({"n_bins": 0, "n_frames": 16}, "n_bins=0"),
        ({"n_bins": 96, "n_frames": 16, "embedding_dim": 128}, "embedding_dim=128: this network's embedding has 512"),
    ],
)
def test_sizes_are_checked(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Aisfx(**sizes, pretrained=False)


def test_the_input_fits_the_network() -> None:
    source = AisfxPieces(sample_rate=16_000, n_frames=16)
    backbone = Aisfx(**source.sizes, pretrained=False)
    assert backbone(source(noise(2, source.window_length))).shape == (2, 512)
