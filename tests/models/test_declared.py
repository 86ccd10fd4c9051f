"""What the sources of backbones say, against what Python says of the classes themselves."""

import ast
import inspect
import re

import pytest
import timm

from asd.models.backbone import Backbone
from asd.models.declared import backbones, class_definitions, declared_problems, model_problems, signature, timm_source
from asd.models.mobilefacenet import MobileFaceNet
from asd.models.small_cnn import SmallCnn
from asd.models.timm_cnn import TimmCnn


@pytest.mark.parametrize("backbone", [MobileFaceNet, SmallCnn, TimmCnn])
def test_the_source_says_what_the_class_takes(backbone: type[Backbone]) -> None:
    parameters = inspect.signature(backbone).parameters.values()
    takes = signature(class_definitions_of(backbone)[backbone.__name__])
    assert takes is not None
    assert takes.known == {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    assert takes.needed == {
        each.name for each in parameters if each.kind is each.KEYWORD_ONLY and each.default is each.empty
    }
    assert takes.takes_others == any(each.kind is each.VAR_KEYWORD for each in parameters)
    assert f"{backbone.__module__}.{backbone.__name__}" in backbones()


def class_definitions_of(backbone: type[Backbone]) -> dict[str, ast.ClassDef]:
    """The classes of the file that a backbone stands in."""
    from pathlib import Path

    return class_definitions(Path(inspect.getfile(backbone)))


def test_no_network_of_timm_is_refused() -> None:
    words = set(re.findall(r"\w+", timm_source()))
    assert set(timm.list_models()) <= words
    assert not list(model_problems("resnet50"))
    assert not list(model_problems("tf_efficientnet_b0.ns_jft_in1k"))
    assert list(model_problems("resnet5O")) == [
        "backbone.model=resnet5O: not a network of timm. Did you mean resnet50 or resnet51q or resnet50t?"
    ]


def test_where_timm_is_not_installed_nothing_is_said_of_its_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd.models.declared.importlib.util.find_spec", lambda name: None)
    timm_source.cache_clear()
    assert not list(model_problems("resnet5O"))
    timm_source.cache_clear()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"_target_": "asd.models.nowhere.X"}, r"no such class"),
        ({"_target_": "asd.models.small_cnn.SmallCnn"}, r"backbone\.embedding_dim is missing: SmallCnn needs it"),
        (
            {"_target_": "asd.models.small_cnn.SmallCnn", "embedding_dim": 8, "embeding_dim": 8},
            r"backbone\.embeding_dim: SmallCnn takes no such setting\. Did you mean embedding_dim",
        ),
    ],
)
def test_problems_are_named(settings: dict, message: str) -> None:
    assert re.match(f".*{message}", next(declared_problems(settings)))


def test_a_class_without_init_takes_what_its_parent_takes() -> None:
    assert signature(ast.parse("class A(Backbone):\n    pass").body[0]) is None  # type: ignore[arg-type]
