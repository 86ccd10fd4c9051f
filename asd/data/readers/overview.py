"""What a reader understood, as text: clips by section, domain, split and label, and the files left out."""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from asd.data.clips import NO_DOMAIN, OWN, ClipTable
from asd.data.readers.contract import Reading
from asd.data.sound_files import first_few

LABELS = ("normal", "anomaly", "unknown")
FEW = 5  # of each kind


def describe_table(reading: Reading) -> str:
    """What was understood of one machine's recordings, several lines."""
    table = reading.table
    n_files = len(np.unique(table.path))
    files = f" in {n_files} files" if n_files < len(table) else ""
    edition = "own recordings" if table.edition == OWN else f"DCASE {table.edition}"
    lines = [f"{table.machine}: {len(table)} clips{files}, {edition}, {table.root}", *count_lines(table)]
    lines += [f"  {line}" for line in attribute_lines(table)]
    lines += [f"  {note}" for note in reading.notes]
    if reading.excluded:
        few = first_few(reading.excluded, "asd data describe DIR --json lists all", most=FEW).replace("\n", "\n  ")
        lines.append(f"  {len(reading.excluded)} files cannot be used:{few}")
    if reading.ignored:
        lines.append(f"  {len(reading.ignored)} files passed over: {reason_counts(reading.ignored)}")
    return "\n".join(lines)


def count_lines(table: ClipTable) -> list[str]:
    """Clips by section (of several machines: by machine), domain, split and label, a line for each group."""
    place = table.section if table.owner is None else table.owner
    groups = Counter(
        zip(place.tolist(), table.domain.tolist(), table.split.tolist(), table.label.tolist(), strict=True)
    )
    has_domains = table.has_domains
    shown = [label for label in LABELS if any(key[3] == label for key in groups)]
    rows = [["section" if table.owner is None else "machine", *(["domain"] if has_domains else []), "split", *shown]]
    order = ("train", "test")
    for at, domain, split in sorted({key[:3] for key in groups}, key=lambda k: (k[0], order.index(k[2]), k[1])):
        rows.append(
            [
                place_name(table, at),
                *([domain if domain != NO_DOMAIN else "–"] if has_domains else []),
                split,
                *(str(groups[at, domain, split, label]) for label in shown),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def place_name(table: ClipTable, place: int | str) -> str:
    """What a line calls a section, or a machine of several."""
    if isinstance(place, str):
        return place
    name = table.section_names.get(place, "")
    return f"{place:02d}" + (f" {name}" if name not in ("", f"{place:02d}") else "")


def attribute_lines(table: ClipTable) -> Iterable[str]:
    """One line with the commonest attributes, where clips have any."""
    counts = Counter(text for text in table.attributes.tolist() if text)
    if counts:
        few = ", ".join(f"{text} ({count})" for text, count in counts.most_common(FEW))
        yield f"{len(counts)} different attributes: {few}" + (", …" if len(counts) > FEW else "")


def reason_counts(why: Mapping[str, str]) -> str:
    """How many files there are of each reason, the commonest first."""
    return ", ".join(f"{count} {reason}" for reason, count in Counter(why.values()).most_common())
