"""Recordings as numbers: every sample format without loss, one channel of several, other rates."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd.data.decoding import Decoding, cut, read_clip, read_recording

RATE = 16_000


def noise(n: int = 8000, level_db: float = -20, seed: int = 0) -> np.ndarray:
    """Noise of a peak in dB of full scale, float64."""
    values = np.random.default_rng(seed).standard_normal(n)
    return np.asarray(values / np.abs(values).max() * 10 ** (level_db / 20))


def read(path: Path, **how: object) -> np.ndarray:
    return read_clip(path, Decoding(RATE, 1, **how))  # type: ignore[arg-type]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8", "PCM_S8", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_recordings_of_up_to_16_bit_stay_int16_bit_by_bit(tmp_path: Path, subtype: str) -> None:
    form = "AIFF" if subtype == "PCM_S8" else "WAV"
    soundfile.write(tmp_path / "a.wav", noise(), RATE, subtype=subtype, format=form)
    found = read(tmp_path / "a.wav")
    assert found.dtype == np.int16
    with soundfile.SoundFile(tmp_path / "a.wav") as sound:
        assert np.array_equal(found, sound.read(sound.frames, dtype="int16"))


@pytest.mark.parametrize("level_db", [0, -20, -60, -80, -100, -120])
@pytest.mark.parametrize(
    ("form", "subtype"),
    [("WAV", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", "PCM_24"), ("AIFF", "PCM_24"), ("CAF", "FLOAT"), ("W64", "PCM_24")],
)
def test_no_bit_of_wider_recordings_is_lost(tmp_path: Path, form: str, subtype: str, level_db: float) -> None:
    soundfile.write(tmp_path / "a.wav", noise(level_db=level_db), RATE, subtype=subtype, format=form)
    found = read(tmp_path / "a.wav")
    assert found.dtype == np.float32
    assert np.array_equal(found / 32768, soundfile.read(tmp_path / "a.wav", dtype="float64")[0])


@pytest.mark.parametrize(
    ("subtype", "level_db"), [("PCM_32", -60), ("PCM_32", -120), ("DOUBLE", -60), ("DOUBLE", -200)]
)
def test_wider_still_is_rounded_to_24_significant_bits(tmp_path: Path, subtype: str, level_db: float) -> None:
    soundfile.write(tmp_path / "a.wav", noise(level_db=level_db), RATE, subtype=subtype)
    found, expected = read(tmp_path / "a.wav") / 32768, soundfile.read(tmp_path / "a.wav", dtype="float64")[0]
    assert np.all(np.abs(found - expected) <= 2.0**-24 * np.abs(expected))


@pytest.mark.parametrize("form", ["OGG", "MP3"])
def test_lossy_recordings_are_read_as_they_are_decoded(tmp_path: Path, form: str) -> None:
    soundfile.write(tmp_path / "a.wav", noise(32_000), RATE, format=form)
    found, expected = read(tmp_path / "a.wav"), soundfile.read(tmp_path / "a.wav")[0]
    assert np.abs(found / 32768 - expected).max() < 1e-6


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "PCM_24", "PCM_32"])
def test_whole_steps_of_16_bit_are_int16_in_any_file(tmp_path: Path, subtype: str) -> None:
    steps = np.random.default_rng(0).integers(-32768, 32768, 1000).astype(np.int16)
    whole = steps.astype(np.int32) << 16 if subtype.startswith("PCM") else steps / 32768
    soundfile.write(tmp_path / "a.wav", whole, RATE, subtype=subtype)
    found = read(tmp_path / "a.wav")
    assert found.dtype == np.int16
    assert np.array_equal(found, steps)


@pytest.mark.parametrize("peak", [1.0, 1.5, 40.0, 2e9])
def test_floating_point_beyond_full_scale_is_kept(tmp_path: Path, peak: float) -> None:
    sound = (noise() * 10 * peak).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    assert np.array_equal(read(tmp_path / "a.wav"), sound * np.float32(32768))


def write_sound(path: Path, values: np.ndarray, subtype: str = "DOUBLE") -> Path:
    soundfile.write(path / "a.wav", values, RATE, subtype=subtype)
    return path / "a.wav"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(1000), r"silent; all of its 1000 samples are 0$"),
        (np.full(1000, 0.5), r"silent; all of its 1000 samples are 16384$"),
        (
            np.full(1000, 0.3),
            r"silent; all of its 1000 samples are 9830\.4/32768 of full scale, as far as float32 tells",
        ),
        (noise(level_db=-280), "less than 1e-12 is nothing but rounding"),
        (np.full(1000, 1e-60), "reach 1e-60 of full scale"),
        (noise() * 1e20, r"times full scale: more than 1e\+12 is damage"),
        (noise() * 1e307, "full scale"),
        (np.r_[noise(), np.nan], "non-finite values"),
        (np.r_[noise(), -np.inf], "non-finite values"),
    ],
)
def test_what_is_said_of_recordings_without_sound_is_true(tmp_path: Path, values: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(write_sound(tmp_path, values))


def test_one_value_that_differs_is_sound(tmp_path: Path) -> None:
    values = np.zeros(1000)
    values[-1] = 1e-11
    assert np.count_nonzero(read(write_sound(tmp_path, values))) == 1


def channels(tmp_path: Path, n: int, subtype: str = "PCM_16") -> tuple[Path, np.ndarray]:
    steps = np.random.default_rng(0).integers(-9000, 9000, (3000, n)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", steps, RATE, subtype=subtype)
    return tmp_path / "a.wav", steps


@pytest.mark.parametrize("n", [2, 8])
def test_one_of_several_channels(tmp_path: Path, n: int) -> None:
    path, steps = channels(tmp_path, n)
    for channel in (0, n - 1):
        found = read(path, channel=channel)
        assert found.dtype == np.int16
        assert np.array_equal(found, steps[:, channel])
    mean = read(path, channel="mean")
    assert mean.dtype == np.float32
    assert np.array_equal(mean, [sum(map(int, frame)) / n for frame in steps])


def test_the_mean_of_one_channel_is_that_channel(tmp_path: Path) -> None:
    path, steps = channels(tmp_path, 1)
    for channel in ("mean", 0, "error"):
        assert np.array_equal(read(path, channel=channel), steps[:, 0])


def test_a_long_recording_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, steps = channels(tmp_path, 2)
    for frames in (1, 999, 1000, 1500, 3000):
        monkeypatch.setattr("asd.data.decoding.FRAMES_AT_ONCE", frames)
        assert np.array_equal(read(path, channel=1), steps[:, 1])


@pytest.mark.parametrize(
    ("n", "channel", "message"),
    [
        (2, "error", "2 channels, and one is used: data.channel=mean takes their mean, data.channel=0 the first"),
        (8, "error", "8 channels"),
        (2, 2, "has no channel 2: data.channel must be from 0 to 1"),
        (2, -1, "has no channel -1: data.channel must be from 0 to 1"),
        (1, 1, "has no channel 1: data.channel must be from 0 to 0"),
    ],
)
def test_channels_that_are_not_chosen_or_not_there(tmp_path: Path, n: int, channel: object, message: str) -> None:
    path, _ = channels(tmp_path, n)
    with pytest.raises(ValueError, match=message):
        read(path, channel=channel)


def test_the_left_out_channel_may_be_broken(tmp_path: Path) -> None:
    both = np.stack([noise(), np.full(8000, np.inf)], axis=1)
    path = write_sound(tmp_path, both, "FLOAT")
    assert len(read(path, channel=0)) == 8000
    with pytest.raises(ValueError, match="non-finite values"):
        read(path, channel="mean")


@pytest.mark.parametrize(
    ("rate", "lost"), [(44_100, "nothing above 8 kHz is left"), (8_000, "it has nothing above 4 kHz, unlike")]
)
def test_another_rate_is_refused_with_the_key_to_type(tmp_path: Path, rate: int, lost: str) -> None:
    soundfile.write(tmp_path / "a.wav", noise(), rate)
    with pytest.raises(
        ValueError, match=f"{rate} Hz, expected 16000 Hz: data.sample_rate=resample converts it; {lost}"
    ):
        read(tmp_path / "a.wav")


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_resampling_keeps_tones_and_rejects_what_the_rate_cannot_hold(tmp_path: Path, rate: int, subtype: str) -> None:
    seconds, passed = 1.0, 0.9 * min(rate, RATE) / 2
    time = np.arange(int(seconds * rate)) / rate
    sound = 0.4 * np.sin(2 * np.pi * passed * time)
    if rate > 2 * RATE:
        sound = sound + 0.4 * np.sin(2 * np.pi * (0.55 * RATE) * time)  # would fold back to 7.2 kHz
    soundfile.write(tmp_path / "a.wav", sound, rate, subtype=subtype)
    found = read(tmp_path / "a.wav", resample=True) / 32768
    assert len(found) == RATE * seconds
    expected = 0.4 * np.sin(2 * np.pi * passed * np.arange(len(found)) / RATE)
    worst = np.abs(found - expected)[1000:-1000].max()
    rounding, droop = (1.1 / 32768 if subtype == "PCM_16" else 1e-7), 0.4 * (1 - 10 ** (-0.01 / 20))
    assert worst < rounding + droop  # 0.01 dB


def test_resampling_is_for_other_rates_alone(tmp_path: Path) -> None:
    path, steps = channels(tmp_path, 1)
    found = read(path, resample=True)
    assert found.dtype == np.int16
    assert np.array_equal(found, steps[:, 0])


def test_too_short_is_counted_after_resampling(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(3000), 48_000)
    assert len(read_clip(tmp_path / "a.wav", Decoding(RATE, 1000, resample=True))) == 1000
    with pytest.raises(ValueError, match="too short, 1000 samples; one piece needs 1001"):
        read_clip(tmp_path / "a.wav", Decoding(RATE, 1001, resample=True))


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (7, 6), (0, 3001), (3000, -1), (0, -2), (0, 0)])
def test_parts_that_a_recording_does_not_have(tmp_path: Path, start: int, stop: int) -> None:
    path, _ = channels(tmp_path, 1)
    with pytest.raises(ValueError, match=f"asks for samples {start} to .* of a file of 3000"):
        cut(read_recording(path, Decoding(RATE, 1)), start, stop, RATE)


def test_real_recordings_of_eight_channels(shared: Path, tmp_path: Path) -> None:
    paths = sorted((shared / "mimii_fan").rglob("*.wav"))[:8]
    mono = np.stack([soundfile.read(path, dtype="int16")[0] for path in paths], axis=1)
    soundfile.write(tmp_path / "a.wav", mono, RATE, subtype="PCM_16")
    assert np.array_equal(read(tmp_path / "a.wav", channel=3), mono[:, 3])
    assert np.abs(read(tmp_path / "a.wav", channel="mean") - mono.mean(axis=1)).max() < 1e-3
    soundfile.write(tmp_path / "a.flac", np.repeat(mono[:, :1], 2, axis=1), RATE)
    assert np.array_equal(read(tmp_path / "a.flac", channel="mean"), mono[:, 0])  # int16 again
