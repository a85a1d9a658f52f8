"""Channels of tiles: which of them a picture shows.

Asked for as ``name`` or ``name__weight__name__weight``; the weights sum to at most 1. A tile
without channels has one without a name, which is shown when none is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from scripts.render_ws import model
from scripts.render_ws.errors import BadRequest
from scripts.render_ws.model import Json

_SEPARATOR = re.compile("_{2,3}")  # render-python writes three


def weights(asked: str | None) -> dict[str, float] | None:
    """Return the weight of each channel asked for; None when none is.

    Raises
    ------
    BadRequest
        When the text has another form, or the weights sum to more than 1.
    """
    if not asked:
        return None
    parts = _SEPARATOR.split(asked)
    if len(parts) == 1:
        return {asked: 1.0}
    if len(parts) % 2:
        raise BadRequest(f"channels {asked!r:.200}: expected name or name__weight__name__weight")
    out = {name: model.double(weight) for name, weight in zip(parts[::2], parts[1::2], strict=True)}
    if not all(weight >= 0 for weight in out.values()) or sum(out.values()) > 1 + 1e-9:
        raise BadRequest(f"channels {asked!r:.200}: weights must be 0 to 1, and 1 at most in all")
    return out


def check(wanted: Mapping[str, float], tiles: Sequence[Json]) -> None:
    """Refuse a channel that none of the tiles has."""
    known = {each.get("name", "") for tile in tiles for each in tile.get("channels", ())}
    lost = sorted(wanted.keys() - known)
    if tiles and lost:
        names = ", ".join(sorted(filter(None, known))) or "none"
        raise BadRequest(f"no tile has a channel {lost[0]!r:.200} (channels: {names})")


def named(tile: Json, name: str) -> Json | None:
    """Return a tile that shows one of its channels; None when it has no such one."""
    for channel in tile.get("channels", ()):
        if channel.get("name", "") == name:
            return _shown(tile, channel)
    return None


def first(tile: Json, default: str | None) -> Json:
    """Return a tile that shows the channel `default`, else its first one, else itself."""
    given = tile.get("channels")
    if not given:
        return tile
    return (named(tile, default) if default else None) or _shown(tile, given[0])


def _shown(tile: Json, channel: Json) -> Json:
    names = ("mipmapLevels", "minIntensity", "maxIntensity", "mipmapPathBuilder")
    taken = {name: channel[name] for name in names if name in channel}
    if not taken.get("mipmapLevels"):
        taken.pop("mipmapLevels", None)
    return {**{k: v for k, v in tile.items() if k != "channels"}, **taken}
