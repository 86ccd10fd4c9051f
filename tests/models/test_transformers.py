"""BEATs and EAT with small random weights under the published names, against slow forward passes on those names."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asd.methods.arcface import ArcFaceMethod
from asd.models import beats, eat
from asd.models.beats import Beats, buckets
from asd.models.eat import Eat, sines
from asd.models.freezing import freeze, parts_of
from asd.models.lora import Lora
from tests.support.backbones import noise

Weights = dict[str, Tensor]
WIDTH, HEADS, LAYERS, PATCH_DIM = 32, 2, 2, 8
SMALL = {"embedding_dim": WIDTH, "n_heads": HEADS, "n_layers": LAYERS, "n_bins": 32, "n_frames": 50}
IMAGE = "modality_encoders.IMAGE"


def linear(name: str, n_out: int, n_in: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def beats_shapes(width: int, heads: int, layers: int, patch_dim: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of BEATs_iter3.pt (microsoft/unilm, beats/)."""
    shapes = {"patch_embedding.weight": (patch_dim, 1, 16, 16), **norm("layer_norm", patch_dim)}
    shapes |= linear("post_extract_proj", width, patch_dim) | norm("encoder.layer_norm", width)
    shapes |= {"encoder.pos_conv.0.bias": (width,), "encoder.pos_conv.0.weight_g": (1, 1, 128)}
    shapes |= {"encoder.pos_conv.0.weight_v": (width, width // 16, 128)}
    for number in range(layers):
        layer = f"encoder.layers.{number}"
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            shapes |= linear(f"{layer}.self_attn.{name}", width, width)
        shapes |= linear(f"{layer}.self_attn.grep_linear", 8, width // heads)
        shapes |= {f"{layer}.self_attn.grep_a": (1, heads, 1, 1)}
        shapes |= {f"{layer}.self_attn.relative_attention_bias.weight": (320, heads)}
        shapes |= linear(f"{layer}.fc1", 4 * width, width) | linear(f"{layer}.fc2", width, 4 * width)
        shapes |= norm(f"{layer}.self_attn_layer_norm", width) | norm(f"{layer}.final_layer_norm", width)
    return shapes


def eat_shapes(width: int, layers: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of EAT-base_epoch30_pt.pt (cwx-worst-one/EAT), some of the decoder's among them."""
    shapes = {f"{IMAGE}.extra_tokens": (1, 1, width), f"{IMAGE}.local_encoder.proj.weight": (width, 1, 16, 16)}
    shapes |= {f"{IMAGE}.local_encoder.proj.bias": (width,)}
    shapes |= {f"{IMAGE}.fixed_positional_encoder.positions": (1, 512, width)}
    shapes |= norm(f"{IMAGE}.context_encoder.norm", width) | linear(f"{IMAGE}.decoder.proj", width, width)
    for number in range(layers):
        layer = f"blocks.{number}"
        shapes |= norm(f"{layer}.norm1", width) | norm(f"{layer}.norm2", width)
        shapes |= linear(f"{layer}.attn.qkv", 3 * width, width) | linear(f"{layer}.attn.proj", width, width)
        shapes |= linear(f"{layer}.mlp.fc1", 4 * width, width) | linear(f"{layer}.mlp.fc2", width, 4 * width)
    return shapes


def random_weights(shapes: Mapping[str, tuple[int, ...]]) -> Weights:
    generator = torch.Generator().manual_seed(1)
    weights = {name: torch.randn(*shape, generator=generator) / 3 for name, shape in shapes.items()}
    table = next((weights[name] for name in weights if name.endswith("relative_attention_bias.weight")), None)
    for name in weights:
        if name.endswith("relative_attention_bias.weight"):  # one and the same in every layer
            weights[name] = table
    return weights


BEATS = random_weights(beats_shapes(WIDTH, HEADS, LAYERS, PATCH_DIM))
EAT = random_weights(eat_shapes(WIDTH, LAYERS))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Small checkpoints, as they are published."""
    folder = tmp_path_factory.mktemp("weights")
    cfg = {"deep_norm": True, "layer_norm_first": False, "num_buckets": 320, "max_distance": 800, "gru_rel_pos": True}
    torch.save({"cfg": cfg, "model": BEATS}, folder / "beats.pt")
    torch.save({"cfg": {"model": {"depth": 2}}, "args": None, "model": EAT | {"_ema": dict(EAT)}}, folder / "eat.pt")
    return {name: str(folder / f"{name}.pt") for name in ("beats", "eat")}


def build(name: str, files: Mapping[str, str], **settings: Any) -> Any:
    kind = {"beats": Beats, "eat": Eat}[name]
    extra = {"patch_dim": PATCH_DIM} if name == "beats" else {}
    return kind(**(SMALL | extra | {"checkpoint": files[name]} | settings))


# --- the oracle: loops over pieces, heads and queries, in float64 -------------------------------------------------


def bucket(distance: int) -> int:
    """T5's, by hand: 80 exact ones each way, then 80 on a log scale up to 800."""
    far, half = abs(distance), 160
    number = far if far < 80 else min(half - 1, 80 + int(math.log(far / 80) / math.log(800 / 80) * 80))
    return number + (half if distance > 0 else 0)


def dense(weights: Weights, name: str, x: Tensor) -> Tensor:
    return x @ weights[f"{name}.weight"].double().T + weights[f"{name}.bias"].double()


def normalised(weights: Weights, name: str, x: Tensor, epsilon: float) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + epsilon).sqrt()
    return scaled * weights[f"{name}.weight"].double() + weights[f"{name}.bias"].double()


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def attention(query: Tensor, key: Tensor, value: Tensor, bias: Callable[[Tensor, int, int, int], float]) -> Tensor:
    """(tokens, width) each; one head and one query after the other."""
    size = query.shape[1] // HEADS
    found = torch.zeros_like(query)
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        for q in range(len(query)):
            logits = [
                float(query[q, part] @ key[k, part]) / math.sqrt(size) + bias(query[q, part], head, q, k)
                for k in range(len(key))
            ]
            share = [math.exp(logit - max(logits)) for logit in logits]
            for k in range(len(key)):
                found[q, part] += share[k] / sum(share) * value[k, part]
    return found


def patches(weight: Tensor, bias: Tensor | None, piece: Tensor) -> Tensor:
    """(bins, frames) to (tokens, n): time after time, and within it band after band."""
    rows = []
    for column in range(0, piece.shape[1] - 15, 16):
        for band in range(0, piece.shape[0] - 15, 16):
            block = piece[band : band + 16, column : column + 16].T  # theirs are (time, frequency)
            rows.append((weight[:, 0].double() * block).sum(dim=(1, 2)))
    return torch.stack(rows) + (0 if bias is None else bias.double())


def slow_beats(piece: Tensor) -> Tensor:
    w = BEATS
    x = normalised(w, "layer_norm", patches(w["patch_embedding.weight"], None, piece), 1e-5)
    x = dense(w, "post_extract_proj", x)
    v = w["encoder.pos_conv.0.weight_v"].double()
    kernel = torch.stack(
        [w["encoder.pos_conv.0.weight_g"][0, 0, t] * v[..., t] / v[..., t].norm() for t in range(128)], -1
    )
    moved, each = torch.zeros_like(x), WIDTH // 16
    for token in range(len(x)):
        for channel in range(WIDTH):
            group = slice(channel // each * each, channel // each * each + each)
            for tap in range(128):
                if 0 <= token + tap - 64 < len(x):
                    moved[token, channel] += kernel[channel, :, tap] @ x[token + tap - 64, group]
    x = normalised(w, "encoder.layer_norm", x + gelu(moved + w["encoder.pos_conv.0.bias"].double()), 1e-5)
    for number in range(LAYERS):
        layer = f"encoder.layers.{number}"

        def gated(query: Tensor, head: int, q: int, k: int, layer: str = layer) -> float:
            eight = dense(w, f"{layer}.self_attn.grep_linear", query)
            a, b = torch.sigmoid(eight[:4].sum()), torch.sigmoid(eight[4:].sum())
            gate = a * (b * w[f"{layer}.self_attn.grep_a"][0, head, 0, 0] - 1) + 2
            return float(gate * w["encoder.layers.0.self_attn.relative_attention_bias.weight"][bucket(k - q), head])

        q, k, v = (dense(w, f"{layer}.self_attn.{name}_proj", x) for name in "qkv")
        heard = dense(w, f"{layer}.self_attn.out_proj", attention(q, k, v, gated))
        x = normalised(w, f"{layer}.self_attn_layer_norm", x * (2 * LAYERS) ** 0.25 + heard, 1e-5)
        hidden = dense(w, f"{layer}.fc2", gelu(dense(w, f"{layer}.fc1", x)))
        x = normalised(w, f"{layer}.final_layer_norm", x * (2 * LAYERS) ** 0.25 + hidden, 1e-5)
    return x.mean(dim=0)


def slow_eat(piece: Tensor) -> Tensor:
    w, encoder = EAT, f"{IMAGE}.local_encoder.proj"
    x = patches(w[f"{encoder}.weight"], w[f"{encoder}.bias"], piece)
    for token in range(len(x)):
        time, band = divmod(token, 2)
        for i in range(WIDTH // 4):
            rate = 10_000 ** -(i / (WIDTH // 4))
            waves = (math.sin(band * rate), math.cos(band * rate), math.sin(time * rate), math.cos(time * rate))
            for quarter, wave in enumerate(waves):
                x[token, quarter * WIDTH // 4 + i] += wave
    x = torch.cat([w[f"{IMAGE}.extra_tokens"][0].double(), x])
    x = normalised(w, f"{IMAGE}.context_encoder.norm", x, 1e-6)
    for number in range(LAYERS):
        layer = f"blocks.{number}"
        q, k, v = dense(w, f"{layer}.attn.qkv", x).split(WIDTH, dim=1)
        x = normalised(
            w, f"{layer}.norm1", x + dense(w, f"{layer}.attn.proj", attention(q, k, v, lambda *_: 0.0)), 1e-6
        )
        hidden = dense(w, f"{layer}.mlp.fc2", gelu(dense(w, f"{layer}.mlp.fc1", x)))
        x = normalised(w, f"{layer}.norm2", x + hidden, 1e-6)
    return x[0]


@torch.no_grad()
@pytest.mark.parametrize(("name", "oracle"), [("beats", slow_beats), ("eat", slow_eat)])
def test_it_embeds_as_a_slow_pass_over_the_published_names(
    files: Mapping[str, str], name: str, oracle: Callable[[Tensor], Tensor]
) -> None:
    pieces = noise(2, 1, 32, 50)
    found = build(name, files, tune="all").eval()(pieces)
    expected = oracle(pieces[1, 0].double())
    torch.testing.assert_close(found[1].double(), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.1


def test_buckets_of_near_and_far_tokens() -> None:
    found = buckets(1_000, torch.device("cpu"))
    for query in (0, 450, 999):
        expected = [bucket(key - query) for key in range(1_000)]
        differing = np.flatnonzero(found[query].numpy() != np.array(expected))
        assert len(differing) <= 2  # float32 at the steps of the logarithm, as theirs
    assert found.min() == 0
    assert found.max() == 319


@pytest.mark.parametrize(
    ("network", "shapes", "renamed"),
    [
        (lambda: beats.Network(768, 12, 12, 512), beats_shapes(768, 12, 12, 512), beats.renamed),
        (lambda: eat.Network((62, 8), 768, 12, 12, "cls"), eat_shapes(768, 12), eat.renamed),
    ],
)
def test_the_published_weights_fit_the_whole_network(
    network: Callable[[], nn.Module], shapes: Mapping[str, tuple[int, ...]], renamed: Callable[[Weights], Weights]
) -> None:
    with torch.device("meta"):
        theirs = {name: torch.empty(shape) for name, shape in shapes.items()}
        ours = network().state_dict()
    found = renamed(theirs)
    assert {name: value.shape for name, value in found.items()} == {name: value.shape for name, value in ours.items()}


def test_positions_do_not_depend_on_the_length() -> None:
    torch.testing.assert_close(sines(3, 8, WIDTH), sines(64, 8, WIDTH)[:, :24])


@pytest.mark.parametrize("name", ["beats", "eat"])
def test_lora_starts_as_the_network_was_and_learns_alone(files: Mapping[str, str], name: str) -> None:
    pieces = noise(2, 1, 32, 50)
    frozen, backbone = build(name, files, tune="none"), build(name, files, tune="lora", lora_rank=3)
    assert not any(weight.requires_grad for weight in frozen.parameters())
    torch.testing.assert_close(backbone(pieces), frozen(pieces))
    learning = {key: weight for key, weight in backbone.named_parameters() if weight.requires_grad}
    assert sum(weight.numel() for weight in learning.values()) == LAYERS * 2 * 2 * 3 * WIDTH
    assert all(key.rpartition(".")[0].endswith(("query", "value")) for key in learning)
    backbone(pieces).square().sum().backward()
    torch.optim.SGD(learning.values(), lr=0.1).step()
    assert not torch.allclose(backbone(pieces), frozen(pieces))


def test_lora_is_a_product_of_two_small_matrices() -> None:
    layer = nn.Linear(5, 4)
    lora = Lora(layer, rank=2, alpha=6.0)
    nn.init.normal_(lora.up)
    x = noise(3, 5)
    expected = x @ (layer.weight + 6 / 2 * lora.up @ lora.down).T + layer.bias
    torch.testing.assert_close(lora(x), expected)


@pytest.mark.parametrize("name", ["beats", "eat"])
def test_parts_can_be_frozen(files: Mapping[str, str], name: str) -> None:
    backbone = build(name, files, tune="all")
    assert list(parts_of(backbone))[-2:] == ["layers.0", "layers.1"]
    freeze(backbone, nn.Linear(1, 1), ["until_last_block"])
    learning = [key for key, weight in backbone.named_parameters() if weight.requires_grad]
    assert learning
    assert all(key.startswith("network.layers.1.") for key in learning)


class Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('executed')",)


CHECKPOINTS_OF_OTHERS = [
    ({"model": BEATS, "step": np.float64(1)}, r"checkpoint=.*no NumPy scalars.*torch\.save"),
    ({"model": BEATS, "task": Harm()}, r"checkpoint=.*names code.*Where you trust the file"),
    (BEATS, "no weights under 'model'"),
    ({"model": {**BEATS, "more": torch.zeros(1)}}, r"do not fit this network: .*more"),
    ({"model": {"fc1.weight": torch.zeros(1)}}, "do not fit this network"),
    ({"model": {**BEATS, "encoder.pos_conv.0.weight_v": [1.0]}}, r"do not fit this network: .*convolution\.weight"),
    ({"model": BEATS, "cfg": {"deep_norm": False}}, "has deep_norm=False, not True"),
]


def test_settings_of_another_shape_are_as_if_there_were_none(tmp_path: Path) -> None:
    torch.save({"model": BEATS, "cfg": None}, tmp_path / "own.pt")
    build("beats", {"beats": str(tmp_path / "own.pt")})


@pytest.mark.parametrize(
    ("content", "message"),
    CHECKPOINTS_OF_OTHERS,
)
def test_another_checkpoint_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "own.pt")
    with pytest.raises(ValueError, match=message):
        build("beats", {"beats": str(tmp_path / "own.pt")})


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("beats", {"checkpoint": None}, r"backbone\.checkpoint=FILE\.pt.*backbone\.pretrained=false"),
        ("eat", {"checkpoint": "nowhere.pt"}, "checkpoint=nowhere.pt: no such file"),
        ("eat", {"n_frames": 1040}, "n_frames=1040: must be below 1040"),
        ("eat", {"n_frames": 15}, "pieces of 32×15"),
        ("eat", {"n_bins": 40}, "pieces of 40×50"),
        ("eat", {"pooling": "max"}, "pooling=max"),
        ("eat", {"n_heads": 3}, "n_heads=3: must divide embedding_dim=32"),
        ("beats", {"embedding_dim": 24}, "embedding_dim=24: must be a multiple of 16"),
        ("beats", {"tune": "some"}, "tune=some: must be one of all, lora, none"),
        ("beats", {"lora_rank": 0}, "lora_rank=0"),
        ("beats", {"lora_alpha": 0.0}, "lora_alpha=0.0"),
    ],
)
def test_settings_are_checked(files: Mapping[str, str], name: str, setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, files, **setting)


def test_a_trained_run_needs_the_published_file_no_more(workplace: Path, job: Callable[..., Any]) -> None:
    small = [f"backbone.{key}={value}" for key, value in SMALL.items() if not key.startswith("n_")]
    small += ["+backbone.n_layers=1", "+backbone.n_heads=2", "input.n_frames=16"]
    method = ArcFaceMethod(job("train", "backbone=eat", "input=eat", "backbone.checkpoint=gone.pt", *small))
    with pytest.raises(ValueError, match=r"checkpoint=gone\.pt: no such file"):
        method.backbone()
    assert method.backbone(is_trained=True)[1] == WIDTH
