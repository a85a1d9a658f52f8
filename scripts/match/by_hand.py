"""Write what it takes to match two tiles by hand: both pictures, and landmarks to start from.

``python -m scripts.match.by_hand CONFIG MOVING FIXED`` draws two tiles of the stack ``v1_acquire``
(ids, as the gate and the report name them) as PNG, each in its matching frame: after the scan
correction, before the stage position. Matches that the pair has already become landmarks. In Fiji:
*Plugins › BigDataViewer › Big Warp*, MOVING as moving picture, FIXED as target; save the landmarks,
and put the lines that the command prints into the config (docs/match-by-hand.md).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import yaml

from scripts.lib import flow, landmarks, schema, yaml_files
from scripts.lib.drawing import compose
from scripts.lib.files import write_bytes, write_text
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import CanvasMatches, TileSet, TileSpec
from scripts.match import set_aside, sift
from scripts.match.frames import Frame

ROOT = Path(__file__).resolve().parents[2]
STACK = "v1_acquire"
SIDE_PX = 2048  # longer side of a picture, where no scale is given
MOST = 20  # landmarks to start from
FOUND, SAVED = "from_matches.csv", "landmarks.csv"


def write(
    client: RenderClient,
    collection: str,
    ids: Sequence[str],
    folder: Path,
    *,
    scale: float | None = None,
) -> str:
    """Write both pictures and, where the pair has matches, landmarks made of them.

    Parameters
    ----------
    client
        The service.
    collection
        Name of the match collection.
    ids
        Tiles: moving, fixed.
    folder
        Where to; ``landmarks.csv`` in it is never touched.
    scale
        Picture px per full-scale px; None: the longer side has at most `SIDE_PX`.

    Returns
    -------
    str
        What was written, and the lines of the config.

    Raises
    ------
    UserError
        When the stack does not have these tiles.
    """
    tiles, ends = _tiles(client, ids)
    side = max(max(tile.width, tile.height) for tile in ends)
    how = scale or 1 / (1 << ((side - 1) // SIDE_PX).bit_length())
    for role, tile in zip(("moving", "fixed"), ends, strict=True):
        picture, _ = compose.canvas(tiles, tile, scale=how)
        _, png = cv2.imencode(".png", sift.byte_image(picture, 0.0))
        write_bytes(folder / f"{role}_{tile.tile_id}.png", png.tobytes())
    said = [f"{folder}: moving_{ids[0]}.png, fixed_{ids[1]}.png, scale {how:g}"]
    found = _matches(client, collection, ends)
    if found is None:
        said.append("the pair has no match to start from")
    else:
        frames = [Frame.of(tiles, tile, how) for tile in ends]
        chosen = landmarks.spread(found.p, MOST)
        places = [
            f.to_picture(xy[chosen]) for f, xy in zip(frames, (found.p, found.q), strict=True)
        ]
        write_text(folder / FOUND, landmarks.text(*places))
        said.append(f"{FOUND}: {len(chosen)} of the pair's {len(found.w)} matches to start from")
    said += [f"save the landmarks as {SAVED} there, then add to the config:", ""]
    return "\n".join([*said, _lines(ids, folder / SAVED, how)])


def _tiles(client: RenderClient, ids: Sequence[str]) -> tuple[TileSet, list[TileSpec]]:
    """Return the tiles with these ids, and the transforms that they share."""
    found: dict[str, TileSet] = {}
    for part in client.parts(STACK):
        for tile in part.tiles:
            if tile.tile_id in ids:
                found[str(tile.tile_id)] = TileSet((tile,), part.shared)
        if len(found) == len(set(ids)):
            break
    for tile_id in ids:
        if tile_id not in found:
            raise UserError(f"there is no tile {tile_id} in the stack {STACK}")
    return TileSet.merged(found.values()), [found[tile_id].tiles[0] for tile_id in ids]


def _matches(
    client: RenderClient, collection: str, ends: Sequence[TileSpec]
) -> CanvasMatches | None:
    """Return the matches of a pair, p the first tile; those set aside where it has no others."""
    p, q = ends
    for name in (collection, set_aside.name(collection)):
        for one in client.matches_between(name, p.section_id, q.section_id):
            if {one.p_id, one.q_id} == {p.tile_id, q.tile_id} and len(one.w):
                return one if one.p_id == p.tile_id else _turned(one)
    return None


def _turned(one: CanvasMatches) -> CanvasMatches:
    return CanvasMatches(one.q_group, one.q_id, one.p_group, one.p_id, one.q, one.p, one.w)


def _lines(ids: Sequence[str], path: Path, scale: float) -> str:
    entry = {
        "moving": ids[0],
        "fixed": ids[1],
        "landmarks": str(path),
        "scale": scale,
        "reason": "say why",
    }
    return yaml.safe_dump({"match": {"by_hand": [entry]}}, sort_keys=False, width=1000)


def _client(config: Mapping[str, Any], work: Path) -> RenderClient:
    """Return the client of a volume's service, which is there."""
    render = config["render"]
    os.environ.setdefault("RENDER_WS_TOKEN_FILE", render["token_file"])
    url = os.environ.get("RENDER_WS_URL", render["url"])
    if not url:  # the embedded service of the volume
        database = work / "render-ws.db"
        if not database.is_file():
            raise UserError(f"{database}: not there yet; ingest has to run before there are tiles")
        url = f"sqlite:///{database}"
    return RenderClient(render["owner"], render["project"], base_url=url)


def _run(asked: argparse.Namespace) -> str:
    config = yaml_files.read(asked.config)
    schema.validate(config, yaml_files.read(ROOT / "config" / "schema.yaml"))
    work = Path(flow.resolved(ROOT, config["work_dir"]) or "")
    ids = [asked.moving, asked.fixed]
    if asked.moving == asked.fixed:
        raise UserError(f"expected two tiles, found {asked.moving} twice")
    folder = (asked.out or work / "match" / "by_hand" / "__".join(ids)).resolve()
    client = _client(config, work)
    try:
        collection = f"{config['render']['project']}_v1"
        return write(client, collection, ids, folder, scale=asked.scale)
    finally:
        client.close()


def _scale(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected more than 0 and at most 1, found {text}")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Write pictures and landmarks; 1 when they cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.match.by_hand", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("config", type=Path, help="YAML of the volume")
    parser.add_argument("moving", help="id of a tile: the moving picture")
    parser.add_argument("fixed", help="id of a tile: the target")
    parser.add_argument("--out", type=Path, help="folder; else one of the pair in match/by_hand")
    parser.add_argument(
        "--scale", type=_scale, help=f"picture px per px; else longer sides have {SIDE_PX} at most"
    )
    try:
        sys.stdout.write(_run(parser.parse_args(argv)))
    except (UserError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
