"""The pictures of the documents: `python -m docs.site.pictures --help` says which, and of what."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import zarr
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

IMAGES = Path(__file__).resolve().parents[1] / "images"
Pixels = NDArray[np.uint8]
ZOOM = 2  # pixels of the picture for a voxel


def section_as_acquired(work: Path, y_px: int) -> Pixels:
    """Return (z, x) of the first tile of each layer, at its stage position."""
    rows = []
    for path in sorted(work.glob("h5/align/**/*.uint8.h5")):
        with h5py.File(path) as layer:
            tile = min(layer)
            rows.append((int(layer[tile].attrs["FirstX"]), layer[tile]["mipmap.0"][0, y_px]))
    start, width = min(x for x, _ in rows), len(rows[0][1])
    section = np.zeros((len(rows), width + max(x for x, _ in rows) - start), np.uint8)
    for z, (x, row) in enumerate(rows):
        section[z, x - start : x - start + width] = row
    return section


def exported(work: Path) -> zarr.Array:
    """Return the voxels (z, y, x) of the finished volume."""
    group = min(work.glob("*.zarr/recon-1/em/fibsem-uint8"))
    return zarr.open_array(group / "s0", mode="r")


def before_after(work: Path) -> None:
    """Draw a section across the layers before and after, and an exported layer, side by side."""
    volume = exported(work)
    depth, height, width = volume.shape
    after = np.asarray(volume[:, height // 2])
    before = section_as_acquired(work, height // 2)
    wide = min(140, width, before.shape[1])
    cut = [middle(each, wide) for each in (before, after)]
    layer = middle(np.asarray(volume[depth // 2]), wide + 56)[:depth]
    words = [
        "as acquired: across the layers",
        "after: the same section",
        "after: one exported layer",
    ]
    beside(IMAGES / "before-after.png", [*cut, layer], words)


def middle(picture: Pixels, width: int) -> Pixels:
    """Return the middle columns."""
    start = (picture.shape[1] - width) // 2
    return picture[:, max(0, start) : max(0, start) + width]


def beside(path: Path, pictures: list[Pixels], words: list[str]) -> None:
    """Write pictures beside each other, each over its words."""
    large = [Image.fromarray(p.repeat(ZOOM, 0).repeat(ZOOM, 1)) for p in pictures]
    gap, size = (
        14,
        (sum(p.width for p in large) + 14 * (len(large) - 1), max(p.height for p in large) + 26),
    )
    sheet = Image.new("L", size, 255)
    x = 0
    for picture, text in zip(large, words, strict=True):
        sheet.paste(picture, (x, 0))
        ImageDraw.Draw(sheet).text((x, picture.height + 8), text, fill=0)
        x += picture.width + gap
    sheet.save(path, optimize=True)


def symptoms(source: Path) -> None:
    """Show what faults look like, put into a real volume by hand."""
    with h5py.File(source) as file:
        volume = file["volume"][:120, :120, :160]
    made: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        "jitter": _jitter, "jump": _jump, "seam": _seam, "hole": _hole, "repeat": _repeat,
        "z": _uneven, "curtain": _curtain,
    }  # fmt: skip
    for name, spoil in made.items():
        Image.fromarray(spoil(volume)).resize((320, 240)).save(
            IMAGES / f"symptom-{name}.png", optimize=True
        )


def _jitter(volume: Pixels) -> Pixels:
    shifts = np.random.default_rng(1).normal(0, 2, 120).round().astype(int)
    return np.stack([np.roll(row, s) for row, s in zip(volume[:, 60], shifts, strict=True)])


def _jump(volume: Pixels) -> Pixels:
    section = volume[:, 60].copy()
    section[70:] = np.roll(section[70:], 9, axis=1)
    return section


def _seam(volume: Pixels) -> Pixels:
    layer = volume[60].copy()
    layer[:, 80:] = np.roll(layer[:, 80:], 6, axis=0)
    return layer


def _hole(volume: Pixels) -> Pixels:
    layer = volume[60].copy()
    layer[40:, 90:] = 0
    return layer


def _repeat(volume: Pixels) -> Pixels:
    section = volume[:, 60].copy()
    section[50:64] = section[50]
    return section


def _uneven(volume: Pixels) -> Pixels:
    z = np.arange(120) + 5 * np.sin(np.arange(120) / 8)
    return ndimage.map_coordinates(
        volume[:, 60], np.meshgrid(z, np.arange(160), indexing="ij"), order=1, mode="nearest"
    )


def _curtain(volume: Pixels) -> Pixels:
    stripes = ndimage.gaussian_filter1d(np.random.default_rng(2).normal(0, 45, 160), 1.2)
    return np.clip(volume[60] + stripes[None], 0, 255).astype(np.uint8)


def anybodys(report: Path) -> str:
    """Return a report with the places of this computer exchanged for those of an example."""
    folder = report.resolve().parents[1]
    text = report.read_text(encoding="utf-8")
    known = re.search(r"cd (\S+) &amp;&amp; (\S+) -m scripts", text)
    told = {str(folder): "/data/demo"}
    if known:
        told |= {known[2]: ".venv/bin/python", known[1]: "/home/me/fibsem-render"}
    for here, there in told.items():
        text = text.replace(here, there)
    return text


def screens(work: Path) -> None:
    """Take the first screen of a report, as Chromium shows it."""
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))))
    with tempfile.TemporaryDirectory() as folder:
        shot, page = Path(folder, "report.png"), Path(folder, "report.html")
        page.write_text(anybodys(work / "report/index.html"), encoding="utf-8")
        subprocess.run(
            [
                browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                f"--user-data-dir={folder}/profile", "--window-size=1100,900",
                "--virtual-time-budget=8000",
                "--blink-settings=preferredColorScheme=1", f"--screenshot={shot}",
                page.as_uri(),
            ],
            check=True, capture_output=True,
        )  # fmt: skip
        picture = Image.open(shot).convert("RGB")
        picture.quantize(64).save(IMAGES / "report.png", optimize=True)


def main() -> None:
    """Write the pictures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--before-after", type=Path, metavar="WORK", help="folder of `make real-single`"
    )
    parser.add_argument("--symptoms", type=Path, metavar="H5", help="volume of FIB-25")
    demo = "finished folder of `make demo`: build/demo"
    parser.add_argument("--screens", type=Path, metavar="WORK", help=demo)
    asked = parser.parse_args()
    for make, source in (
        (before_after, asked.before_after),
        (symptoms, asked.symptoms),
        (screens, asked.screens),
    ):
        if source:
            make(source)


if __name__ == "__main__":
    main()
