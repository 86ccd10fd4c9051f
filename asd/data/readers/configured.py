"""The reader that a configuration names: where clips come from."""

from pathlib import Path

from asd.config.instantiate import instantiate
from asd.config.schema import DataConfig
from asd.data.readers.contract import Reader


def reader_of(data: DataConfig, root: Path | None = None) -> Reader:
    """Makes the reader of a data set.

    Args:
        data: Names it and its options.
        root: Where the recordings are now, if they moved.

    Raises:
        ValueError: It cannot be imported, or does not take these options.
    """
    found: Reader = instantiate(data.reader, "data.reader", root=root or Path(data.root), edition=data.edition)
    return found
