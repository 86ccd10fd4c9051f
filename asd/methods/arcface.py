"""The report's method: pieces of mixed clips, a backbone, and a head that tells the sections apart (Report 2).

Trained on source clips (phase 1), fine-tuned on target clips (phase 2, Report 2.4), scored by the cosine distance of
pieces to the nearest training pieces (Report 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge, Le
from pydantic import Field, StringConstraints, model_validator

from asd.config.components import ArcFaceSettings, Component, NamedComponent, SgdSettings, SpectrogramSettings, one_of
from asd.config.instantiate import find_code, instantiate
from asd.config.messages import Says
from asd.config.schema import BackboneComponent, MixupConfig, RunConfig, SpeedConfig
from asd.data.clips import ClipTable
from asd.methods.method import Extractor, Method, ScorerChoice

if TYPE_CHECKING:
    import torch
    from torch import nn

    from asd.data.datamodule import MachineDataModule
    from asd.data.waveforms import WaveformBank
    from asd.features.input import Input
    from asd.models.classifier import SectionClassifier


Classes = Annotated[
    str,
    StringConstraints(pattern=r"^(section|attributes|attributes_domain|machine|clusters-[1-9]\d{0,3})$"),
    Says("one of section, attributes, attributes_domain, machine, or clusters-N such as clusters-16"),
]


class ArcFaceConfig(RunConfig):
    """Keys of conf/method/arcface.yaml."""

    PHASES: ClassVar[tuple[str, ...]] = ("train", "finetune")
    SCOPES: ClassVar[tuple[str, ...]] = ("machine", "all")

    sampling: Literal["source", "target_step"] = Field(description="clips of a step; set by the script")
    classes: Classes = Field("section", description="what the head tells apart (docs/data.md)")
    batch_size: Annotated[int, Ge(2), Le(65536)] = Field(description="pieces of a step (Table 3)")
    mixup: MixupConfig
    optimizer: one_of(SgdSettings)  # type: ignore[valid-type]
    schedule: Component | None = Field(None, description="of the learning rate; null: constant")
    input: one_of(SpectrogramSettings, other=NamedComponent)  # type: ignore[valid-type]
    loss: one_of(ArcFaceSettings)  # type: ignore[valid-type]
    backbone: BackboneComponent
    channels_last: bool = Field(description="memory layout of the network")
    compile: bool | Literal["auto", "cudagraphs"] = Field(description="auto: as measured (conf/speed)")
    speed: SpeedConfig

    @model_validator(mode="after")
    def check_classes(self) -> Self:
        """Machines are told apart by a network that hears several."""
        if self.classes == "machine" and self.scope == "machine":
            raise ValueError(
                "classes=machine with scope=machine: one machine is one class. Give scope=all, one network for all "
                "machines of data.root, or tell apart what the machine has: classes=section, attributes or clusters-8"
            )
        return self

    @property
    def system(self) -> str:
        """Backbone and input."""
        return f"{self.backbone.name}-{self.input.name}"


class ArcFaceMethod(Method[ArcFaceConfig]):
    """Section classification with a margin."""

    TECHNIQUE: ClassVar[str] = "CNN"

    Config = ArcFaceConfig

    @cached_property
    def input(self) -> Input:
        """Windows of waveform to pieces."""
        from asd.features.input import Input

        code = find_code(self.config.input, "input")
        if isinstance(code, type) and not issubclass(code, Input):
            raise ValueError(f"input._target_={self.config.input.target}: not an Input (asd/features/input.py)")
        found: Input = instantiate(self.config.input, "input")
        return found

    @property
    def sample_rate(self) -> int:
        """Of the input."""
        return self.input.sample_rate

    @property
    def min_samples(self) -> int:
        """Of the input."""
        return self.input.min_samples

    def check(self, table: ClipTable) -> None:
        """There must be classes to tell apart, and clips of each domain that a step asks for."""
        from asd.data.classes import check_clusters, n_clusters, told_classes
        from asd.data.sampling import clips_by_class

        n = n_clusters(self.config.classes)
        if n > 1:
            check_clusters(table, n)
            return
        told = "section" if n else self.config.classes
        table = table if told == "section" else replace(table, class_name=told_classes(table, told))
        for domain in ("source", "target") if self.config.sampling == "target_step" else ("source",):
            clips_by_class(table, domain)

    def check_parts(self) -> None:
        """The input, the backbone, the head for two classes, the optimizer and its schedule."""
        _, embedding_dim = self.backbone()
        instantiate(self.config.loss, "loss", embedding_dim=embedding_dim, n_classes=2)
        instantiate(self.optimizer(n_steps=1), "optimizer")
        if self.config.schedule:
            instantiate(self.config.schedule, "schedule")

    def resolved(self, *, begun: ArcFaceConfig | None, n_steps: int) -> ArcFaceConfig:
        """Precision and compiling as measured for the network (conf/speed)."""
        from asd.training.auto import Computation, resolve_auto

        config = self.config
        chosen = resolve_auto(
            Computation(config.compile, config.trainer.precision),
            Computation(begun.compile, begun.trainer.precision) if begun else None,
            speed=config.speed,
            trainer=config.trainer,
            network=config.backbone.name,
            n_steps=n_steps,
        )
        trainer = config.trainer.model_copy(update={"precision": chosen.precision})
        return config.with_values(compile=chosen.compile, trainer=trainer)

    def ready(self, *, is_begun: bool, asked: ArcFaceConfig) -> ArcFaceConfig:
        """Without compiling, where `auto` chose it and this machine has no compiler.

        Raises:
            ValueError: Compiling was asked for, or the run began with it, and this machine cannot.
        """
        from asd.system.progress import say
        from asd.training.auto import compiler_problem

        config = self.config
        problem = compiler_problem(config.trainer) if config.compile else None
        if problem is None:
            return config
        if is_begun and not config.overwrite:
            raise ValueError(
                f"{config.folder()} began compiled, and here {problem}. Install a C++ compiler, or go on where there "
                "is one"
            )
        if asked.compile != "auto":
            raise ValueError(f"compile={config.compile}: {problem}. Install a C++ compiler, or give compile=false")
        say(f"the network is not compiled, which is slower: {problem}")
        return config.with_values(compile=False)

    def classify(self, table: ClipTable, bank: WaveformBank) -> ClipTable:
        """Attributes, domains, or clusters of the training clips."""
        from asd.data.classes import cluster_classes, n_clusters, told_classes

        kind = self.config.classes
        if kind == "section":
            return table
        n, config = n_clusters(kind), self.config
        if not n:
            return replace(table, class_name=told_classes(table, kind))
        names = cluster_classes(
            table, bank, n, sample_rate=self.sample_rate, seed=config.seed, progress=config.progress
        )
        return replace(table, class_name=names)

    def n_steps_per_epoch(self, table: ClipTable) -> int:
        """Once through the training clips of the source domain."""
        n_source = int((table.is_train & table.is_source).sum())
        return max(1, -(-n_source // self.config.batch_size))

    def datamodule(self, table: ClipTable, bank: WaveformBank) -> MachineDataModule:
        """The bank of waveforms and the plan of the steps."""
        import numpy as np

        from asd.data.datamodule import MachineDataModule
        from asd.data.placement import place
        from asd.data.sampling import BalancedSource, TargetStep
        from asd.training.auto import training_device

        config = self.config
        bank = place(bank, config.data.bank, training_device(config.trainer), workers=config.data.workers)
        low, high = config.mixup.weight
        plan = {"source": BalancedSource, "target_step": TargetStep}[config.sampling](
            table,
            batch_size=config.batch_size,
            mix_range=(low, high),
            mix_probability=config.mixup.probability,
            n_positions=np.array([self.input.n_positions(int(length)) for length in bank.lengths]),
            seed=config.seed,
        )
        return MachineDataModule(bank, plan, self.input, workers=config.data.workers)

    def backbone(self, *, is_trained: bool = False) -> tuple[nn.Module, int]:
        """The network as a training begins, and the length of its embeddings.

        Args:
            is_trained: Weights are put in afterwards: those that it starts from need not be there any more.

        Raises:
            ValueError: It does not take the input's pieces, or gives no embedding.
        """
        import torch

        component = self.config.backbone
        if is_trained and "pretrained" in component.arguments:
            component = component.model_copy(update={"pretrained": False})
        backbone: nn.Module = instantiate(component, "backbone", **self.input.sizes)
        example = self.input(torch.zeros(2, self.input.window_length))
        was_training = backbone.training
        try:
            with torch.no_grad():
                embedding = backbone.eval()(example)
        except Exception as error:  # whatever somebody's network raises
            raise ValueError(
                f"backbone: {self.config.backbone.target} does not take {tuple(example.shape)}: {error}"
            ) from error
        backbone.train(was_training)
        if embedding.ndim != 2 or len(embedding) != 2:
            raise ValueError(
                f"backbone: {self.config.backbone.target} gives {tuple(embedding.shape)} for 2 pieces: "
                "an embedding of each, (pieces, embedding_dim), is needed"
            )
        return backbone, embedding.shape[1]

    def module(self, table: ClipTable, n_steps: int, phase1: Mapping[str, Any] | None) -> SectionClassifier:
        """Random or pretrained weights in phase 1, the phase-1 run's in phase 2, of which some may be frozen."""
        import torch

        from asd.models.classifier import SectionClassifier
        from asd.models.compiling import compile_network
        from asd.models.freezing import freeze, parts_of
        from asd.runs.checkpoint import load_part

        config = self.config
        torch.manual_seed(config.seed)
        backbone, embedding_dim = self.backbone(is_trained=phase1 is not None)
        head: nn.Module = instantiate(config.loss, "loss", embedding_dim=embedding_dim, n_classes=len(table.classes))
        frozen_names: list[str] = []
        frozen_modules: list[nn.Module] = []
        if phase1 is not None:
            load_part(phase1, "backbone", backbone)
            load_part(phase1, "head", head)
            assert config.freeze is not None
            frozen_names, frozen_modules = freeze(backbone, head, config.freeze.parts)
        if config.channels_last:
            backbone.to(memory_format=torch.channels_last)
        if config.compile:
            compile_network(backbone, as_cuda_graphs=config.compile == "cudagraphs")
        module = SectionClassifier(
            backbone,
            head,
            frozen=frozen_modules,
            optimizer=instantiate(self.optimizer(n_steps), "optimizer"),
            schedule=instantiate(config.schedule, "schedule") if config.schedule else None,
            n_steps=n_steps,
            seed=config.seed,
        )
        module.frozen_names, module.part_names = frozen_names, list(parts_of(backbone))
        return module

    def optimizer(self, n_steps: int) -> Component:
        """The optimizer's settings; in a long run SGD's update is one pass over each weight.

        Lightning cannot clip gradients then.
        """
        config = self.config
        is_long = n_steps >= config.speed.from_steps and not config.trainer.gradient_clip_val
        if not isinstance(config.optimizer, SgdSettings) or "fused" in config.optimizer.arguments:
            found: Component = config.optimizer
            return found
        return SgdSettings.of({**config.optimizer.plain(), "fused": is_long})

    def extractor(
        self, checkpoint: Mapping[str, Any], choice: ScorerChoice, device: torch.device, precision: str | int
    ) -> Extractor:
        """The backbone, which gives unit embeddings of pieces, or the vectors of their frequency bands."""
        from asd.models.embedder import Embedder
        from asd.models.frequency_bands import FrequencyBands
        from asd.runs.checkpoint import load_part

        backbone, _ = self.backbone(is_trained=True)
        load_part(checkpoint, "backbone", backbone)
        return Embedder.of_network(
            backbone if choice.bands is None else FrequencyBands(backbone, choice.bands),
            self.input,
            stride=choice.stride,
            device=device,
            precision=precision,
            channels_last=self.config.channels_last,
        )
