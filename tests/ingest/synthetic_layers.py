"""Layers as ingest reads them, without files."""

from datetime import datetime, timedelta

from scripts.ingest.align import Layer, Tile
from scripts.lib.names import DatName, LayerName

START = datetime(2021, 5, 20, 12, 0, 0)
FIELDS = {
    "XResolution": 100, "YResolution": 80, "PixelSize": 8.0, "EightBit": 0, "ChanNum": 2,
    "SWdate": "07/31/2021", "StageX": 1.0, "StageY": 2.0, "StageZ": 3.0, "StageR": 4.0, "WD": 3.4,
}  # fmt: skip


def make_tile(name, row, column, *, levels=4, **fields):
    values = FIELDS | {"FirstX": 90 * column - 5, "FirstY": 70 * row} | fields
    values = {k: v for k, v in values.items() if v is not None}
    shape = (1, values["YResolution"], values["XResolution"])
    return Tile(DatName(name, 0, row, column), values, shape, levels)


def make_layers(gaps_s, *, cells=((0, 0),), change=None, acquired=None):
    """Layers with z = 1, 2 … after `gaps_s`; `change` is z -> fields of all its tiles."""
    time, layers = START, []
    for z, gap in enumerate(gaps_s, start=1):
        time += timedelta(seconds=gap)
        name = LayerName("M-1", time.strftime("%y-%m-%d_%H%M%S"))
        fields = (change or {}).get(z, {})
        tiles = {f"0-{r}-{c}": make_tile(name, r, c, **fields) for r, c in cells}
        count = (acquired or {}).get(z, len(tiles))
        layers.append(Layer(z, name, f"h5/{z}.h5", (), count, tiles))
    return layers
