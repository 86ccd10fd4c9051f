"""The LightningModule of a network with a plain objective: windows in, figures of each window out."""

from collections.abc import Callable

from torch import Tensor, nn

from asd.data.logmel_datamodule import WindowBatch
from asd.models.module import Optimizer, Schedule, TrainingModule

Objective = Callable[[nn.Module, WindowBatch], dict[str, Tensor]]


class ObjectiveModule(TrainingModule):
    """Trains a network on the mean of an objective.

    Args:
        network: What learns.
        objective: Network and batch to figures of each window, (batch,), the `loss` among them.
        optimizer: Weights to optimizer.
        schedule: As of TrainingModule.
        n_steps: Length of the training.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        *,
        optimizer: Optimizer,
        n_steps: int,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(n_steps, optimizer=optimizer, schedule=schedule)
        self.network = network
        self.objective = objective

    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:
        """The mean loss of a batch."""
        figures = self.objective(self.network, batch)
        self.update(figures)
        return figures["loss"].mean()
