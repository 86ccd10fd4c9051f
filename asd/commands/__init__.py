"""The commands of `asd`, one file each: its options, and the thin function that carries it out."""
