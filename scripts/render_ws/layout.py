"""Layout files: one line of text a tile (render's KARSH and SCHEFFER formats)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from urllib.parse import unquote, urlsplit

from scripts.render_ws.errors import NotFound
from scripts.render_ws.model import Json


def text(kind: str, metadata: Json, tiles: Sequence[Json], stack_url: str) -> str:
    """Return the layout file of flattened tiles in the format `kind`.

    Raises
    ------
    NotFound
        For an unknown format, as the reference answers unknown values of a query.
    """
    if kind not in _FORMATS:
        raise NotFound(f"layout format {kind!r} is not known (known: {', '.join(_FORMATS)})")
    return _FORMATS[kind](metadata, tiles, stack_url)


def _karsh(_: Json, tiles: Sequence[Json], stack_url: str) -> str:
    ordered = sorted(tiles, key=lambda t: (_z(t), t["minY"], t["minX"]))
    return "".join(_karsh_line(tile, stack_url) for tile in ordered)


def _karsh_line(tile: Json, stack_url: str) -> str:
    layout = tile.get("layout", {})
    affine = _affine(tile, "\t")
    if affine is None:
        affine = f"1.0\t0.0\t{_cell(layout, 'stageX')}\t0.0\t1.0\t{_cell(layout, 'stageY')}"
    fields = [
        _cell(layout, "sectionId"),
        tile["tileId"],
        affine,
        _cell(layout, "imageCol"),
        _cell(layout, "imageRow"),
        _cell(layout, "camera"),
        _raw_path(tile),
        _cell(layout, "temca"),
        _cell(layout, "rotation"),
        _cell(tile, "z"),
        f"{stack_url}/tile/{tile['tileId']}/render-parameters",
    ]
    return "\t".join(fields) + "\n"


def _scheffer(metadata: Json, tiles: Sequence[Json], _: str) -> str:
    box = metadata.get("stats", {}).get("stackBounds")
    names = ("minX", "minY", "maxX", "maxY")
    head = "BBOX " + (" ".join(str(box[name]) for name in names) if box else "")
    ordered = sorted(tiles, key=lambda t: (_z(t), t["tileId"]))
    return head + "\n" + "".join(map(_scheffer_line, ordered))


def _scheffer_line(tile: Json) -> str:
    size = f"{int(tile.get('width', -1))} {int(tile.get('height', -1))}"
    return f"TRANSFORM '{_raw_path(tile)}' {_affine(tile, ' ') or 'null'} {size}\n"


_FORMATS: dict[str, Callable[[Json, Sequence[Json], str], str]] = {
    "KARSH": _karsh,
    "SCHEFFER": _scheffer,
}


def _affine(tile: Json, separator: str) -> str | None:
    """Return m00 m01 m02 m10 m11 m12 of the last transform; longer data as they are, counted."""
    leaves = tile["transforms"]["specList"]
    data = leaves[-1].get("dataString", "").split() if leaves else []
    if len(data) == 6:
        return separator.join(data[i] for i in (0, 2, 4, 1, 3, 5))
    return separator.join([str(len(data)), *data]) if len(data) > 6 else None


def _z(tile: Json) -> float:
    return float(tile.get("z", -math.inf))  # those without come first


def _cell(record: Json, name: str) -> str:
    return str(record.get(name, "null"))  # an absent value is the text null


def _raw_path(tile: Json) -> str:
    levels = list(tile["mipmapLevels"].values())
    levels = levels or [level for c in tile.get("channels", ()) for level in _first(c)]
    url = levels[0].get("imageUrl") if levels else None
    if url is None:
        return "null"
    return unquote(urlsplit(url).path) if ":" in url else url


def _first(channel: Json) -> list[Json]:
    return list(channel["mipmapLevels"].values())[:1]
