"""Numbers, durations and ranges as the text of pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

NONE = "–"


def number(value: float | None, digits: int = 0, unit: str = "") -> str:
    """Format a number.

    Parameters
    ----------
    value
        What to show.
    digits
        Decimals.
    unit
        Put behind it.

    Returns
    -------
    str
        Thousands separated by commas; a dash for None.
    """
    if value is None:
        return NONE
    return f"{value:,.{digits}f}{' ' + unit if unit else ''}"


def large(count: int) -> str:
    """Format a large count.

    Parameters
    ----------
    count
        What to show.

    Returns
    -------
    str
        With one decimal and M, G or T from a million on.
    """
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:,}"


def duration(seconds: float | None) -> str:
    """Format a time.

    Parameters
    ----------
    seconds
        What to show.

    Returns
    -------
    str
        ``41 s``, ``3 min 05 s`` or ``2 h 10 min``; a dash for None.
    """
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def spans(values: Iterable[int], most: int = 30) -> str:
    """Format whole numbers as ranges.

    Parameters
    ----------
    values
        Numbers in any order.
    most
        Ranges written out; of more their number is given.

    Returns
    -------
    str
        ``3, 7 to 9``.
    """
    out: list[list[int]] = []
    for value in sorted(set(values)):
        if out and value == out[-1][1] + 1:
            out[-1][1] = value
        else:
            out.append([value, value])
    shown = [f"{a}" if a == b else f"{a} to {b}" for a, b in out[:most]]
    return ", ".join(shown) + (f" and {len(out) - most} more ranges" if len(out) > most else "")


def cell(value: Any) -> Any:  # noqa: ANN401 - a cell of any kind
    """Format a cell of a table.

    Parameters
    ----------
    value
        Text, a number, a truth value or None.

    Returns
    -------
    Any
        Text and numbers to show; markup stays markup.
    """
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    return f"{value:.6g}" if isinstance(value, float) else value


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten nested figures.

    Parameters
    ----------
    value
        Numbers, texts and further mappings by name.
    prefix
        Put before each key.

    Returns
    -------
    dict of str
        Text by dotted key.
    """
    out: dict[str, str] = {}
    for key, each in value.items():
        if isinstance(each, Mapping):
            out |= flat(each, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = f"{each:.6g}" if isinstance(each, float) else str(each)
    return out
