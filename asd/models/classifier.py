"""The LightningModule: backbone and ArcFace, trained to tell sections apart. No maths of its own."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from asd.data.datamodule import TrainingBatch
from asd.models.arcface import ArcFace
from asd.models.freezing import keep_frozen_in_eval


class SectionClassifier(pl.LightningModule):
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
        super().__init__()
        self.backbone = backbone
        self.arcface = arcface
        self.frozen = frozen  # a plain list: registered modules would stand in the checkpoint twice
        self.sgd: dict[str, Any] = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        self.sgd["fused"] = fused
        self.schedule = schedule
        self.n_steps = n_steps
        self.seed = seed
        self.pieces_per_step = 0
        self.sums = torch.zeros(3)

    def forward(self, pieces: Tensor) -> Tensor:
        """Pieces (n, 1, bins, frames) to embeddings (n, embedding_dim), not normalised."""
        return self.backbone(pieces)

    def train(self, mode: bool = True) -> "SectionClassifier":
        """Sets the mode, except for the frozen modules: their statistics stand still too."""
        super().train(mode)
        keep_frozen_in_eval(self.frozen)
        return self

    def on_train_start(self) -> None:
        """Takes the epoch's sums to the device, so that no step waits for them."""
        self.sums = self.sums.to(self.device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the sums of an epoch that is under way."""
        checkpoint["epoch_sums"] = self.sums.cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on with them."""
        self.sums = checkpoint["epoch_sums"]

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Makes what the network draws at random a function of (seed, step)."""
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)
        torch.compiler.cudagraph_mark_step_begin()  # the embeddings of the last step may be overwritten

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """The ArcFace loss of mixed pieces."""
        embedding = self(batch.pieces)
        losses = self.arcface(embedding, batch.section, batch.partner_section, batch.mix_weight)
        with torch.no_grad():
            right = (self.arcface.cosines(embedding).argmax(dim=1) == batch.section).sum()
            self.sums += torch.stack([losses.sum(), right, torch.ones_like(losses).sum()])
        self.pieces_per_step = len(batch.section)
        # Not Lightning's max_steps, under which a resumed run ends its last epoch a second time.
        self.trainer.should_stop = self.global_step + 1 >= self.n_steps
        return losses.mean()  # not logged: Lightning would make the host wait for it at every step

    def end_epoch(self) -> dict[str, float]:
        """The metrics of the whole epoch; starts new sums."""
        metrics = self.epoch_metrics()
        self.sums = torch.zeros_like(self.sums)
        return metrics

    def epoch_metrics(self) -> dict[str, float]:
        """Of the epoch so far: mean loss, accuracy of the section (of the louder clip), learning rate."""
        loss, right, count = self.sums.tolist()
        return {"loss": loss / count, "accuracy": right / count, "lr": self.last_lr()}

    def last_lr(self) -> float:
        """The learning rate as it stands now."""
        return float(self.trainer.optimizers[0].param_groups[0]["lr"])

    def configure_optimizers(self) -> Any:
        """SGD over what learns; the schedule ends at the last step."""
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(learning, **self.sgd)
        if self.schedule == "constant":
            return optimizer
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.n_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}
