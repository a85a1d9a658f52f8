"""The pyramid of a volume that grows: made again where it changed, read back where it was made."""

from pathlib import Path

import numpy as np
import pytest

from scripts.export import build_pyramid, build_span, close_export, pyramid, stored
from scripts.lib import files
from scripts.lib.job import UserError
from tests.export import test_export_jobs as jobs
from tests.export.synthetic import publish

RECORDS = [f"export/slabs/{chunk}.json" for chunk in jobs.CHUNKS]
SPANS = ["export/spans/0000.json", "export/spans/0002.json"]


def build(*, grows):
    for path in (*SPANS, "export/pyramid.json"):
        Path(path).unlink(missing_ok=True)  # as Snakemake does before a job
    for path, records in zip(SPANS, (RECORDS[:2], RECORDS[2:]), strict=True):
        build_span.main(
            plan="export/plan.json",
            slab_records=records,
            out=path,
            span=Path(path).stem,
            grows=grows,
        )
    build_pyramid.main(
        plan="export/plan.json",
        slab_records=[*RECORDS, *SPANS],
        out="export/pyramid.json",
        grows=grows,
    )


def close(*, grows):
    close_export.main(
        plan="export/plan.json",
        slab_records=RECORDS,
        pyramid="export/pyramid.json",
        span_records=SPANS,
        out="export/volume.json",
        volume="v",
        **jobs.VIEWER,
        grows=grows,
    )


@pytest.fixture
def seen(workdir, monkeypatch):
    """Tasks that are made, and records that are read back, since they were cleared."""
    publish(workdir, jobs.LAYERS)
    jobs.coordinates(jobs.LAYERS)
    jobs.plan()
    for chunk in jobs.CHUNKS:
        jobs.slab(chunk)
    made, read = [], []
    one, faults = pyramid._one, stored.faults
    monkeypatch.setattr(pyramid, "_one", lambda *what: made.append(what[2:4]) or one(*what))
    monkeypatch.setattr(stored, "faults", lambda *what: read.extend(what[3]) or faults(*what))
    return made, read


def run(seen, *, grows=True):
    """Build and close; how many tasks were made, and how many records read in each target."""
    made, read = seen
    made.clear()
    read.clear()
    build(grows=grows)
    close(grows=grows)
    return len(made), len(read) // 2


def records():
    return {path: files.read_json(path) for path in (*SPANS, "export/pyramid.json")}


def brighter(x, y, z):
    return np.where(z >= 20, 200.0, jobs.smooth(x, y, z))


def test_a_pyramid_of_the_same_voxels_is_neither_made_nor_read_again(workdir, seen):
    all_of_it = run(seen)
    assert all_of_it[0] == all_of_it[1] > 4
    before, told = jobs.volume_bytes(workdir), records()
    assert run(seen) == (0, 0)
    assert (jobs.volume_bytes(workdir), records()) == (before, told)
    assert run(seen, grows=False) == all_of_it  # imaging has ended
    assert (jobs.volume_bytes(workdir), records()) == (before, told)
    assert run(seen) == all_of_it  # of what was not kept nothing is known


def test_what_a_wave_changes_is_made_and_the_volume_is_that_of_one_run(workdir, seen):
    all_of_it = run(seen)
    publish(workdir, jobs.LAYERS, brighter)
    for chunk in jobs.CHUNKS:
        jobs.slab(chunk)
    some = run(seen)
    assert 0 < some[0] == some[1] < all_of_it[0]
    grown, told = jobs.volume_bytes(workdir), records()
    assert run(seen, grows=False) == all_of_it
    assert (jobs.volume_bytes(workdir), records()) == (grown, told)


def test_a_block_that_is_gone_is_made_again(workdir, seen):
    run(seen)
    before = jobs.volume_bytes(workdir)
    min(Path("v.n5/em/fibsem-uint8/s2").rglob("*/*/*")).unlink()
    assert run(seen) == (1, 1)
    assert jobs.volume_bytes(workdir) == before


def test_a_damaged_block_is_found_at_the_end_and_the_remedy_makes_it_again(workdir, seen):
    all_of_it = run(seen)
    before = jobs.volume_bytes(workdir)
    block = min(Path("v.n5/em/fibsem-uint8/s2").rglob("*/*/*"))
    block.write_bytes(block.read_bytes()[:-4])
    with pytest.raises(UserError, match="Remove export/pyramid.json and export/spans"):
        close(grows=False)
    assert run(seen) == all_of_it
    assert jobs.volume_bytes(workdir) == before


def test_what_a_killed_job_left_is_made_again(workdir, seen, monkeypatch):
    all_of_it = run(seen)
    with monkeypatch.context() as patch:
        patch.setattr(pyramid, "levels", _killed)
        with pytest.raises(KeyboardInterrupt):
            build(grows=True)
    assert 0 < run(seen)[0] < all_of_it[0]  # the other jobs of the pyramid had not begun


def _killed(*_what, **_how):
    raise KeyboardInterrupt
