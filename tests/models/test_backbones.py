"""What every backbone promises, at both of the report's inputs."""

import pytest
import torch

from asd.models.backbone import Backbone
from tests.support.backbones import BACKBONES, build, multiply_adds, noise

# FACTS: GFLOP of one piece at 1024×32, where a multiplication and its addition are two operations.
GFLOP = {"mobilefacenet": 0.745, "resnet50": 5.24, "efficientnet_b0": 0.493}


@pytest.fixture(scope="module", params=BACKBONES)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return build(request.param).eval()


@pytest.fixture
def pieces() -> torch.Tensor:
    return noise(3, 1, 64, 32)


@pytest.mark.parametrize("n_bins", [1024, 512])
@pytest.mark.parametrize("name", BACKBONES)
def test_pieces_become_embeddings(name: str, n_bins: int) -> None:
    backbone = build(name, n_bins)
    with torch.no_grad():
        embedding = backbone.eval()(noise(1, 1, n_bins, 32))
    assert embedding.shape == (1, 128)
    assert embedding.isfinite().all()
    assert embedding.std() > 0


@pytest.mark.parametrize(("n_bins", "share"), [(1024, 1), (512, 0.5)])
@pytest.mark.parametrize("name", GFLOP)
def test_the_work_of_a_piece(name: str, n_bins: int, share: float) -> None:
    assert 2e-9 * multiply_adds(build(name, n_bins)) == pytest.approx(share * GFLOP[name], rel=0.01)


def test_the_parts_hold_everything_once(backbone: Backbone) -> None:
    held = [id(value) for part in backbone.parts().values() for value in (*part.parameters(), *part.buffers())]
    assert len(held) == len(set(held))
    assert set(held) == {id(value) for value in (*backbone.parameters(), *backbone.buffers())}


def test_the_parts_stand_in_the_order_of_the_signal(backbone: Backbone, pieces: torch.Tensor) -> None:
    order: list[str] = []
    hooks = [
        part.register_forward_hook(lambda *_, name=name: order.append(name)) for name, part in backbone.parts().items()
    ]
    backbone(pieces)
    for hook in hooks:
        hook.remove()
    assert order == list(backbone.parts())


def test_the_embedding_is_made_after_the_last_block(backbone: Backbone) -> None:
    names = list(backbone.parts())
    assert tuple(names[-len(backbone.embedding_parts) :]) == backbone.embedding_parts
    assert 0 < names.index(backbone.last_block) < names.index(backbone.embedding_parts[0])


@torch.no_grad()
def test_a_piece_does_not_see_its_neighbours(backbone: Backbone, pieces: torch.Tensor) -> None:
    torch.testing.assert_close(backbone(pieces)[1:2], backbone(pieces[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BACKBONES)
def test_channels_last_gives_the_same(name: str, pieces: torch.Tensor) -> None:
    backbone = build(name).eval()
    expected = backbone(pieces)
    backbone.to(memory_format=torch.channels_last)
    embedding = backbone(pieces.to(memory_format=torch.channels_last))
    torch.testing.assert_close(embedding, expected, rtol=1e-4, atol=1e-5)
    backbone.train()(pieces.to(memory_format=torch.channels_last)).sum().backward()


@pytest.mark.parametrize("name", ["small", pytest.param("mobilefacenet", marks=[pytest.mark.slow, pytest.mark.ci])])
def test_the_forward_pass_is_one_graph(name: str, pieces: torch.Tensor) -> None:
    backbone = build(name).eval()
    compiled = torch.compile(backbone, fullgraph=True, backend="eager")
    assert torch.equal(compiled(pieces), backbone(pieces))


@pytest.mark.parametrize("shape", [(2, 1, 32, 64), (2, 1, 64, 16), (2, 1, 128, 32), (2, 2, 64, 32), (1, 64, 32)])
def test_pieces_of_another_size_are_refused(backbone: Backbone, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be \(pieces, 1, 64, 32\)"):
        backbone(torch.zeros(shape))


@pytest.mark.parametrize("size", ["n_bins", "n_frames", "embedding_dim"])
@pytest.mark.parametrize("name", BACKBONES)
def test_a_size_below_one_is_refused(name: str, size: str) -> None:
    sizes = {"n_bins": 64, "n_frames": 32, "embedding_dim": 16, size: 0}
    with pytest.raises(ValueError, match=f"{size}=0"):
        BACKBONES[name](**sizes)


def test_the_small_one_is_small() -> None:
    assert sum(parameter.numel() for parameter in build("small", 1024).parameters()) < 10_000
