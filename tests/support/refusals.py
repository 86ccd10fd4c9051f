"""What every refusal has to say: where, what is wrong, and what to do about it."""

import re

REMEDY = re.compile(
    r"\b(give|make|move|rename|remove|convert|correct|leave|save|add|copy it)\b"
    r"|\b(say which|say what|name yours?|name your words|name each)\b"
    r"|\b(clips lie in|belongs into|looks like)\b|\bdata\.[a-z_.]+=",
    re.IGNORECASE,
)


def check_refusal(message: str, *said: str) -> None:
    """A message holds each of these words (the file or the column, the reason), and says what to do."""
    for words in said:
        assert words in message, f"{words!r} is not in: {message}"
    assert REMEDY.search(message), f"says nothing of what to do: {message}"
