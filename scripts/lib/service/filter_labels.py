"""Filters of tiles as labels, for services that know labels but drop ``filterSpec``.

The current main line of the known service drops the field without a word. Labels of tiles are free
text that every version keeps; a filter that travels as one comes back with its tile, so that
digests, receipts and what is drawn from the stack are the same with every service. Programs that do
not know these labels show such tiles without their corrections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from scripts.lib.service.transform_records import Json

FIELD = "filterSpec"
_BEGIN = "filterSpec="
IN_LABELS = "; filters of tiles are among their labels"  # said in the notes of such a stack
DROPPED = (
    "stack %s: this render-ws drops filterSpec of tile specs. Grey-value corrections are kept as"
    " labels of the tiles: this workflow draws with them, other viewers of the service show the"
    " tiles without (docs/render-ws.md, Services that drop filters)"
)


def label(filter_spec: Json) -> str:
    """Return the label that stands for a filter.

    Parameters
    ----------
    filter_spec
        Render's FilterSpec in wire form.

    Returns
    -------
    str
        JSON with sorted keys, after ``filterSpec=``.
    """
    return _BEGIN + orjson.dumps(filter_spec, option=orjson.OPT_SORT_KEYS).decode()


def hidden(labels: Sequence[str], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Move the filter of a tile among its labels.

    Parameters
    ----------
    labels
        Of the tile.
    extra
        Its other fields in wire form; they are not changed.

    Returns
    -------
    dict
        ``labels``, with one more where the tile has a filter, and ``extra`` without it; `restored`
        undoes both.
    """
    rest = dict(extra)
    found = rest.pop(FIELD, None)
    added = [] if found is None else [label(found)]
    return {"labels": (*labels, *added), "extra": rest}


def restored(value: Json) -> Json:
    """Return a tile in wire form with the filter in its field again.

    Parameters
    ----------
    value
        Render's TileSpec; it is not changed.

    Returns
    -------
    dict
        The same one when no label stands for a filter.

    Raises
    ------
    ValueError
        When such a label is cut off or changed; the message names the tile.
    """
    labels = value.get("labels") or ()
    ours = next((each for each in labels if each.startswith(_BEGIN)), None)
    if ours is None:
        return value
    try:
        found = orjson.loads(ours.removeprefix(_BEGIN))
    except orjson.JSONDecodeError as error:
        problem = f"tile {value.get('tileId')!r}: label {ours[:60]!r} is no filter: {error}"
        raise ValueError(problem) from error
    return {**value, "labels": [each for each in labels if each != ours], FIELD: found}
