"""A place that cannot be written: a file system that is full, or read-only, in truth."""

import errno
import subprocess
from pathlib import Path

import pytest

from scripts.export import disk
from scripts.lib.job import UserError
from tests.export import kills, test_parts
from tests.export.synthetic import publish
from tests.export.test_export_jobs import coordinates


def mount(*options):
    done = subprocess.run(["mount", *options], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system of its own: {done.stderr.strip()}")


@pytest.fixture
def small(workdir):
    """Give the size of a file system for one container of the volume; ready for the export."""
    publish(workdir, range(3, 12))
    coordinates(range(3, 12))
    mounted = []

    def make(container, size):
        folder = Path("out") / container
        folder.mkdir(parents=True)
        mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
        mounted.append(folder.absolute())
        return str(folder.absolute())

    yield make
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(("form", "container"), [("n5", "v.n5"), ("zarr3", "v.v3.zarr")])
def test_a_full_or_read_only_target_is_one_message_and_the_export_goes_on(small, form, container):
    settings = kills.SETTINGS | {"formats": [form]}
    folder = small(container, "80k")
    with pytest.raises(
        UserError, match=r"cannot be written: No space left on device\..*same command again"
    ):
        test_parts.export("out", again=True, **settings)
    mount("-o", "remount,size=8m", folder)
    mount("-o", "remount,ro", folder)
    with pytest.raises(UserError, match=r"cannot be written: Read-only file system\."):
        test_parts.export("out", again=True, **settings)
    mount("-o", "remount,rw", folder)
    test_parts.export("out", again=True, **settings)
    found = {name.removeprefix("out/"): data for name, data in kills.content().items()}
    test_parts.export("undisturbed", **settings)
    whole = [path for path in Path("undisturbed").glob("v.*/**/*") if path.is_file()]
    assert found == {str(p.relative_to("undisturbed")): p.read_bytes() for p in whole}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_what_a_person_can_mend_is_told_and_what_not_is_an_error(code):
    with pytest.raises(UserError, match="v/s0/1 cannot be written"), disk.reported():
        raise OSError(code, "?", "v/s0/1")
    with pytest.raises(UserError, match="No space left"), disk.reported():
        raise ValueError("RESOURCE_EXHAUSTED: Error writing [os_error_code='28']")
    with pytest.raises(ValueError, match="shapes"), disk.reported():
        raise ValueError("shapes differ")
