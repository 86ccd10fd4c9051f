"""From waveforms to the pieces that a network sees: pure tensor maths on any device."""
