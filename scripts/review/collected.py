"""Collected: everything the review knows, put together, and what follows from it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scripts.lib.files import digest, read_table
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import CollectionReceipt, digests
from scripts.lib.service.records import CanvasMatches, TileSpec
from scripts.review import bridges, edges, exchanged, order, outcome, patches, statistics, suspects
from scripts.review.clusters import Net, net_of_ids
from scripts.review.decisions import Decided, as_yaml, decide, without_idle_bridges
from scripts.review.patches import Place
from scripts.review.replacements import entry_of
from scripts.review.suspects import DAMAGED, Verdict

Row = Mapping[str, str]


@dataclass(frozen=True)
class Settings:
    """What a person decided (config section ``review``)."""

    auto: bool
    exclude: Sequence[Mapping[str, Any]]
    keep: Sequence[Mapping[str, Any]]
    patch: Sequence[Mapping[str, Any]]
    bridge: Sequence[Mapping[str, Any]]
    bridge_from_layers: int
    bridge_window_layers: int


@dataclass(frozen=True, eq=False)
class Files:
    """What the stages before left in files."""

    verdicts: Mapping[str, Verdict]
    pairs: statistics.Pairs
    proposed: list[dict[str, str]]  # patches, all
    applied: list[dict[str, str]]  # patches, those that are made
    patch_results: list[dict[str, str]]
    inputs: Mapping[str, str]  # digests
    flips: Sequence[float]  # layers at which the contrast flips

    @staticmethod
    def read(inputs: Mapping[str, Any], limits: suspects.Limits) -> Files:
        """Read the inputs of the job.

        Parameters
        ----------
        inputs
            Paths by name: survey, results, proposed, applied, patch_results.
        limits
            Thresholds of verdicts.

        Returns
        -------
        Files
            Their contents.
        """
        looked = [row for path in _paths(inputs["survey"]) for row in read_table(path)]
        results = _paths(inputs.get("patch_results", ()))
        return Files(
            verdicts=suspects.verdicts(looked, limits),
            pairs=statistics.read(_paths(inputs["results"])),
            proposed=read_table(inputs["proposed"]),
            applied=read_table(inputs["applied"]),
            patch_results=[row for path in results for row in read_table(path)],
            inputs=digests([*results, inputs["applied"]]),
            flips=suspects.contrast_flips(looked),
        )

    def confirmed(self, net: Net) -> Files:
        """Return the same with pairs that count as saved only where the collection has them.

        Parameters
        ----------
        net
            Tiles, and the pairs of the collection.

        Returns
        -------
        Files
            Pairs that a person dropped after they were saved are saved no more.
        """
        ids = [tile.tile_id for tile in net.tiles]
        return replace(self, pairs=statistics.confirmed(self.pairs, ids, net.p, net.q))


def _paths(value: str | Path | Iterable[str | Path]) -> list[str | Path]:
    return [value] if isinstance(value, (str, Path)) else list(value)


@dataclass(frozen=True, eq=False)
class Joined:
    """All tiles with the patches that hold in place of others, and what joins them."""

    net: Net
    at: Mapping[Place, TileSpec]
    patches: list[dict[str, Any]]  # rows of `outcome.PATCH_COLUMNS`
    collections: tuple[str, str]
    acquired: Sequence[TileSpec] = ()  # without patches

    @property
    def invalid(self) -> list[str]:
        """Return the ids of tiles whose spec cannot be placed.

        Returns
        -------
        list of str
            In the order of the net's tiles.
        """
        return [tile.tile_id for tile in self.net.tiles if not _valid(tile)]


def _valid(tile: TileSpec) -> bool:
    """Tell whether a tile has a size, a finite place that is not empty, and an image."""
    box = tile.bounds
    if box is None or tile.width < 1 or tile.height < 1 or not tile.image_url:
        return False
    return bool(np.isfinite(box).all() and box[2] > box[0] and box[3] > box[1])


def collect(client: RenderClient, stack: str, collections: tuple[str, str], files: Files) -> Joined:
    """Read tiles and pairs from the service, and put the patches that hold into their places.

    Parameters
    ----------
    client
        The service.
    stack
        The acquired stack.
    collections
        Match collections: of the acquired tiles, and of patches.
    files
        What the stages before left in files.

    Returns
    -------
    Joined
        Tiles, pairs and patches.
    """
    acquired = patches.places(client.tiles(stack).tiles)
    saved = [row for row in files.patch_results if row["saved"] == "1"]
    rows = [{**row, "state": "failed"} for row in files.applied]
    matched = patches.partners(saved)
    for row in rows:
        if patches.settled(row, matched):
            row["state"] = "patched"
    now = patches.patched(acquired, [row for row in rows if row["state"] == "patched"])
    made = {patches.place_of(row) for row in rows}
    rows += [
        {**row, "state": "proposed"} for row in files.proposed if patches.place_of(row) not in made
    ]
    of_patches = ((row["p_id"], row["q_id"]) for row in saved)
    ids = itertools.chain(client.match_ids(collections[0]), of_patches)
    net = net_of_ids(list(now.values()), ids)
    rows.sort(key=patches.place_of)
    return Joined(net, now, rows, collections, list(acquired.values()))


@dataclass(frozen=True, eq=False)
class Concluded:
    """The tables and documents of the review."""

    gaps: list[dict[str, Any]]
    patches: list[dict[str, Any]]
    bridges: list[dict[str, Any]]
    tiles: list[dict[str, Any]]
    proposals: str
    figures: dict[str, Any]
    receipt: CollectionReceipt


def conclude(
    client: RenderClient, joined: Joined, files: Files, config: Settings, *, collection: str
) -> Concluded:
    """Decide, bridge, and close the review's collection.

    Parameters
    ----------
    client
        The service.
    joined
        Tiles and what joins them.
    files
        What the stages before left in files.
    config
        What a person decided.
    collection
        The match collection of patches and bridges, which is written.

    Returns
    -------
    Concluded
        Everything that is to be written.
    """
    net, verdicts = joined.net, files.verdicts
    decided = decide(net, config.exclude, auto=config.auto, verdicts=verdicts, keep=config.keep)
    gaps = edges.gaps(net, decided.gone)
    asked = bridges.requests(gaps, config.bridge, auto=config.auto, least=config.bridge_from_layers)
    derived = list(_derive(client, joined, gaps, asked, config.bridge_window_layers))
    edges.mark(gaps, [row for _, row in derived])
    receipt = _close(client, collection, files, [pair for pair, _ in derived], config)
    gone = {t.tile_id for t, out in zip(net.tiles, decided.gone, strict=True) if out}
    replaced = {row["replaces"] for row in joined.patches if row["state"] == "patched"}
    reasons = {r["tile_id"]: _patch_reason(r) for r in joined.patches if r["state"] == "patched"}
    figures = outcome.figures(
        net, decided, verdicts,
        attempted=len(files.pairs) + files.pairs.repeated,  # rows, of which the plan has as many
        saved=statistics.saved_counts(files.pairs, gone | replaced),
        patches=joined.patches, derived=len(derived),
    )  # fmt: skip
    figures["invalid_tiles"] = [i for i in joined.invalid if i not in gone]
    figures["contrast_flips"] = list(files.flips)
    figures["order"] = order.find(files.pairs, order.likeness_of(joined.acquired))
    figures["spoilt_tiles"] = _undecided(joined, decided, verdicts, config)
    figures["dead_tiles"] = [i for i in figures["spoilt_tiles"] if verdicts[i].is_dead]
    damaged = {name for name, verdict in verdicts.items() if verdict.kind == DAMAGED} - gone
    figures["exchanged"] = exchanged.find(joined.acquired, damaged)
    return Concluded(
        gaps, joined.patches, [row for _, row in derived],
        list(outcome.per_tile(net, decided, verdicts, reasons)),
        _proposals(joined, decided, verdicts, gaps, config), figures, receipt,
    )  # fmt: skip


def _patch_reason(row: Mapping[str, Any]) -> str:
    return f"patch from {row['source_id']}: {row['reason']}"


def _undecided(
    joined: Joined, decided: Decided, verdicts: Mapping[str, Verdict], config: Settings
) -> list[str]:
    """Return the ids of damaged tiles that go into the solve without anybody having said so.

    A tile without signal cannot be kept: a bridge may place it, but its grey values would go into
    the corrections, and into the overlaps with its neighbours.
    """
    kept = decide(joined.net, config.keep, auto=False).gone
    out: list[str] = []
    for tile, gone, stays in zip(joined.net.tiles, decided.gone, kept, strict=True):
        verdict = verdicts.get(tile.tile_id)
        if verdict is None or verdict.kind != DAMAGED or gone:
            continue
        if verdict.is_dead or not stays:
            out.append(tile.tile_id)
    return out


def _derive(
    client: RenderClient,
    joined: Joined,
    gaps: Sequence[Mapping[str, Any]],
    asked: Sequence[bridges.Request],
    window: int,
) -> Iterator[tuple[CanvasMatches, dict[str, Any]]]:
    records: dict[str, dict[tuple[str, str], CanvasMatches]] = {}

    def matches(a: TileSpec, b: TileSpec) -> CanvasMatches | None:
        group = a.section_id
        if group not in records:
            found = (client.matches_between(name, group, group) for name in joined.collections)
            records[group] = {(one.p_id, one.q_id): one for some in found for one in some}
        ids = (a.tile_id, b.tile_id)
        return records[group].get(ids) or records[group].get(ids[::-1])

    for request in asked:
        missing = edges.layers_of(gaps, request.edge)
        yield from bridges.bridge(request, joined.at, matches, window=window, missing=missing)


def _close(
    client: RenderClient,
    collection: str,
    files: Files,
    derived: Sequence[CanvasMatches],
    config: Settings,
) -> CollectionReceipt:
    """Store the derived matches, drop what is stale, and give the receipt."""
    names = ("p_group", "p_id", "q_group", "q_id")
    saved = {tuple(row[n] for n in names) for row in files.patch_results if row["saved"] == "1"}
    wanted = saved | {pair.key for pair in derived}
    client.put_matches(collection, derived)
    for group in client.p_groups(collection):
        for *key, _ in client.match_keys(collection, group):
            if tuple(key) not in wanted:
                client.delete_pair(collection, (key[0], key[1], key[2], key[3]))
    planned = len(files.patch_results) + len(derived)
    receipt = CollectionReceipt(
        owner=client.owner,
        collection=collection,
        pairs_planned=planned,
        pairs_saved=len(wanted),
        pairs_failed=planned - len(wanted),
        digest=digest([sorted(map(list, wanted)), [pair.to_json() for pair in derived]]),
        inputs=files.inputs,
        params={
            "bridge_from_layers": config.bridge_from_layers,
            "bridge_window_layers": config.bridge_window_layers,
        },
    )
    client.require(receipt)
    return receipt


def _proposals(
    joined: Joined,
    decided: Decided,
    verdicts: Mapping[str, Verdict],
    gaps: Sequence[Mapping[str, Any]],
    config: Settings,
) -> str:
    by_hand = {(entry["cell"], float(entry["z"])) for entry in config.patch}
    suggested = [entry_of(row) for row in joined.patches if row["state"] != "failed"]
    patch = [entry for entry in suggested if (entry["cell"], entry["z"]) not in by_hand]
    waiting = {row["replaces"] for row in joined.patches if row["state"] == "proposed"}
    exclude = outcome.proposed(joined.net, decided, verdicts, waiting)
    bridge = (
        {
            "cells": [f"{g['row_a']},{g['column_a']}", f"{g['row_b']},{g['column_b']}"],
            "z_first": float(g["z_first"]),
            "z_last": float(g["z_last"]),
            "reason": f"{g['layers']} layers without a match across this edge",
        }
        for g in gaps
        if g["layers"] >= config.bridge_from_layers
    )
    return as_yaml(exclude, patch, without_idle_bridges(list(bridge), exclude))
