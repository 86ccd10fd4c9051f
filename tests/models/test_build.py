"""A backbone from its configuration, and nothing else from it."""

import pytest

from asd.models.build import build_backbone
from asd.models.small_cnn import SmallCnn

SMALL = {"_target_": "asd.models.small_cnn.SmallCnn", "name": "small", "embedding_dim": 16}


def test_builds_what_the_target_names() -> None:
    backbone = build_backbone(SMALL, n_bins=64, n_frames=32)
    assert isinstance(backbone, SmallCnn)
    assert backbone.embedding_dim == 16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"_target_": "os.system"}, "only classes under asd.models are built"),
        ({"_target_": "asd.models_evil.X"}, "only classes under asd.models are built"),
        ({"_target_": "asd.models.nowhere.X"}, "no such class"),
        ({"_target_": "asd.models.small_cnn.Big"}, "no such class"),
        ({"_target_": "asd.models.small_cnn.check_sizes"}, "not a Backbone"),
        ({"_target_": "asd.models.small_cnn.Block"}, "not a Backbone"),
        ({"depth": 3}, r"backbone\.\*: .*depth"),
    ],
)
def test_refuses_the_rest(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_backbone(SMALL | settings, n_bins=64, n_frames=32)
