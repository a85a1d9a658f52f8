"""Names: the grammar of acquired files, and of what is derived from them.

``<scope>_<yy-mm-dd>_<HHMMSS>_<section>-<row>-<column>[anything].dat`` is one tile; its *layer id*
is ``<scope>_<yy-mm-dd>_<HHMMSS>``, its *tile key* ``<section>-<row>-<column>``. Times are local to
the microscope, with a resolution of one second.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

_LAYER = re.compile(r"(?P<scope>[^/]+)_(?P<stamp>\d\d-\d\d-\d\d_\d{6})", re.ASCII)
_TILE = re.compile(
    _LAYER.pattern + r"_(?P<section>\d{1,6})-(?P<row>\d{1,6})-(?P<column>\d{1,6})(?!\d).*",
    re.ASCII | re.DOTALL,
)

# Words of a reason ("crossPass1:unlike(0 of 59 at scale 0.0897)") that say that a stage of the
# matching was not asked, nor any after it; and the columns that count them.
STAGE_STOPS = {"beyond_distance": "stopped_by_distance", "unlike": "stopped_as_unlike"}
WIDE_RUN = "wide"  # column `run` of the pairs of the wide search


@dataclass(frozen=True)
class LayerName:
    """Scope and time stamp (``yy-mm-dd_HHMMSS``) of a layer."""

    scope: str
    stamp: str

    @property
    def layer_id(self) -> str:
        """Return the layer id.

        Returns
        -------
        str
            ``<scope>_<stamp>``.
        """
        return f"{self.scope}_{self.stamp}"

    @property
    def time(self) -> datetime:
        """Return the local time of the acquisition.

        Returns
        -------
        datetime
            Without a time zone, to the second.

        Raises
        ------
        ValueError
            When there is no such time.
        """
        day, clock = self.stamp[:8], self.stamp[9:]
        # a twentieth of the time of strptime, whose rule of centuries this is
        century = "19" if day[:2] >= "69" else "20"
        return datetime.fromisoformat(f"{century}{day}T{clock[:2]}:{clock[2:4]}:{clock[4:]}")

    @property
    def order(self) -> tuple[str, str]:
        """Return the key of acquisition order: time first, so that a change of scope keeps it.

        Returns
        -------
        tuple of str
            Stamp, scope.
        """
        return self.stamp, self.scope

    @property
    def folder(self) -> PurePosixPath:
        """Return the folder of the layer's files; the hour bounds their number.

        Returns
        -------
        PurePosixPath
            ``<scope>/YYYY/MM/DD/HH``.
        """
        return PurePosixPath(self.scope) / self.time.strftime("%Y/%m/%d/%H")


@dataclass(frozen=True)
class LayerRange:
    """Layers from `first` to `last` in order of acquisition, inclusive; None is an open end."""

    first: LayerName | None = None
    last: LayerName | None = None

    @staticmethod
    def of(value: Mapping[str, Any]) -> LayerRange:
        """Read the keys ``first_dat`` and ``last_dat`` of an entry of the config.

        Parameters
        ----------
        value
            The entry; a key that is absent or null is an open end.

        Returns
        -------
        LayerRange
            The range.

        Raises
        ------
        ValueError
            Names the key that holds no layer.
        """
        ends = []
        for key in ("first_dat", "last_dat"):
            try:
                ends.append(parse_layer(value[key]) if value.get(key) else None)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from error
        return LayerRange(*ends)

    def holds(self, layer: LayerName) -> bool:
        """Tell whether a layer lies in the range.

        Parameters
        ----------
        layer
            The layer.

        Returns
        -------
        bool
            True at both ends too.
        """
        after = self.first is None or layer.order >= self.first.order
        return after and (self.last is None or layer.order <= self.last.order)


@dataclass(frozen=True)
class DatName:
    """What the name of a ``.dat`` file says."""

    layer: LayerName
    section: int
    row: int
    column: int

    @property
    def tile_key(self) -> str:
        """Return the tile key.

        Returns
        -------
        str
            ``<section>-<row>-<column>``.
        """
        return f"{self.section}-{self.row}-{self.column}"


def parse_layer(text: str) -> LayerName:
    """Read a layer id, or the layer of a ``.dat`` name.

    Parameters
    ----------
    text
        Either, without a folder.

    Returns
    -------
    LayerName
        Scope and time stamp.

    Raises
    ------
    ValueError
        When the text is neither, or its time does not exist.
    """
    match = _TILE.fullmatch(text) or _LAYER.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is no layer id: expected <scope>_<yy-mm-dd>_<HHMMSS>, "
            f"e.g. Merlin-6281_24-03-07_101112"
        )
    return _checked(match["scope"], match["stamp"], text)


def parse_dat(name: str) -> DatName:
    """Read the name of a ``.dat`` file.

    Parameters
    ----------
    name
        Without a folder.

    Returns
    -------
    DatName
        Layer, section, row and column.

    Raises
    ------
    ValueError
        When the name does not fit the grammar, or its time does not exist.
    """
    match = _TILE.fullmatch(name)
    if match is None:
        raise ValueError(
            f"{name!r} is no tile name: expected <scope>_<yy-mm-dd>_<HHMMSS>_<section>-<row>-"
            f"<column>.dat, e.g. Merlin-6281_24-03-07_101112_0-1-2.dat"
        )
    layer = _checked(match["scope"], match["stamp"], name)
    return DatName(layer, int(match["section"]), int(match["row"]), int(match["column"]))


def dat_or_none(name: str | None) -> DatName | None:
    """Read the name of a ``.dat`` file, where it may be none.

    Parameters
    ----------
    name
        Without a folder.

    Returns
    -------
    DatName or None
        As `parse_dat`; None where that would raise, and for None.
    """
    try:
        return None if name is None else parse_dat(name)
    except ValueError:
        return None


def _checked(scope: str, stamp: str, text: str) -> LayerName:
    try:
        return _known(scope, stamp)
    except ValueError as error:
        raise ValueError(f"{text!r} {error}") from error


@functools.lru_cache(maxsize=100_000)
def _known(scope: str, stamp: str) -> LayerName:
    """Return the layer name of all tiles of one layer: each dry run reads 100,000 names."""
    layer = LayerName(scope, stamp)
    # the scope becomes a folder and a cell of tables: no "..", no line break
    if scope.startswith(".") or not scope.isprintable():
        raise ValueError(f"names no microscope: found {scope!r}")
    try:
        _ = layer.time
    except ValueError as error:
        raise ValueError(f"holds no time that exists: found {stamp}") from error
    return layer
