"""The recordings of a machine as a run uses them: found on disk, simulated where asked, decoded, bad ones left out."""

from functools import partial
from pathlib import Path

from asd.data.bad_clips import OnBadClip, Usable, open_usable
from asd.data.decoding import Decoding
from asd.data.readers.contract import Reading
from asd.data.waveforms import WaveformBank


def open_recordings(
    reading: Reading, decoding: Decoding, *, cache: Path, on_bad_clip: OnBadClip, progress: bool
) -> Usable[WaveformBank]:
    """The clips that can be used, decoded, from the cache where they are there.

    Args:
        reading: All clips of a machine.
        decoding: How they become waveforms.
        cache: Folder for the decoded samples.
        on_bad_clip: error or skip.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: As of `open_usable`.
    """
    open_bank = partial(WaveformBank.open, cache=cache, decoding=decoding, progress=progress)
    return open_usable(reading, cache, open_bank, decoding, on_bad_clip=on_bad_clip)
