"""Modules of the project as if somebody had changed them."""

from contextlib import contextmanager
from unittest import mock

from scripts.lib import provenance


@contextmanager
def other_code(*modules):
    """Let the meaning of `modules`, as ``scripts/match/block.py``, be another."""
    real = provenance._read

    def read(path):
        digest, names = real(path)
        changed = path.relative_to(provenance.ROOT).as_posix() in modules
        return ("changed" if changed else digest), names

    with mock.patch.object(provenance, "_read", read):
        provenance.made_through.cache_clear()
        yield
    provenance.made_through.cache_clear()
