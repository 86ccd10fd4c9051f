"""The LightningModule: backbone and ArcFace, trained to tell sections apart. No maths of its own."""

from typing import Any

import torch
from torch import Tensor, nn

from asd.data.datamodule import TrainingBatch
from asd.models.arcface import ArcFace
from asd.models.freezing import keep_frozen_in_eval
from asd.models.learner import Learner


class SectionClassifier(Learner):
    """Section classification with SGD (Report 2.1, 2.4).

    Args:
        backbone: Pieces (n, 1, bins, frames) to embeddings (n, embedding_dim).
        arcface: Embeddings and sections to the loss.
        frozen: Modules that do not learn; they stay in evaluation mode.
        lr: Learning rate.
        momentum: Of SGD.
        nesterov: Whether the momentum is Nesterov's.
        weight_decay: Of SGD.
        schedule: cosine (to 0 at the last step) or constant.
        n_steps: Length of the training.
        fused: Whether SGD's update is one pass over each weight; Lightning cannot clip gradients then.
        seed: Whatever the network draws at random is a function of (seed, step).
    """

    def __init__(
        self,
        backbone: nn.Module,
        arcface: ArcFace,
        *,
        frozen: list[nn.Module],
        lr: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        schedule: str,
        n_steps: int,
        seed: int,
        fused: bool = False,
    ) -> None:
        super().__init__(n_steps)
        self.backbone = backbone
        self.arcface = arcface
        self.frozen = frozen  # a plain list: registered modules would stand in the checkpoint twice
        self.sgd: dict[str, Any] = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        self.sgd["fused"] = fused
        self.schedule = schedule
        self.seed = seed

    def forward(self, pieces: Tensor) -> Tensor:
        """Pieces (n, 1, bins, frames) to embeddings (n, embedding_dim), not normalised."""
        return self.backbone(pieces)

    def train(self, mode: bool = True) -> "SectionClassifier":
        """Sets the mode, except for the frozen modules: their statistics stand still too."""
        super().train(mode)
        keep_frozen_in_eval(self.frozen)
        return self

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Makes what the network draws at random a function of (seed, step)."""
        torch.manual_seed(self.seed * 1_000_003 + self.global_step + (self.global_rank << 40))
        torch.compiler.cudagraph_mark_step_begin()  # the embeddings of the last step may be overwritten

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """The ArcFace loss of mixed pieces; its accuracy counts the section of the louder clip."""
        embedding = self(batch.pieces)
        losses = self.arcface(embedding, batch.section, batch.partner_section, batch.mix_weight)
        with torch.no_grad():
            right = self.arcface.cosines(embedding).argmax(dim=1) == batch.section
        self.count({"loss": losses, "accuracy": right.float()})
        return losses.mean()  # not logged: Lightning would make the host wait for it at every step

    def configure_optimizers(self) -> Any:
        """SGD over what learns; the schedule ends at the last step."""
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(learning, **self.sgd)
        if self.schedule == "constant":
            return optimizer
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.n_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}
