"""A Lightning callback of one's own: the norm of all weights, in the record and in every logger."""

import pytorch_lightning as pl
import torch


class WeightNorm(pl.Callback):
    """Logs ‖w‖ after each epoch.

    Args:
        name: What the figure is called.
    """

    def __init__(self, name: str = "weight_norm") -> None:
        self.name = name

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Asks every logger to keep it; the first one is the record of the run."""
        norm = float(torch.cat([weight.detach().flatten() for weight in pl_module.parameters()]).norm())
        for logger in trainer.loggers:
            logger.log_metrics({self.name: norm}, step=trainer.global_step)
