"""A finished volume that is spoilt anywhere is never called good; one that is not spoilt is.

Some of the 200 spoilings of `make bench` (tests/benchmarks/test_bench_trust.py), one of each kind.
"""

import dataclasses

import pytest

from scripts.lib.verdicts import GOOD
from tests.bad_volumes import spoil
from tests.bad_volumes.finished import SMALL, Finished
from tests.bad_volumes.spoil import KINDS

FEW = dataclasses.replace(SMALL, layers=8, restart_layer=5, seed=11)


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    return Finished(tmp_path_factory.mktemp("finished"), FEW)


def test_what_is_not_spoilt_is_good(volume):
    figures, _ = volume.judged(volume.start)
    assert figures["verdict"] == {"state": GOOD, "reasons": []}


@pytest.mark.parametrize("seed", range(len(KINDS)), ids=[kind.__name__ for kind in KINDS])
def test_what_is_spoilt_is_told_in_the_first_line_with_its_place(volume, seed):
    spoilt = spoil.spoil(volume, 1000 + seed - 1000 % len(KINDS))
    figures, _ = volume.judged(spoilt.state)
    reasons = figures["verdict"]["reasons"]
    assert spoil.fault(spoilt, reasons) == "", (spoilt.what, reasons[:1])
