"""The part of the client that reads stacks and publishes whole ones."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scripts.lib.provenance import Code
from scripts.lib.service import filter_labels, receipts
from scripts.lib.service.errors import NotFound, RequestRefused, StackNotFound
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.service.records import Json, TileSet, TileSource, TileSpec
from scripts.lib.service.session import Session, path_of

log = logging.getLogger(__name__)

_TILES_PER_PUT = 5000  # the reference's batch (tens of MB of JSON)
_LAYERS_PER_GET = 1000  # fewer where layers have many tiles: answers are limited to 50,001 tiles
_STALE_ONE_BY_ONE = 200  # more stale tiles than this: the stack is made anew


class StackClient(Session):
    """Stacks of an owner's project."""

    _filters_kept: bool | None = None  # None: not asked yet

    def create_stack(
        self, stack: str, resolution_nm: tuple[float, float, float], notes: str = ""
    ) -> None:
        """Create a stack, or a new LOADING version of it; tiles of an existing one stay.

        Parameters
        ----------
        stack
            Name of the stack.
        resolution_nm
            Size of a voxel x, y, z in nm.
        notes
            Free text kept with the version.
        """
        x, y, z = resolution_nm
        body = {"stackResolutionX": x, "stackResolutionY": y, "stackResolutionZ": z}
        self._request("POST", self._stack(stack), body={**body, "versionNotes": notes})

    def version(self) -> Json:
        """Return what the service says of itself.

        Returns
        -------
        dict
            Of a build, by name; empty for a service that has none to tell.

        Raises
        ------
        ServiceUnreachable
            When nothing answers, or what is no render-ws.
        """
        try:
            response = self._request("GET", "versionInfo")
        except NotFound:
            return {}  # it is a render-ws all the same: that was asked for then
        found = self._json(response) if response.content else None
        return dict(found) if isinstance(found, dict) else {}

    def keeps_filters(self, tile: TileSpec) -> bool:
        """Tell whether the service keeps the filters of tile specs; some versions drop them.

        Parameters
        ----------
        tile
            One with filters: where the service does not say, it is saved in a stack of its own,
            read back, and removed.

        Returns
        -------
        bool
            Whether it came back as it was.
        """
        try:
            said = self._get("serverProperties")
        except NotFound:
            said = {}
        if isinstance(said, dict) and said.get("tileSpec.filterSpec") == "kept":
            return True
        probe = f"probe_{os.getpid()}_{time.time_ns()}"
        self.create_stack(probe, (1.0, 1.0, 1.0), notes="may be removed: tries filters of tiles")
        try:
            sent = TileSet((tile.changed(transforms=(), bounds=None),))
            self._put(probe, sent.with_bounds().to_json())
            (found,) = self.tiles(probe).tiles
        finally:
            self.delete_stack(probe)
        return found.extra.get(filter_labels.FIELD) == tile.extra.get(filter_labels.FIELD)

    def stack_metadata(self, stack: str) -> Json:
        """Return state, version and statistics of a stack.

        Parameters
        ----------
        stack
            Name of the stack.

        Returns
        -------
        dict
            Render's StackMetaData in wire form.

        Raises
        ------
        StackNotFound
            When there is no such stack.
        """
        return dict(self._get(self._stack(stack), missing=StackNotFound))

    def resolution(self, stack: str) -> tuple[float, float, float]:
        """Return the size of a voxel of a stack.

        Parameters
        ----------
        stack
            Name of the stack.

        Returns
        -------
        tuple of float
            x, y, z in nm.

        Raises
        ------
        StackNotFound
            When there is no such stack.
        """
        version = self.stack_metadata(stack)["currentVersion"]
        x, y, z = (float(version[f"stackResolution{axis}"]) for axis in "XYZ")
        return x, y, z

    def stacks(self) -> list[str]:
        """Return the names of all stacks of the project.

        Returns
        -------
        list of str
            Sorted as text.
        """
        ids = self._get(path_of("owner", self.owner, "project", self.project, "stackIds"))
        return sorted(item["stack"] for item in ids)

    def set_state(self, stack: str, state: str) -> None:
        """Change the state of a stack.

        Parameters
        ----------
        stack
            Name of the stack.
        state
            LOADING, COMPLETE, READ_ONLY or OFFLINE.

        Raises
        ------
        StackNotFound
            When there is no such stack.
        RenderError
            When the service refuses the change, as COMPLETE of a stack without tiles.
        """
        self._request("PUT", self._stack(stack, "state", state), missing=StackNotFound)

    def set_mipmaps(self, stack: str, builder: Mapping[str, Any]) -> None:
        """Store the rule by which mipmap URLs are derived.

        Parameters
        ----------
        stack
            Name of the stack.
        builder
            Render's MipmapPathBuilder in wire form.
        """
        path = self._stack(stack, "mipmapPathBuilder")
        self._request("PUT", path, body=dict(builder), missing=StackNotFound)

    def delete_stack(self, stack: str) -> None:
        """Remove a stack with all its tiles; a missing one is no error.

        Parameters
        ----------
        stack
            Name of the stack.
        """
        self._request("DELETE", self._stack(stack))

    # -- tiles ---------------------------------------------------------------------------------

    def z_values(
        self, stack: str, z_min: float | None = None, z_max: float | None = None
    ) -> list[float]:
        """Return the z values that have tiles.

        Parameters
        ----------
        stack
            Name of the stack.
        z_min, z_max
            Inclusive limits; None: no limit.

        Returns
        -------
        list of float
            Ascending.

        Raises
        ------
        StackNotFound
            When there is no such stack.
        """
        path = self._stack(stack, "zValues")
        return sorted(set(self._get(path, missing=StackNotFound, minZ=z_min, maxZ=z_max)))

    def tile_ids(self, stack: str) -> list[str]:
        """Return the ids of all tiles of a stack.

        Parameters
        ----------
        stack
            Name of the stack.

        Returns
        -------
        list of str
            Sorted as text; none when there is no such stack.
        """
        return list(self._get(self._stack(stack, "tileIds")))

    def tiles(self, stack: str, z_min: float | None = None, z_max: float | None = None) -> TileSet:
        """Return the tiles of a stack in a z range.

        Parameters
        ----------
        stack
            Name of the stack.
        z_min, z_max
            Inclusive limits; None: no limit.

        Returns
        -------
        TileSet
            Sorted by z, then tile id, with the shared transforms they refer to; may be empty.

        Raises
        ------
        StackNotFound
            When there is no such stack.
        """
        return TileSet.merged(self.parts(stack, z_min, z_max))

    def parts(
        self, stack: str, z_min: float | None = None, z_max: float | None = None
    ) -> Iterator[TileSet]:
        """Return the tiles of a stack in a z range, some layers at a time.

        Parameters
        ----------
        stack
            Name of the stack.
        z_min, z_max
            Inclusive limits; None: no limit.

        Returns
        -------
        iterator of TileSet
            As `tiles` has them, z ascending.

        Raises
        ------
        StackNotFound
            When there is no such stack.
        """
        values, path = self.z_values(stack, z_min, z_max), self._stack(stack, "resolvedTiles")
        start, layers = 0, _LAYERS_PER_GET
        while start < len(values):
            span = values[start : start + layers]
            try:
                found = self._get(path, minZ=span[0], maxZ=span[-1])
            except RequestRefused:
                if len(span) == 1:
                    raise
                layers = len(span) // 2
                continue
            start += len(span)
            yield TileSet.from_json(found)

    def put_tiles(self, stack: str, tiles: TileSet, *, batch: int = _TILES_PER_PUT) -> None:
        """Save tiles (upsert by id) into a LOADING stack; all bounds are derived here.

        Parameters
        ----------
        stack
            Name of the stack.
        tiles
            Tiles with the shared transforms they refer to.
        batch
            Tiles of one request.

        Raises
        ------
        StackNotFound
            When there is no such stack.
        """
        for part in tiles.batches(batch):
            bounded = part.with_bounds()
            self._put(stack, self._as_kept(stack, bounded) or bounded.to_json())

    def _as_kept(self, stack: str, part: TileSet) -> Json | None:
        """Return tiles with their filters as labels, where the service would drop filters."""
        filtered = next((t for t in part.tiles if t.extra.get(filter_labels.FIELD)), None)
        if filtered is None:
            return None
        if self._filters_kept is None:  # asked once, by the first tile that has one
            self._filters_kept = self.keeps_filters(filtered)
            if not self._filters_kept:
                log.warning(filter_labels.DROPPED, stack)
        if self._filters_kept:
            return None
        sent = (t.changed(**filter_labels.hidden(t.labels, t.extra)) for t in part.tiles)
        return TileSet(tuple(sent), part.shared).to_json()

    def _put(self, stack: str, collection: Json) -> None:
        path = self._stack(stack, "resolvedTiles")
        self._request("PUT", path, body=collection, missing=StackNotFound)

    def publish_stack(
        self,
        stack: str,
        tiles: TileSource,
        *,
        resolution_nm: tuple[float, float, float],
        inputs: Iterable[str | Path] = (),
        params: Mapping[str, Any] | None = None,
        mipmaps: Mapping[str, Any] | None = None,
        code: Code | None = None,
    ) -> StackReceipt:
        """Make a stack hold exactly these tiles, COMPLETE, and return its receipt.

        The digest of the tiles travels in the version notes, so that `require` can tell at any
        later time whether the stack still is what the receipt says. One batch of tiles is in
        memory at a time.

        Parameters
        ----------
        stack
            Name of the stack; one that exists loses its other tiles.
        tiles
            All tiles; bounds are derived where a tile has none.
        resolution_nm
            Size of a voxel x, y, z in nm.
        inputs
            Files that the tiles were made of; their digests go into the receipt.
        params
            Settings that the tiles were made with.
        mipmaps
            Render's MipmapPathBuilder in wire form, if the images have reduced levels.
        code
            What the tiles come through, of stacks that `published` is asked for.

        Returns
        -------
        StackReceipt
            To be written by the caller as the last thing of its job.

        Raises
        ------
        ValueError
            When there is no tile.
        RenderError
            When the service refuses, or holds another number of tiles in the end.
        """
        ids = tiles.ids()
        if not ids:
            raise ValueError(f"stack {stack}: there is no tile to publish")
        self._drop_stale(stack, ids)
        self.create_stack(stack, resolution_nm, notes="being written")
        written = receipts.Written()
        for part in tiles.batches(_TILES_PER_PUT):
            bounded = part.with_bounds(absent_only=True)
            wire = written.add(bounded)
            self._put(stack, self._as_kept(stack, bounded) or wire)
        receipt = self._receipt(stack, inputs, params or {}, written.figures())
        how = filter_labels.IN_LABELS if self._filters_kept is False else ""
        notes = receipt.notes(code.digest() if code else "") + how
        self.create_stack(stack, resolution_nm, notes=notes)
        if mipmaps is not None:
            self.set_mipmaps(stack, mipmaps)
        self.set_state(stack, "COMPLETE")
        receipts.raise_problems(f"stack {stack}", self._stack_problems(receipt))
        if code:
            code.record()
        log.info("stack %s: %d tiles, z %g to %g", stack, len(ids), receipt.z_min, receipt.z_max)
        return receipt

    def withdraw_stack(
        self,
        stack: str,
        *,
        inputs: Iterable[str | Path],
        params: Mapping[str, Any],
        code: Code | None = None,
    ) -> StackReceipt:
        """Remove a stack that has no tile any more.

        Parameters
        ----------
        stack
            Name of the stack.
        inputs, params, code
            As for `publish_stack`.

        Returns
        -------
        StackReceipt
            The receipt of nothing: no tiles, all figures 0.
        """
        self.delete_stack(stack)
        if code:
            code.record()
        return self._receipt(stack, inputs, params, receipts.Written().figures())

    def published(
        self, stack: str, *, inputs: Iterable[str | Path], params: Mapping[str, Any], code: Code
    ) -> StackReceipt | None:
        """Return the receipt of a stack that this code published with these inputs and params.

        Parameters
        ----------
        stack
            Name of the stack.
        inputs, params, code
            As for `publish_stack`.

        Returns
        -------
        StackReceipt or None
            None when the stack does not exist, is not COMPLETE, or was made of something else.
        """
        try:
            found = self.stack_metadata(stack)
        except StackNotFound:
            return None
        said = found["currentVersion"].get("versionNotes", "")
        notes, _, by = said.removesuffix(filter_labels.IN_LABELS).partition(" by ")
        words = notes.split()
        if found["state"] != "COMPLETE" or len(words) != 6:
            return None
        box, count = found["stats"]["stackBounds"], found["stats"]["tileCount"]
        bounds = box["minX"], box["minY"], box["maxX"], box["maxY"]
        figures = {"tile_count": count, "bounds": bounds, "digest": words[3]}
        figures |= {"z_min": box["minZ"], "z_max": box["maxZ"]}
        receipt = self._receipt(stack, inputs, params, figures)
        if notes != receipt.notes():
            return None
        if by != code.digest():
            log.info("stack %s is made again: %s", stack, code.other(by))
            return None
        return receipt

    def _receipt(
        self, stack: str, inputs: Iterable[str | Path], params: Mapping[str, Any], figures: Json
    ) -> StackReceipt:
        made_of: Json = {"inputs": receipts.digests(inputs), "params": dict(params)}
        return StackReceipt(self.owner, self.project, stack, **made_of, **figures)

    def _drop_stale(self, stack: str, wanted: set[str]) -> None:
        """Remove tiles of an earlier run that should not be there."""
        stale = [i for i in self.tile_ids(stack) if i not in wanted]
        if not stale:
            return
        log.info("stack %s: removing %d tiles of an earlier run", stack, len(stale))
        if len(stale) > _STALE_ONE_BY_ONE:
            self.delete_stack(stack)
            return
        if self.stack_metadata(stack)["state"] != "LOADING":
            self.set_state(stack, "LOADING")
        for tile_id in stale:
            self._request("DELETE", self._stack(stack, "tile", tile_id))

    def _stack_problems(self, receipt: StackReceipt) -> list[str]:
        if (self.owner, self.project) != (receipt.owner, receipt.project):
            return [
                f"the receipt is of {receipt.owner}/{receipt.project}, "
                f"the config names {self.owner}/{self.project}"
            ]
        try:
            found = self.stack_metadata(receipt.stack)
        except StackNotFound:
            return ["it does not exist"] if receipt.tile_count else []
        return receipts.differences(receipt, found)
