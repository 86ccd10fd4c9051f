"""What every backbone is: pieces in, embeddings out, made of named parts that can be frozen.

A piece is what the run's `Input` gives (asd/features/input.py): mostly a part of a spectrogram. The constructor of a
backbone takes `embedding_dim`, the `sizes` of its input (`n_bins` and `n_frames`, or `n_samples`) and its own settings.
"""

from collections.abc import Iterator

from torch import Tensor, nn


class Backbone(nn.Module):
    """A network from pieces to embeddings.

    A subclass builds `network` and says which of its parts is the last block and which make the embedding.

    Args:
        network: The layers. Its children are the parts, in the order of the signal; those of a plain
            `nn.Sequential` count one by one (`layer4.2`).
        last_block: The part that is the last (residual) block.
        embedding_parts: The parts that make the embedding from the convolutional feature map.
        input_shape: Of one piece: (1, bins, frames) of a spectrogram, (samples,) of a waveform.
        embedding_dim: Length of the embedding.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        last_block: str,
        embedding_parts: tuple[str, ...],
        input_shape: tuple[int, ...],
        embedding_dim: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.last_block = last_block
        self.embedding_parts = embedding_parts
        self.input_shape = input_shape
        self.embedding_dim = embedding_dim

    def parts(self) -> dict[str, nn.Module]:
        """The parts that hold weights or statistics, by name, in the order of the signal."""
        return dict(named_parts(self.network))

    def forward(self, pieces: Tensor) -> Tensor:
        """Maps pieces to embeddings.

        Args:
            pieces: (pieces, *input_shape), such as (pieces, 1, bins, frames) of standardised spectrograms.

        Returns:
            (pieces, embedding_dim) embeddings, not normalised.

        Raises:
            ValueError: The pieces have another size than the network was built for.
        """
        if pieces.shape[1:] != self.input_shape:
            raise ValueError(
                f"pieces of shape {tuple(pieces.shape)}: must be (pieces, {', '.join(map(str, self.input_shape))}), "
                "the size that the network was built for"
            )
        return self.network(pieces)

    def feature_map(self, pieces: Tensor) -> Tensor:
        """The output of the last block, before anything is pooled: for scorers that look at frequency bands.

        Args:
            pieces: (pieces, 1, bins, frames).

        Returns:
            (pieces, channels, rows, columns), the rows from low to high frequencies.

        Raises:
            ValueError: The network is no sequence of convolutions; a subclass says how its map is made.
        """
        if type(self.network) is not nn.Sequential:
            raise ValueError(
                f"{type(self).__name__} has no feature map whose rows are frequency bands: take another scorer than "
                "bands, or a convolutional backbone"
            )
        last = self.last_block.partition(".")[0]
        for name, part in self.network.named_children():
            pieces = part(pieces)
            if name == last:
                break
        return pieces


def named_parts(network: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yields the children that hold weights or statistics; plain Sequentials are opened.

    A subclass of Sequential is a block of its own and stays whole.
    """
    for name, child in network.named_children():
        if type(child) is nn.Sequential:
            yield from named_parts(child, f"{prefix}{name}.")
        elif child.state_dict():
            yield prefix + name, child


def check_sizes(**sizes: int) -> None:
    """Raises ValueError naming the first size that is below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}={size}: must be at least 1")
