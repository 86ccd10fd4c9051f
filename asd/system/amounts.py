"""Numbers of things, bytes, rates and times in words."""

BINARY = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


def quantity(n: int, unit: str) -> str:
    """A number of things, or of bytes."""
    if unit != "B":
        return f"{n:,} {unit}" if n == 1 else f"{n:,} {unit}s"
    return next((f"{n / size:.1f} {name}" for name, size in BINARY if n >= size), f"{n} B")


def n_bytes(n: int) -> str:
    """A number of bytes."""
    return quantity(n, "B")


def rate(n: int, seconds: float, unit: str) -> str:
    """How many a second; nothing where too little is known."""
    if n <= 0 or seconds <= 0:
        return ""
    speed = n / seconds
    if unit == "B":
        return f"{quantity(int(speed), 'B')}/s"
    return f"{speed:,.0f} {unit}s/s" if speed >= 100 else f"{speed:.3g} {unit}s/s"


def duration(seconds: float) -> str:
    """A time in words: 0.4 s, 12 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
