"""File URLs: quoted once, read back as they were, and parsed by RFC 3986."""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.lib.drawing import pixels
from scripts.lib.files import file_url, path_of_url

NASTY = "my vol {x} (ü) it's #1 20%FBS?"
# RFC 3986, 3.3: what the path of a URL is made of
PATH = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-F]{2})*")
NAMES = st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name)


@pytest.mark.parametrize(
    "path",
    [
        "/groups/lab/vol_demo-1/h5/align/M-1/2024/03/07/10/M-1_24-03-07_101112.uint8.h5",
        "h5/align/a.uint8.h5",
        "/a~b/c=d/e+f,g/h(i)/j@k:l&m",
    ],
)
def test_an_ordinary_path_is_not_changed(path):
    assert file_url(path) == f"file://{path}"
    assert path_of_url(f"file://{path}?dataSet=/0-0-0/mipmap.0&z=0") == path


@given(NAMES)
def test_any_name_is_read_back_and_fits_the_grammar(name):
    for path in (os.fsdecode(b"/work/" + name), os.fsdecode(name)):
        url = file_url(path)
        assert path_of_url(f"{url}?dataSet=/0-0-0/mipmap.0&z=0") == path
        assert PATH.fullmatch(url.removeprefix("file://"))


def test_a_parser_of_urls_sees_one_path_and_the_query():
    parts = urlsplit(f"{file_url('/' + NASTY)}?dataSet=/0-0-0/mipmap.0&z=0")
    assert (parts.scheme, parts.netloc, parts.fragment) == ("file", "", "")
    assert parts.query == "dataSet=/0-0-0/mipmap.0&z=0"
    assert path_of_url(parts.path) == f"/{NASTY}"


@pytest.mark.parametrize("relative", [False, True])
def test_the_image_of_such_a_path_is_read(tmp_path, monkeypatch, relative):
    folder = tmp_path / NASTY
    folder.mkdir()
    image = np.arange(48, dtype=np.uint8).reshape(1, 6, 8)
    with h5py.File(folder / "a%20b.h5", "w") as file:
        file["0-0-0/mipmap.0"] = image
    monkeypatch.chdir(tmp_path)
    path = Path(NASTY if relative else folder, "a%20b.h5")
    url = f"{file_url(path)}?dataSet=/0-0-0/mipmap.0&z=0"
    assert pixels.image_path(url) == path
    assert np.array_equal(pixels.read_image(url), image[0])
