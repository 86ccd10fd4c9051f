"""The LightningModule: backbone and head, trained to tell classes apart. No maths of its own."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asd.data.datamodule import TrainingBatch
from asd.models.freezing import keep_frozen_in_eval
from asd.models.module import Optimizer, Schedule, TrainingModule


class SectionClassifier(TrainingModule):
    """Section classification (Report 2.1, 2.4).

    Args:
        backbone: Pieces (n, 1, bins, frames) to embeddings (n, embedding_dim).
        head: (embedding, label, partner label, weight of the partner) to the loss of each piece (n,); where it has
            `class_scores`, embeddings to (n, classes), the accuracy is recorded.
        frozen: Modules that do not learn; they stay in evaluation mode.
        optimizer: Weights to optimizer.
        schedule: Optimizer to schedule; None: constant.
        n_steps: Length of the training.
        seed: Whatever the network draws at random is a function of (seed, step).
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        frozen: Sequence[nn.Module],
        optimizer: Optimizer,
        schedule: Schedule | None,
        n_steps: int,
        seed: int,
    ) -> None:
        super().__init__(n_steps, optimizer=optimizer, schedule=schedule)
        self.backbone = backbone
        self.head = head
        self.frozen = list(frozen)  # a plain list: registered modules would be in the checkpoint twice
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
        """The loss of mixed pieces; the accuracy counts the class of the louder clip."""
        embedding = self(batch.pieces)
        losses = self.head(embedding, batch.section, batch.partner_section, batch.mix_weight)
        figures = {"loss": losses}
        class_scores = getattr(self.head, "class_scores", None)
        if class_scores is not None:
            with torch.no_grad():
                figures["accuracy"] = (class_scores(embedding).argmax(dim=1) == batch.section).float()
        self.update(figures)
        return losses.mean()  # not logged: Lightning would make the host wait for it at every step
