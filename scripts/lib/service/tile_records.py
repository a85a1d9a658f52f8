"""Records of tiles as they travel to and from render-ws.

A tile that came from the service goes back with everything it had: fields this project does not
use are kept in `extra`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from scripts.lib import transforms
from scripts.lib.arrays import Array
from scripts.lib.geometry import (
    Bounds,
    Box,
    TileId,
    extent,
    rounded_bounds,
    section_id,
    tile_border,
)
from scripts.lib.nonlinear import READERS
from scripts.lib.service import filter_labels
from scripts.lib.service.transform_records import Json, Leaf, Ref, Spec, transforms_from_json
from scripts.lib.transforms import AFFINE, Chain

PATCH = "patch"  # label of a tile that shows the image of an adjacent layer


@dataclass(frozen=True)
class TileSpec:
    """One tile: where its image is, how it is placed, what the microscope said.

    ``bounds`` is (min x, min y, max x, max y) in world px, None before it is derived;
    ``transforms`` are applied first to last; the last one is the stage or solved affine.
    """

    tile_id: TileId
    z: float
    width: int
    height: int
    image_url: str
    transforms: tuple[Spec, ...]
    image_loader: str = "H5_SLICE"
    mask_url: str | None = None
    mask_loader: str | None = None
    row: int = 0
    column: int = 0
    stage_x: float | None = None
    stage_y: float | None = None
    distance_z_nm: float | None = None
    min_intensity: float = 0.0
    max_intensity: float = 255.0
    bounds: Bounds | None = None
    group_id: str | None = None
    labels: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def section_id(self) -> str:
        """Return the section id, which is also the match group id.

        Returns
        -------
        str
            Text of z with one decimal.
        """
        return section_id(self.z)

    @property
    def cell(self) -> tuple[int, int]:
        """Return the place in the acquisition grid.

        Returns
        -------
        tuple of int
            Row, column.
        """
        return self.row, self.column

    @property
    def is_copy(self) -> bool:
        """Tell whether the tile is a patch.

        Returns
        -------
        bool
            True when it shows an adjacent layer's image.
        """
        return PATCH in self.labels

    @property
    def box(self) -> Box:
        """Return the world bounding box.

        Returns
        -------
        Box
            World px, half open.

        Raises
        ------
        ValueError
            When the tile has no bounds yet.
        """
        if self.bounds is None:
            raise ValueError(f"tile {self.tile_id} has no bounding box yet")
        return Box(*self.bounds)

    def with_last(self, leaf: Leaf) -> TileSpec:
        """Return a copy with another last transform; bounds are dropped.

        Parameters
        ----------
        leaf
            Takes the place of the last transform (render's REPLACE_LAST).

        Returns
        -------
        TileSpec
            The changed copy.
        """
        return self.changed(transforms=(*self.transforms[:-1], leaf), bounds=None)

    def changed(self, **fields: Any) -> TileSpec:  # noqa: ANN401 - as dataclasses.replace
        """Return a copy with some fields changed: `dataclasses.replace` takes ten times as long.

        Parameters
        ----------
        **fields
            New values by field name.

        Returns
        -------
        TileSpec
            The changed copy.

        Raises
        ------
        TypeError
            For a field that a tile does not have.
        """
        if not fields.keys() <= self.__dict__.keys():
            raise TypeError(f"a tile has no {', '.join(fields.keys() - self.__dict__.keys())}")
        out = object.__new__(TileSpec)
        out.__dict__.update(self.__dict__)
        out.__dict__.update(fields)
        return out

    def to_json(self) -> Json:
        """Return the wire form.

        Returns
        -------
        dict
            JSON values under the names of the service.
        """
        # fields that every tile has at once, the others one by one: half of the time of a look at
        # all of them for absent ones, by the ten thousand
        layout = {"sectionId": self.section_id, "imageRow": self.row, "imageCol": self.column}
        for key, value in (
            ("stageX", self.stage_x),
            ("stageY", self.stage_y),
            ("distanceZ", self.distance_z_nm),
        ):
            if value is not None:
                layout[key] = value
        level: Json = {"imageUrl": self.image_url, "imageLoaderType": self.image_loader}
        if self.mask_url is not None:
            level["maskUrl"] = self.mask_url
        if self.mask_loader is not None:
            level["maskLoaderType"] = self.mask_loader
        out: Json = {
            "tileId": self.tile_id,
            "layout": layout,
            "z": self.z,
            "width": self.width,
            "height": self.height,
            "minIntensity": self.min_intensity,
            "maxIntensity": self.max_intensity,
            "mipmapLevels": {"0": level},
            "transforms": {"type": "list", "specList": [t.to_json() for t in self.transforms]},
        }
        if self.group_id is not None:
            out["groupId"] = self.group_id
        if self.labels:
            out["labels"] = list(self.labels)
        if self.bounds is not None:
            out["minX"], out["minY"], out["maxX"], out["maxY"] = self.bounds
        return self._with_extra(out) if self.extra else out

    def _with_extra(self, out: Json) -> Json:
        """Add what came with the record and is not used here."""
        out["layout"] = {**_present(self.extra.get("layout", {})), **out["layout"]}
        return {**_present({k: v for k, v in self.extra.items() if k != "layout"}), **out}

    @staticmethod
    def from_json(value: Json) -> TileSpec:
        """Read the wire form.

        Parameters
        ----------
        value
            Render's TileSpec.

        Returns
        -------
        TileSpec
            Fields this project does not use are in `extra`.

        Raises
        ------
        ValueError
            When a field that this project needs is absent; the message names the tile.
        """
        layout = value.get("layout") or {}
        level = (value.get("mipmapLevels") or {}).get("0") or {}
        box = [value.get(k) for k in ("minX", "minY", "maxX", "maxY")]
        value = filter_labels.restored(value)
        try:
            return TileSpec(
                tile_id=TileId(value["tileId"]),
                z=float(value["z"]),
                width=int(value["width"]),
                height=int(value["height"]),
                image_url=level["imageUrl"],
                image_loader=level.get("imageLoaderType", "IMAGEJ_DEFAULT"),
                mask_url=level.get("maskUrl"),
                mask_loader=level.get("maskLoaderType"),
                transforms=tuple(transforms_from_json(value.get("transforms") or {"type": "list"})),
                row=int(layout.get("imageRow", 0)),
                column=int(layout.get("imageCol", 0)),
                stage_x=layout.get("stageX"),
                stage_y=layout.get("stageY"),
                distance_z_nm=layout.get("distanceZ"),
                min_intensity=float(value.get("minIntensity", 0.0)),
                max_intensity=float(value.get("maxIntensity", 255.0)),
                bounds=None if None in box else tuple(float(v) for v in box),  # type: ignore[arg-type]
                group_id=value.get("groupId"),
                labels=tuple(value.get("labels") or ()),
                extra=_extra(value, layout),
            )
        except KeyError as error:
            raise ValueError(f"tile {value.get('tileId')!r} has no {error.args[0]}") from error


_KNOWN = {"tileId", "layout", "groupId", "z", "width", "height", "minX", "minY", "maxX", "maxY"} | {
    "minIntensity",
    "maxIntensity",
    "mipmapLevels",
    "transforms",
    "labels",
}
_KNOWN_LAYOUT = {"sectionId", "imageRow", "imageCol", "stageX", "stageY", "distanceZ"}


def _extra(value: Json, layout: Json) -> Json:
    extra = {k: v for k, v in value.items() if k not in _KNOWN}
    rest = {k: v for k, v in layout.items() if k not in _KNOWN_LAYOUT}
    return extra | ({"layout": rest} if rest else {})


def _present(value: Mapping[str, Any]) -> Json:
    return {k: v for k, v in value.items() if v is not None}


class TileSource(Protocol):
    """Tiles that come in batches, so that not all of them are in memory at once."""

    def ids(self) -> set[str]:
        """Return the ids of all tiles.

        Returns
        -------
        set of str
            Tile ids.
        """
        ...

    def batches(self, size: int) -> Iterator[TileSet]:
        """Return all tiles in batches.

        Parameters
        ----------
        size
            About how many tiles at a time.

        Yields
        ------
        TileSet
            One batch.
        """
        ...


_IDENTITY = (["1", "0", "0", "1"], ["1.0", "0.0", "0.0", "1.0"])


def _translation(specs: tuple[Spec, ...]) -> tuple[float, float] | None:
    """Return x, y of a last transform that is written as a pure translation, else None."""
    last = specs[-1] if specs else None
    if not isinstance(last, Leaf) or last.class_name != AFFINE:
        return None
    numbers = last.data.split()
    if len(numbers) != 6 or numbers[:4] not in _IDENTITY:
        return None
    return float(numbers[4]), float(numbers[5])


def _bent(tile: TileSpec) -> bool:
    """Tell whether a tile has a field: its own, with kilobytes of numbers."""
    return any(isinstance(s, Leaf) and s.class_name in READERS for s in tile.transforms)


@dataclass(frozen=True)
class TileSet:
    """Tiles with the shared transforms they refer to (render's ResolvedTileSpecCollection)."""

    tiles: tuple[TileSpec, ...]
    shared: Mapping[str, Leaf] = field(default_factory=dict)

    def chain(self, tile: TileSpec) -> Chain:
        """Return the whole transform of a tile.

        Parameters
        ----------
        tile
            One of these tiles.

        Returns
        -------
        Chain
            Raw pixels to world px: matching frame and world transform together.
        """
        return Chain(tuple(self._parsed(tile, spec) for spec in tile.transforms))

    def scan_chain(self, tile: TileSpec) -> Chain:
        """Return the transforms of a tile before the last one.

        Parameters
        ----------
        tile
            One of these tiles.

        Returns
        -------
        Chain
            Raw pixels to the matching frame.
        """
        return Chain(tuple(self._parsed(tile, spec) for spec in tile.transforms[:-1]))

    def _parsed(self, tile: TileSpec, spec: Spec) -> transforms.Transform:
        if isinstance(spec, Ref):
            if spec.id not in self.shared:
                raise ValueError(f"tile {tile.tile_id} refers to unknown transform {spec.id!r}")
            spec = self.shared[spec.id]
        return transforms.parse(spec.class_name, spec.data)

    def with_bounds(self, *, absent_only: bool = False) -> TileSet:
        """Return a copy whose bounding boxes are derived by render's rule.

        Parameters
        ----------
        absent_only
            Leave boxes that are there.

        Returns
        -------
        TileSet
            All its tiles have bounds.
        """
        borders: dict[object, tuple[Array, Bounds]] = {}  # scan-corrected, shared by most tiles
        tiles = (
            tile
            if absent_only and tile.bounds is not None
            else tile.changed(bounds=self._bounds(tile, borders))
            for tile in self.tiles
        )
        return replace(self, tiles=tuple(tiles))

    def _bounds(self, tile: TileSpec, borders: dict[object, tuple[Array, Bounds]]) -> Bounds:
        key = (tile.width, tile.height, tile.transforms[:-1])
        found = borders.get(key)  # 10 instead of 100 us per tile
        if found is None:
            border = self.scan_chain(tile).apply(tile_border(tile.width, tile.height))
            found = border, extent(border)
            if not _bent(tile):
                borders[key] = found
        border, (x0, y0, x1, y1) = found
        shift = _translation(tile.transforms)
        if shift is not None:  # it moves the extent as it moves each point: 2 us
            return rounded_bounds(x0 + shift[0], y0 + shift[1], x1 + shift[0], y1 + shift[1])
        last = Chain(tuple(self._parsed(tile, spec) for spec in tile.transforms[-1:]))
        return rounded_bounds(*extent(last.apply(border)))

    def ids(self) -> set[str]:
        """Return the ids of all tiles.

        Returns
        -------
        set of str
            Tile ids.
        """
        return {tile.tile_id for tile in self.tiles}

    def batches(self, size: int) -> Iterator[TileSet]:
        """Return the tiles in their order.

        Parameters
        ----------
        size
            At most so many tiles at a time.

        Yields
        ------
        TileSet
            One batch.
        """
        for start in range(0, len(self.tiles), size):
            yield TileSet(self.tiles[start : start + size], self.shared)

    def used(self) -> dict[str, Json]:
        """Return the wire form of the shared transforms that tiles refer to.

        Returns
        -------
        dict
            Transform specs by id.
        """
        refs = {t.id for tile in self.tiles for t in tile.transforms if isinstance(t, Ref)}
        return {i: s.to_json() for i, s in self.shared.items() if i in refs}

    def to_json(self) -> Json:
        """Return the wire form.

        Returns
        -------
        dict
            JSON values under the names of the service.
        """
        return {
            "transformIdToSpecMap": self.used(),
            "tileIdToSpecMap": {tile.tile_id: tile.to_json() for tile in self.tiles},
        }

    @staticmethod
    def from_json(value: Json) -> TileSet:
        """Read the wire form.

        Parameters
        ----------
        value
            Render's ResolvedTileSpecCollection.

        Returns
        -------
        TileSet
            Tiles sorted by z, then tile id.
        """
        shared: dict[str, Leaf] = {}
        for key, spec in (value.get("transformIdToSpecMap") or {}).items():
            (leaf,) = transforms_from_json(spec)
            if not isinstance(leaf, Leaf):
                raise TypeError(f"shared transform {key!r} is itself a reference")
            shared[key] = leaf
        tiles = [TileSpec.from_json(v) for v in (value.get("tileIdToSpecMap") or {}).values()]
        return TileSet(tuple(sorted(tiles, key=lambda t: (t.z, t.tile_id))), shared)

    @staticmethod
    def merged(sets: Iterable[TileSet]) -> TileSet:
        """Join sets; later tiles with a known id replace earlier ones.

        Parameters
        ----------
        sets
            Sets of tiles.

        Returns
        -------
        TileSet
            Tiles sorted by z, then tile id.
        """
        tiles: dict[str, TileSpec] = {}
        shared: dict[str, Leaf] = {}
        for one in sets:
            tiles |= {tile.tile_id: tile for tile in one.tiles}
            shared |= one.shared
        return TileSet(tuple(sorted(tiles.values(), key=lambda t: (t.z, t.tile_id))), shared)
