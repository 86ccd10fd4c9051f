"""Tables of plain text, for a terminal."""

from collections.abc import Sequence

from asd.system.printable import one_line

GAP = "  "


def text_table(rows: Sequence[Sequence[object]], align: str = "") -> str:
    """Rows as lines with aligned columns; cells are made printable.

    Args:
        rows: The head first, then the body; as many cells each.
        align: One character a column, `<` left or `>` right; columns beyond its end are left-aligned.

    Returns:
        The lines without trailing blanks, joined by line ends; no line end after the last.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = align.ljust(len(widths), "<")
    lines = (
        GAP.join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)) for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)
