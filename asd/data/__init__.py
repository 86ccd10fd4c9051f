"""Where sound comes from: clips on disk, the waveform bank, the sampling of training steps."""
