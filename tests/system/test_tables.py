"""Tables for a terminal, and text from files made safe to print."""

import pytest

from asd.system.printable import one_line, printable, some_of
from asd.system.tables import text_table


def test_columns_are_aligned_and_lines_have_no_trailing_blanks() -> None:
    rows = [("run", "loss", "where"), ("fan", 0.5, "outputs/a"), ("gearbox", 12.25, "")]
    assert text_table(rows, "<>").split("\n") == [
        "run       loss  where",
        "fan        0.5  outputs/a",
        "gearbox  12.25",
    ]


def test_a_cell_cannot_end_its_line_or_move_the_cursor() -> None:
    assert text_table([("a", "b"), ("x\ny", "\x1b[31mred")]) == "a    b\nx y  \\x1b[31mred"


@pytest.mark.parametrize(
    "character",
    [
        "\x1b",
        "\x07",
        "\r",
        "\x00",
        "\x7f",
        "\x9b",
        "\u202e",
        "\u2066",
        "\u200f",
        "\u061c",
        "\u2028",
        "\ufeff",
        "\udcff",
    ],
)
def test_no_character_that_steers_a_terminal_is_printed(character: str) -> None:
    shown = printable(f"fan{character}gnp.wav")
    assert character not in shown
    assert shown.isprintable()
    assert shown.startswith("fan\\")


def test_ordinary_text_of_any_language_stays() -> None:
    text = "Lüfter – 风扇 ☀ \U0001f600 می‌خواهم\n\tπ"
    assert printable(text) == text
    assert one_line(" a \n\t b ") == "a b"


def test_many_names_are_counted() -> None:
    names = [f"{n}.wav" for n in range(200)]
    assert some_of(names, most=2, rest="skipped.csv") == "0.wav, 1.wav and 198 more (all in skipped.csv)"
    assert some_of(names[:2]) == "0.wav, 1.wav"
