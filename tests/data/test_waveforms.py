"""The waveform bank: decoding, its cache, and windows against a plain loop."""

import os
import pickle
import shutil
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from asd.data import bank_file, decoding
from asd.data.bad_clips import BadClipsError, clips_key, open_usable
from asd.data.clips import ClipTable
from asd.data.decoding import Decoding, read_clip
from asd.data.readers.contract import Reading
from asd.data.waveforms import WaveformBank
from tests.support.factory import make_machine, scan_machine

RATE = 16000
FOOTER = bank_file.FOOTER.itemsize


def samples(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32768, 32768, n).astype(np.int16)


def clip_path(root: Path, index: int) -> Path:
    path = root / "dev_data" / "fan" / "train" / f"section_00_source_train_normal_{index:04d}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def make_set(root: Path, lengths: tuple[int, ...] = (1000, 1500, 800)) -> list[np.ndarray]:
    clips = [samples(length, seed) for seed, length in enumerate(lengths)]
    for index, clip in enumerate(clips):
        soundfile.write(clip_path(root, index), clip, RATE, subtype="PCM_16")
    return clips


def open_bank(root: Path, *, min_samples: int = 100, progress: bool = False, threads: int | None = 2) -> WaveformBank:
    return WaveformBank.open(
        scan_machine(root, "fan"),
        root / "cache",
        Decoding(RATE, min_samples),
        threads=threads,
        progress=progress,
    )


def all_clips(bank: WaveformBank) -> list[np.ndarray]:
    return [
        bank.samples[start : start + length].numpy() for start, length in zip(bank.offsets, bank.lengths, strict=True)
    ]


def holds(bank: WaveformBank, clips: list[np.ndarray]) -> bool:
    return all(np.array_equal(found, clip) for found, clip in zip(all_clips(bank), clips, strict=True))


def banks(cache: Path) -> list[Path]:
    """What lies in a cache, but for the empty files that say who makes a bank."""
    return [path for path in cache.iterdir() if path.suffix != ".making"]


def no_decoding(*_: Any, **__: Any) -> None:
    raise AssertionError("decoded again")


def test_clips_are_decoded_once_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = make_set(tmp_path, tuple(range(500, 800)))  # more than are decoded at a time
    bank = open_bank(tmp_path)
    assert bank.samples.dtype is torch.int16
    assert len(bank) == 300
    assert bank.lengths.tolist() == list(range(500, 800))
    assert bank.offsets.tolist() == [sum(range(500, 500 + row)) for row in range(300)]
    assert holds(bank, clips)
    monkeypatch.setattr(decoding.soundfile, "SoundFile", no_decoding)
    assert holds(open_bank(tmp_path, threads=None), clips)
    assert len(banks(tmp_path / "cache")) == 1


def test_real_clips_are_decoded_as_soundfile_does(shared: Path, tmp_path: Path) -> None:
    table = scan_machine(shared / "mimii_fan", "fan")
    table = table.select(table.section == 1)
    bank = WaveformBank.open(table, tmp_path, Decoding(RATE, 17918), progress=False)
    assert set(bank.lengths.tolist()) == {160000}
    for row, clip in enumerate(all_clips(bank)):
        assert np.array_equal(clip, soundfile.read(table.absolute(row), dtype="int16")[0])


def test_changed_clips_are_decoded_again(tmp_path: Path) -> None:
    make_set(tmp_path)
    first = open_bank(tmp_path)
    changed = samples(1000, 99)
    soundfile.write(clip_path(tmp_path, 0), changed, RATE, subtype="PCM_16")
    second = open_bank(tmp_path)
    assert first.file != second.file
    assert np.array_equal(all_clips(second)[0], changed)


def test_progress_is_shown_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_set(tmp_path)
    open_bank(tmp_path, progress=True)
    captured = capsys.readouterr()
    assert "decoding fan" in captured.err
    assert captured.out == ""
    open_bank(tmp_path, progress=True)
    assert capsys.readouterr().err == ""


def damaged_in_the_middle(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[1234] ^= 1
    file.write_bytes(content)


def damaged_lengths(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)


def other_lengths_of_the_same_sum(file: Path) -> None:
    content = bytearray(file.read_bytes())
    clips = np.frombuffer(content, bank_file.CLIP, 3, len(content) - FOOTER - 3 * bank_file.CLIP.itemsize)
    clips["length"][:2] = clips["length"][1::-1].copy()
    vouch_for_rows(content)
    file.write_bytes(content)


def vouch_for_rows(content: bytearray) -> None:
    """A forged checksum of what is said of the three clips."""
    rows = content[-FOOTER - 3 * bank_file.CLIP.itemsize : -FOOTER]
    np.frombuffer(content, bank_file.FOOTER, 1, len(content) - FOOTER)["checksum"][0] = zlib.crc32(rows)


def impossible_lengths(file: Path) -> None:
    content = bytearray(file.read_bytes())
    clips = np.frombuffer(content, bank_file.CLIP, 3, len(content) - FOOTER - 3 * bank_file.CLIP.itemsize)
    clips["length"] += np.array([2**62, 2**62, -(2**63)])  # whose sum is 0 in 64 bits
    vouch_for_rows(content)
    file.write_bytes(content)


def another_itemsize(file: Path) -> None:
    content = bytearray(file.read_bytes())
    np.frombuffer(content, bank_file.FOOTER, 1, len(content) - FOOTER)["itemsize"][0] = 8
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        damaged_in_the_middle,
        damaged_lengths,
        other_lengths_of_the_same_sum,
        impossible_lengths,
        another_itemsize,
        lambda file: file.write_bytes(file.read_bytes()[:3000]),
        lambda file: file.write_bytes(file.read_bytes()[:-8]),
        lambda file: file.write_bytes(file.read_bytes()[2:]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"nonsense" * 500),
        lambda file: file.unlink(),
    ],
)
def test_a_damaged_cache_is_made_again(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    clips = make_set(tmp_path)
    file = open_bank(tmp_path).file
    assert file is not None
    whole = file.read_bytes()
    damage(file)
    assert holds(open_bank(tmp_path), clips)
    assert file.read_bytes() == whole


def test_a_disk_that_loses_what_is_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_set(tmp_path)
    monkeypatch.setattr(bank_file.BankWriter, "finish", lambda self: self.target.write(b"x"))
    with pytest.raises(OSError, match=r"bank: does not hold what was just written"):
        open_bank(tmp_path)


def test_an_interrupted_decoding_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_set(tmp_path)
    monkeypatch.setattr(bank_file, "read_recording", no_decoding)
    with pytest.raises(AssertionError, match="decoded again"):
        open_bank(tmp_path)
    assert banks(tmp_path / "cache") == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_may_decode_the_same_bank_at_once(tmp_path: Path) -> None:
    clips = make_set(tmp_path, tuple(range(2000, 2300)))
    with ProcessPoolExecutor(4, get_context("fork")) as pool:
        opened = list(pool.map(open_bank, [tmp_path] * 8))
    assert all(holds(bank, clips) for bank in opened)
    assert len(banks(tmp_path / "cache")) == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=[pytest.mark.slow, pytest.mark.ci])])
def test_workers_read_the_same_file(tmp_path: Path, method: str) -> None:
    make_set(tmp_path, (100_000, 50_000))
    bank = open_bank(tmp_path)
    assert len(pickle.dumps(bank)) < 5000
    clip, start = torch.tensor([0, 1]), torch.tensor([-5, 49_990])
    with ProcessPoolExecutor(1, get_context(method)) as pool:
        found = pool.submit(window_lists, bank, clip.tolist(), start.tolist()).result()
    assert found == bank.raw_windows(clip, start, 100, pad="reflect").tolist()


def window_lists(bank: WaveformBank, clip: list[int], start: list[int]) -> list[list[int]]:
    return bank.raw_windows(torch.tensor(clip), torch.tensor(start), 100, pad="reflect").tolist()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_an_open_bank_takes_no_memory_of_its_own(tmp_path: Path) -> None:
    make_set(tmp_path, (20_000_000,))
    open_bank(tmp_path)
    before = anonymous_bytes()
    bank = open_bank(tmp_path)
    assert int(bank.samples.max()) == 32767  # touches every page
    assert anonymous_bytes() - before < 10e6  # of 40 MB


def anonymous_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def test_a_bank_in_memory_travels_whole() -> None:
    clips = [samples(50), samples(60, 1)]
    bank = WaveformBank.from_arrays(clips)
    assert bank.file is None
    assert holds(pickle.loads(pickle.dumps(bank)), clips)
    assert bank.to("cpu") is bank
    with pytest.raises(TypeError):
        WaveformBank.from_arrays([np.zeros(10)])


def test_a_bank_on_another_device(tmp_path: Path) -> None:
    make_set(tmp_path)
    moved = open_bank(tmp_path).to("meta")
    assert moved.file is None
    assert moved.samples.device.type == "meta"
    found = moved.raw_windows(torch.tensor([0, 1]), torch.tensor([-5, 10]), 100, pad="reflect")
    assert (found.device.type, found.shape) == ("meta", (2, 100))


def write_truncated(path: Path) -> None:
    soundfile.write(path, samples(1000), RATE)
    path.write_bytes(path.read_bytes()[:1500])


def write_odd_chunks_truncated(path: Path) -> None:
    soundfile.write(path, samples(1000), RATE)
    content = path.read_bytes()
    path.write_bytes(content[:12] + b"note\x03\x00\x00\x00abc\x00" + content[12:-2])


def write_header_only(path: Path) -> None:
    soundfile.write(path, samples(0), RATE)


def write_without_data_chunk(path: Path) -> None:
    soundfile.write(path, samples(1000), RATE)
    path.write_bytes(path.read_bytes()[:36])


def write_floats(path: Path, *values: float) -> None:
    sound = np.zeros(1000)
    sound[500 : 500 + len(values)] = values
    soundfile.write(path, sound, RATE, subtype="FLOAT")


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated": (write_truncated, "truncated; its header promises more sound"),
    "truncated after an odd chunk": (write_odd_chunks_truncated, "truncated"),
    "header only": (write_header_only, r"holds no sound \(0 samples\)"),
    "no data": (write_without_data_chunk, "cannot be read as sound|holds no sound"),
    "stereo": (lambda path: soundfile.write(path, samples(2000).reshape(-1, 2), RATE), "2 channels, and one is used"),
    "wrong rate": (lambda path: soundfile.write(path, samples(1000), 22050), "22050 Hz, expected 16000 Hz"),
    "not a number": (lambda path: write_floats(path, np.nan), "non-finite values"),
    "infinite": (lambda path: write_floats(path, -np.inf), "non-finite values"),
    "too loud": (lambda path: write_floats(path, 0.5, -1.5e12), r"reach 1\.5e\+12 times full scale"),
    "too short": (lambda path: soundfile.write(path, samples(99), RATE), "too short, 99 samples; one piece needs 100"),
    "silent": (lambda path: soundfile.write(path, np.zeros(1000, np.int16), RATE), "silent; all of its 1000 samples"),
    "constant": (lambda path: soundfile.write(path, np.full(1000, -7, np.int16), RATE), "samples are -7"),
    "text": (lambda path: path.write_text("this is no sound\n" * 100), "cannot be read as sound"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read as sound"),
}


@pytest.mark.parametrize("kind", BAD)
def test_unusable_recordings_are_named(tmp_path: Path, kind: str) -> None:
    make_set(tmp_path)
    write, message = BAD[kind]
    bad = clip_path(tmp_path, 1)
    write(bad)
    with pytest.raises(ValueError, match=message):
        read_clip(bad, Decoding(RATE, 100))
    with pytest.raises(ValueError, match="1 clips cannot be used") as caught:
        open_bank(tmp_path)
    assert str(bad) in str(caught.value)
    assert banks(tmp_path / "cache") == []


def test_soundfile_reads_a_truncated_file_without_a_word(tmp_path: Path) -> None:
    """The trap: without the look at the header this clip would be used."""
    path = clip_path(tmp_path, 0)
    write_truncated(path)
    assert 100 < len(soundfile.read(path)[0]) < 1000


def test_all_unusable_recordings_are_named_at_once(tmp_path: Path) -> None:
    for index, (write, _) in enumerate(BAD.values()):
        write(clip_path(tmp_path, index))
    soundfile.write(clip_path(tmp_path, 50), samples(1000), RATE)
    with pytest.raises(ValueError, match=f"{len(BAD)} clips cannot be used") as caught:
        open_bank(tmp_path)
    assert all(str(clip_path(tmp_path, index)) in str(caught.value) for index in range(len(BAD)))
    assert "_0050" not in str(caught.value)


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot be read as sound \(not a regular file\)"):
        read_clip(tmp_path, Decoding(RATE, 1))


def test_missing_recordings_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.wav: cannot be read as sound"):
        read_clip(tmp_path / "gone.wav", Decoding(RATE, 1))


def test_cached_clips_may_be_too_short_for_longer_pieces(tmp_path: Path) -> None:
    make_set(tmp_path)
    open_bank(tmp_path, min_samples=800)
    with pytest.raises(ValueError, match=r"_0002\.wav: too short, 800 samples; one piece needs 801"):
        open_bank(tmp_path, min_samples=801)


def test_a_clip_may_be_silent_for_a_while(tmp_path: Path) -> None:
    sound = np.zeros(500, np.int16)
    sound[250] = 1
    soundfile.write(clip_path(tmp_path, 0), sound, RATE)
    assert holds(open_bank(tmp_path), [sound])


def test_paths_with_spaces_and_other_scripts(tmp_path: Path) -> None:
    root = tmp_path / "Prüfstand 3 — ファン"
    clips = make_set(root)
    assert holds(open_bank(root), clips)


def plain_window(clip: np.ndarray, first: int, length: int, pad: str) -> list[int]:
    """A window sample by sample."""
    result = []
    for at in range(first, first + length):
        if pad == "zeros" and not 0 <= at < len(clip):
            result.append(0)
            continue
        while not 0 <= at < len(clip):
            at = -at if at < 0 else 2 * (len(clip) - 1) - at
        result.append(int(clip[at]))
    return result


@pytest.mark.parametrize("pad", ["reflect", "zeros"])
@pytest.mark.parametrize("length", [1, 7, 25, 90])
def test_windows_against_a_plain_loop(pad: str, length: int) -> None:
    clips = [samples(n, n) for n in (30, 2, 41, 25)]
    bank = WaveformBank.from_arrays(clips)
    rows = [(clip, first) for clip in range(4) for first in range(-35, 45)]
    clip, first = (torch.tensor(column) for column in zip(*rows, strict=True))
    found = bank.raw_windows(clip, first, length, pad=pad)
    assert found.dtype is torch.int16
    for row, (which, start) in enumerate(rows):
        assert found[row].tolist() == plain_window(clips[which], start, length, pad), (which, start)


@pytest.mark.parametrize("pad", ["reflect", "zeros"])
def test_a_mixed_pair_ends_with_the_shorter_clip(pad: str) -> None:
    clips = [samples(n, n) for n in (30, 20)]
    bank = WaveformBank.from_arrays(clips)
    found = bank.raw_windows(
        torch.tensor([0, 1, 0]), torch.tensor([5, 5, 5]), 18, pad=pad, clip_length=torch.tensor([20, 20, 30])
    )
    assert found[0].tolist() == plain_window(clips[0][:20], 5, 18, pad)
    assert found[1].tolist() == plain_window(clips[1], 5, 18, pad)
    assert found[2].tolist() == clips[0][5:23].tolist()


def test_a_clip_of_one_sample_is_reflected_into_itself() -> None:
    bank = WaveformBank.from_arrays([np.array([7], np.int16), np.array([9], np.int16)])
    assert bank.raw_windows(torch.tensor([0]), torch.tensor([-2]), 5, pad="reflect").tolist() == [[7] * 5]


def test_waveforms_lie_between_minus_one_and_one() -> None:
    bank = WaveformBank.from_arrays([np.array([-32768, 0, 16384, 32767], np.int16)])
    found = bank.windows(torch.tensor([0]), torch.tensor([0]), 4, pad="zeros")
    assert found.dtype is torch.float32
    assert found.tolist() == [[-1.0, 0.0, 0.5, 32767 / 32768]]


def test_windows_do_not_change_the_bank(tmp_path: Path) -> None:
    clips = make_set(tmp_path)
    bank = open_bank(tmp_path)
    for pad in ("reflect", "zeros"):
        bank.windows(torch.tensor([0, 1]), torch.tensor([-10, 10]), 100, pad=pad).zero_()
        bank.raw_windows(torch.tensor([2]), torch.tensor([0]), 800, pad=pad).zero_()
    assert holds(bank, clips)


def test_unknown_padding() -> None:
    with pytest.raises(ValueError, match="pad=edge: must be reflect or zeros"):
        WaveformBank.from_arrays([samples(10)]).windows(torch.tensor([0]), torch.tensor([0]), 5, pad="edge")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_windows_on_a_gpu() -> None:
    bank = WaveformBank.from_arrays([samples(3000), samples(2000, 1)])
    few = torch.tensor([0, 1, 1]), torch.tensor([-20, 1500, 10])
    many = torch.arange(96) % 2, torch.arange(96) * 20 - 40  # as a batch: other kernels gather those
    for clip, first in (few, many):
        for pad in ("reflect", "zeros"):
            expected = bank.windows(clip, first, 700, pad=pad)
            found = bank.to("cuda").windows(clip, first, 700, pad=pad)
            assert torch.equal(found.cpu(), expected)


def test_a_table_may_hold_some_of_the_clips(tmp_path: Path) -> None:
    clips = make_set(tmp_path)
    table: ClipTable = scan_machine(tmp_path, "fan").select(np.array([2, 0]))
    bank = WaveformBank.open(table, tmp_path / "cache", Decoding(RATE, 1), progress=False)
    assert holds(bank, [clips[2], clips[0]])


def test_two_that_need_a_bank_decode_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = make_set(tmp_path)
    made = []
    original = bank_file.decode_all
    monkeypatch.setattr(bank_file, "decode_all", lambda *arguments: made.append(1) or original(*arguments))
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: open_bank(tmp_path), range(4)))
    assert made == [1]
    assert all(holds(bank, clips) for bank in opened)


def test_what_a_killed_process_decoded_is_cleared_away(tmp_path: Path) -> None:
    make_set(tmp_path)
    open_bank(tmp_path)
    (bank,) = banks(tmp_path / "cache")
    leftover = bank.with_name(f".{bank.name}.4194303-4.tmp")
    leftover.write_bytes(b"half")
    other = bank.with_name(".other.bank.4194303-4.tmp")
    other.write_bytes(b"half")
    bank.unlink()
    open_bank(tmp_path)
    assert sorted(banks(tmp_path / "cache")) == sorted([bank, other])


def write_float_clip(root: Path, index: int, n: int = 700) -> np.ndarray:
    """A quiet recording of 32-bit floating point, in steps of 16 bit."""
    sound = (np.random.default_rng(index).standard_normal(n) * 1e-5).astype(np.float32)
    soundfile.write(clip_path(root, index), sound, RATE, subtype="FLOAT")
    return sound * np.float32(32768)


@pytest.mark.parametrize("n_before", [0, 1, 3])
def test_one_clip_that_needs_it_makes_all_of_a_bank_float32(tmp_path: Path, n_before: int) -> None:
    clips = make_set(tmp_path)
    wide = write_float_clip(tmp_path, 3)
    wider = write_float_clip(tmp_path, 4, 2000)
    table = scan_machine(tmp_path, "fan").select(np.array([*range(n_before), 3, *range(n_before, 3), 4]))
    bank = WaveformBank.open(table, tmp_path / "cache", Decoding(RATE, 1), progress=False)
    expected = [*clips[:n_before], wide, *clips[n_before:], wider]
    assert bank.samples.dtype is torch.float32
    assert holds(bank, expected)
    again = WaveformBank.open(table, tmp_path / "cache", Decoding(RATE, 1), progress=False)
    assert holds(pickle.loads(pickle.dumps(again)), expected)


@pytest.mark.parametrize("pad", ["reflect", "zeros"])
def test_windows_are_the_same_numbers_in_either_type(pad: str) -> None:
    clips = [samples(n, n) for n in (300, 200)]
    narrow = WaveformBank.from_arrays(clips)
    wide = WaveformBank.from_arrays([*clips, np.array([0.25], np.float32)])
    assert (narrow.samples.dtype, wide.samples.dtype) == (torch.int16, torch.float32)
    where = torch.tensor([0, 1, 0, 1]), torch.tensor([-20, 150, 10, 20])
    assert torch.equal(wide.raw_windows(*where, 90, pad=pad), narrow.raw_windows(*where, 90, pad=pad).float())
    assert torch.equal(wide.windows(*where, 90, pad=pad), narrow.windows(*where, 90, pad=pad))
    before = wide.samples.clone()
    wide.windows(*where, 90, pad=pad).zero_()
    assert torch.equal(wide.samples, before)


def parts_of(table: ClipTable, rows: list[int], start: list[int], stop: list[int]) -> ClipTable:
    """A table of parts of files."""
    return replace(table.select(np.array(rows)), start=np.array(start), stop=np.array(stop))


def test_clips_are_parts_of_a_long_recording_that_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = make_set(tmp_path, (5000, 300))
    opened = []
    original = bank_file.read_recording
    monkeypatch.setattr(bank_file, "read_recording", lambda path, how: opened.append(path.name) or original(path, how))
    table = parts_of(scan_machine(tmp_path, "fan"), [0, 0, 0, 1], [0, 1000, 4000, 0], [2000, 3000, -1, -1])
    bank = WaveformBank.open(table, tmp_path / "cache", Decoding(RATE, 100), progress=False)
    long, short = clips
    assert holds(bank, [long[:2000], long[1000:3000], long[4000:], short])
    assert bank.lengths.tolist() == [2000, 2000, 1000, 300]
    assert len(opened) == 2
    others = replace(table, start=table.start + 1)
    assert WaveformBank.open(others, tmp_path / "cache", Decoding(RATE, 100), progress=False).file != bank.file


def test_parts_of_a_resampled_recording_lie_where_they_were(tmp_path: Path) -> None:
    time = np.arange(3 * 48_000) / 48_000
    sound = (9000 * np.sin(2 * np.pi * 440 * time) * time).astype(np.int16)
    soundfile.write(clip_path(tmp_path, 0), sound, 48_000)
    table = parts_of(scan_machine(tmp_path, "fan"), [0, 0], [24_000, 96_001], [72_000, -1])
    bank = WaveformBank.open(table, tmp_path / "cache", Decoding(RATE, 100, resample=True), progress=False)
    assert bank.lengths.tolist() == [16_000, 16_000]
    for clip, first in zip(all_clips(bank), (8_000, 32_000), strict=True):
        at = np.arange(first, first + 16_000) / RATE
        inner = slice(None, -200)  # the end of the file rings
        assert np.abs(clip - 9000 * np.sin(2 * np.pi * 440 * at) * at)[inner].max() < 2


def test_unusable_parts_are_named_and_left_out_alone(tmp_path: Path) -> None:
    sound = samples(5000)
    sound[2000:4000] = 0
    soundfile.write(clip_path(tmp_path, 0), sound, RATE)
    soundfile.write(clip_path(tmp_path, 1), samples(3000, 1), RATE)
    write_truncated(clip_path(tmp_path, 2))
    table = parts_of(
        scan_machine(tmp_path, "fan"), [0, 0, 0, 0, 1, 1, 2, 2], [0, 2000, 4000, 4950, 0, 0, 0, 200],
        [2000, 4000, 6000, -1, 1000, -1, 200, 400],
    )  # fmt: skip
    open_parts = partial(WaveformBank.open, cache=tmp_path / "cache", decoding=Decoding(RATE, 100), progress=False)
    with pytest.raises(BadClipsError) as caught:
        open_parts(table)
    name = table.path[0]
    assert caught.value.why.keys() == {
        f"{name}[2000:4000]", f"{name}[4000:6000]", f"{name}[4950:-1]", str(table.path[6])
    }  # fmt: skip
    assert "silent; all of its 2000 samples are 0" in caught.value.why[f"{name}[2000:4000]"]
    assert "asks for samples 4000 to 6000 of a file of 5000" in caught.value.why[f"{name}[4000:6000]"]
    assert "too short, 50 samples" in caught.value.why[f"{name}[4950:-1]"]
    for _ in range(2):  # found, then read from the list that was kept
        usable = open_usable(Reading(table), tmp_path / "cache", open_parts, Decoding(RATE, 100), on_bad_clip="skip")
        assert usable.table.clip_names.tolist() == [f"{name}[0:2000]", f"{table.path[4]}[0:1000]", table.path[4]]
        assert usable.skipped == dict(sorted(caught.value.why.items()))


def test_resampled_clips_are_announced_whenever_they_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_set(tmp_path)
    soundfile.write(clip_path(tmp_path, 1), samples(4000), 44_100)
    soundfile.write(clip_path(tmp_path, 2), samples(4000), 8_000)
    for _ in range(2):
        bank = WaveformBank.open(
            scan_machine(tmp_path, "fan"), tmp_path / "cache", Decoding(RATE, 100, resample=True), progress=False
        )
        said = capsys.readouterr().out
        assert "1 of 3 clips are RESAMPLED from 44100 to 16000 Hz (soxr, VHQ): nothing above 8 kHz is left" in said
        assert "from 8000 to 16000 Hz (soxr, VHQ): it has nothing above 4 kHz" in said
    assert bank.lengths.tolist() == [1000, 1451, 8000]


def fingerprint(root: Path, cache: Path, rows: str = "all") -> str:
    table = scan_machine(root, "fan")
    bank = WaveformBank.open(table, cache, Decoding(RATE, 1), progress=False)
    return bank.fingerprint(table, None if rows == "all" else table.is_train)


def test_the_fingerprint_is_of_content(tmp_path: Path) -> None:
    root = make_machine(tmp_path / "data")
    first = fingerprint(root, tmp_path / "cache")
    assert first.startswith("content:")
    shutil.copytree(root, tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").rglob("*.wav"):
        os.utime(path, (1e9, 1e9))
    assert fingerprint(tmp_path / "elsewhere", tmp_path / "cache") == first
    train = fingerprint(root, tmp_path / "cache", "train")
    assert train != first
    test = next(root.rglob("*_test_anomaly_*.wav"))
    test.write_bytes(test.read_bytes()[:-4] + b"\1\2\3\4")
    assert fingerprint(root, tmp_path / "cache") != first
    assert fingerprint(root, tmp_path / "cache", "train") == train


def test_a_clip_replaced_by_another_of_the_same_size_and_time_is_noticed(tmp_path: Path) -> None:
    root = make_machine(tmp_path / "data")
    table, first = scan_machine(root, "fan"), fingerprint(root, tmp_path / "cache", "train")
    path = table.absolute(int(np.flatnonzero(table.is_train)[0]))
    before = path.stat()
    path.write_bytes(path.read_bytes()[:-4] + b"\1\2\3\4")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert scan_machine(root, "fan").fingerprint() == table.fingerprint()
    assert fingerprint(root, tmp_path / "cache", "train") != first


def test_what_a_table_says_of_clips_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    make_set(tmp_path)
    table = scan_machine(tmp_path, "fan")
    bank = WaveformBank.open(table, tmp_path / "cache", Decoding(RATE, 1), progress=False)
    whole = bank.fingerprint(table)
    assert bank.fingerprint(replace(table, section=table.section + 1)) != whole
    turned = table.select(np.array([2, 0, 1]))
    other = WaveformBank.open(turned, tmp_path / "cache", Decoding(RATE, 1), progress=False)
    assert other.fingerprint(turned) == whole
    assert bank.to("meta").fingerprint(table) == whole
    parts = replace(table, stop=np.array([900, 900, 700]))
    cut = WaveformBank.open(parts, tmp_path / "cache", Decoding(RATE, 1), progress=False)
    assert cut.fingerprint(parts) != whole


@pytest.mark.parametrize("other", [Decoding(RATE, 1, "mean"), Decoding(RATE, 1, 0), Decoding(RATE, 1, resample=True)])
def test_another_decoding_is_another_bank(tmp_path: Path, other: Decoding) -> None:
    make_set(tmp_path)
    bank = WaveformBank.open(scan_machine(tmp_path, "fan"), tmp_path / "cache", other, progress=False)
    assert bank.file != open_bank(tmp_path).file


@pytest.mark.slow
def test_sixty_thousand_decoded_clips_are_there_within_two_seconds(tmp_path: Path) -> None:
    """Seconds of processor time from the table to the mapped samples; other processes do not count."""
    n_clips, how = 60_000, Decoding(RATE, 100)
    facts: dict[str, Any] = {"section": np.zeros(n_clips, np.int16), "domain": np.full(n_clips, "source")}
    table = ClipTable(
        machine="fan",
        root=tmp_path,
        path=np.array([f"dev_data/fan/train/section_00_source_train_normal_{n:05d}.wav" for n in range(n_clips)]),
        split=np.full(n_clips, "train"),
        label=np.full(n_clips, "normal"),
        attributes=np.full(n_clips, ""),
        size=np.ones(n_clips, np.int64),
        mtime_ns=np.ones(n_clips, np.int64),
        **facts,
    )
    file = tmp_path / f"fan-{clips_key(table, *how.identity)}.bank"
    with open(file, "wb+") as target:
        bank, clip = bank_file.BankWriter(target), bank_file.DecodedClip(samples(800), RATE, bytes(32))
        for _ in range(n_clips):
            bank.add(clip)
        bank.finish()
    begin = time.process_time()
    found = WaveformBank.open(table, tmp_path, how, progress=False)
    seconds = time.process_time() - begin
    assert len(found) == n_clips
    assert seconds < 2, f"{seconds:.2f} s"
