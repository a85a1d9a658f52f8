"""Digests of layers: what a chunk reads of them, and what it does not."""

import os

import pytest

from scripts.lib import files, layer_digests
from scripts.lib.service import receipts
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE


def tile(z, column, image, x=0.0):
    chain = (Leaf(AFFINE, f"1 0 0 1 {x} 0"),)
    return TileSpec(f"{z}-{column}", float(z), 8, 8, f"file://{image}", chain, column=column)


@pytest.fixture
def stack(tmp_path, monkeypatch):
    """Layers 1 to 9 of two tiles, in chunks of three, with a digest of each layer."""
    monkeypatch.chdir(tmp_path)
    rows = [{"chunk": f"{k:04d}", "z_first": 3 * k + 1, "z_last": 3 * k + 3} for k in range(3)]
    files.write_table("chunks.tsv", ("chunk", "z_first", "z_last"), rows)
    for z in range(1, 10):
        (tmp_path / f"{z}.h5").write_bytes(b"image")
    return {z: [tile(z, column, tmp_path / f"{z}.h5") for column in (0, 1)] for z in range(1, 10)}


def listed(stack, per_part=5):
    tiles = [one for each in stack.values() for one in each]
    parts = (TileSet(tuple(tiles[i : i + per_part])) for i in range(0, len(tiles), per_part))
    layer_digests.write("layers.tsv", receipts.digests_seen(parts))
    return [
        layer_digests.of_chunk("layers.tsv", "chunks.tsv", f"{k:04d}", before=1, after=2)
        for k in range(3)
    ]


def test_a_chunk_changes_with_the_layers_that_it_reads_and_no_others(stack):
    before = listed(stack)
    assert listed(stack, per_part=4) == before  # a layer may come in two parts
    assert len({*before}) == 3
    stack[6] = [tile(6, 0, stack[6][0].image_url.removeprefix("file://"), x=0.5), stack[6][1]]
    after = listed(stack)
    # layer 6 is the last that the first chunk would need to reach: 3 + 2 = 5; and one before 7
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, False, False]


def test_another_image_of_the_same_name_is_seen(stack):
    before = listed(stack)
    os.utime("9.h5", (1, 1))
    assert [a == b for a, b in zip(listed(stack), before, strict=True)] == [True, True, False]


def test_a_layer_more_changes_the_chunks_in_reach(stack):
    last = stack.pop(9)
    before = listed(stack)
    after = listed(stack | {9: last})
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, True, False]


def test_nothing_is_known_before_there_is_a_table(stack):
    assert layer_digests.of_chunk("none.tsv", "chunks.tsv", "0000") == ""
