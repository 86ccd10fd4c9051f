"""An exported detector for the tests of the runtime."""

from pathlib import Path

import pytest

from asd.inference.export import build_model
from asd.inference.export_run import exported_detector
from asd.runs.folder import RunFolder
from asd_runtime.model_file import Model, read_model, write_model
from tests.support.originals import Originals


@pytest.fixture
def model(evaluated: RunFolder, originals: Originals) -> Model:
    """A tiny exported model that listens to windows of 1.5 s; its file is fan.asd."""

    def export() -> None:
        write_model(Path("fan.asd"), build_model(exported_detector(evaluated.path, clip_seconds=1.5)))

    originals.lay_out("exported", export)
    return read_model(Path("fan.asd"))
