"""The exported network in ONNX Runtime."""

from collections import OrderedDict
from threading import Lock

import numpy as np
import onnxruntime
from numpy.typing import NDArray

ERRORS_ONLY = 3
REMEMBERED = 64  # outputs; a stream's windows share most of their pieces


class Network:
    """A network that maps one batch to one output.

    Args:
        graph: The ONNX graph's bytes.
        threads: Threads of one operator.

    Raises:
        ValueError: ONNX Runtime does not take the graph.
    """

    def __init__(self, graph: bytes, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        # Threads that spin while they wait take the cores of other programs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes, which differ between its versions
            raise ValueError(f"the network cannot be loaded: {error}") from None
        self.input = self.session.get_inputs()[0].name
        self.remembered: OrderedDict[bytes, NDArray[np.floating]] = OrderedDict()
        self.lock = Lock()  # of what is remembered, for several threads

    def __call__(self, batch: NDArray[np.floating]) -> NDArray[np.floating]:
        """The output for one batch."""
        return self.session.run(None, {self.input: batch})[0]

    def remember(self, batch: NDArray[np.floating]) -> NDArray[np.floating]:
        """As calling it; a batch of the same bytes as one of the last few is not computed again."""
        key = batch.tobytes()
        with self.lock:
            found = self.remembered.pop(key, None)
        output = self(batch) if found is None else found
        with self.lock:
            self.remembered[key] = output
            if len(self.remembered) > REMEMBERED:
                self.remembered.popitem(last=False)
        return output
