"""Text from files made safe to print: no control character or reordering mark reaches a terminal or a page."""

import re
import unicodedata

KEPT = "\n\t\u200c\u200d"  # line ends, and the joiners that some scripts are written with


def printable(text: object) -> str:
    """The text with control, format and reordering characters as escapes such as `\\x1b`; line ends and tabs stay."""
    return "".join(map(_escaped, str(text)))


def one_line(text: object) -> str:
    """The same on one line, each run of white space a single space: for a cell or a title."""
    return printable(re.sub(r"\s+", " ", str(text)).strip())


def some_of(names: list[str], *, most: int = 5, rest: str = "") -> str:
    """The first of many names and the number of the others: `a.wav, b.wav and 198 more (all in skipped.csv)`.

    Args:
        names: All of them.
        most: How many are named.
        rest: Where the others can be read; empty if nowhere.
    """
    shown = ", ".join(names[:most])
    if len(names) <= most:
        return shown
    where = f" (all in {rest})" if rest else ""
    return f"{shown} and {len(names) - most:,} more{where}"


def _escaped(character: str) -> str:
    # C: control, format (bidirectional overrides), surrogates, private use, unassigned; Zl, Zp: line separators
    category = unicodedata.category(character)
    if (category[0] != "C" and category not in ("Zl", "Zp")) or character in KEPT or category == "Co":
        return character
    return character.encode("unicode_escape").decode("ascii")
