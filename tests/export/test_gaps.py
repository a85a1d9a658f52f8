"""Layers of an export that were not imaged are named in the volumes themselves."""

import json
from pathlib import Path

import pytest

from scripts.export import close_export, gaps
from scripts.lib import files
from scripts.lib.volumes import metadata
from scripts.lib.volumes.multiscale import Target
from tests.export import test_export_jobs as jobs
from tests.export.synthetic import publish

IMAGED = [z for z in jobs.LAYERS if z not in (7, 15, 16)]
IN_Z = {"z_correction": True, "fill_gaps": "interpolate"}


def shown(z, *layers, shares=()):
    return {"z": z, "layers": list(layers), "shares": list(shares)}


FILLED = [
    shown(7, 6, 8, shares=(0.5, 0.5)),
    shown(15, 14, 17, shares=(0.6667, 0.3333)),
    shown(16, 14, 17, shares=(0.3333, 0.6667)),
]


@pytest.fixture
def planned(workdir):
    publish(workdir, IMAGED)
    jobs.coordinates(IMAGED)
    return jobs.plan()


def test_each_layer_in_a_gap_is_listed_with_what_it_is_mixed_of(planned):
    assert gaps.filled(planned, "zcorr/Zcoords.txt", IN_Z) == FILLED
    left = gaps.filled(planned, "zcorr/Zcoords.txt", IN_Z | {"fill_gaps": "leave"})
    assert left == [shown(z) for z in (7, 15, 16)]


def test_a_volume_without_gaps_has_none(planned):
    jobs.coordinates(jobs.LAYERS)
    assert gaps.filled(planned, "zcorr/Zcoords.txt", IN_Z) == []


def test_both_volumes_say_which_of_their_layers_were_not_imaged(planned):
    for chunk in jobs.CHUNKS:
        jobs.slab(chunk)
    jobs.pyramid()
    close_export.main(
        plan="export/plan.json",
        slab_records=[f"export/slabs/{chunk}.json" for chunk in jobs.CHUNKS],
        pyramid="export/pyramid.json",
        out="export/volume.json",
        volume="v",
        **jobs.VIEWER,
        coordinates="zcorr/Zcoords.txt",
        in_z=IN_Z,
    )
    assert files.read_json("export/volume.json")["filled"] == FILLED
    n5 = json.loads(Path("v.n5/em/fibsem-uint8/attributes.json").read_text())
    assert n5["filledLayers"] == FILLED
    assert n5["axes"] == ["x", "y", "z"]
    ome = json.loads(Path("v.zarr/recon-1/em/fibsem-uint8/.zattrs").read_text())
    assert ome["filledLayers"] == FILLED
    assert ome["multiscales"]


@pytest.mark.parametrize("format_name", ["n5", "zarr", "zarr3"])
def test_attributes_are_set_in_every_format_and_all_else_stays(planned, format_name):
    codec = "gzip" if format_name == "n5" else "zstd"
    dataset = ("" if format_name == "n5" else "recon-1/") + "em/fibsem-uint8"
    unit = (1, 2, 1) if format_name == "zarr3" else (1, 1, 1)
    target = Target(format_name, "other", dataset, codec, 3, unit)
    metadata.create(target, planned.spec, {"kept": 1}, consolidated=True)
    metadata.annotate(target, {"filledLayers": [3]})
    names = {"n5": ["attributes.json"], "zarr": [".zattrs", ".zmetadata"], "zarr3": ["zarr.json"]}
    for name in names[format_name]:
        document = files.read_json(target.group / name)
        inner = {".zmetadata": ("metadata", ".zattrs"), "zarr.json": ("attributes",)}
        for key in inner.get(name, ()):
            document = document[key]
        assert (document["kept"], document["filledLayers"]) == (1, [3])
