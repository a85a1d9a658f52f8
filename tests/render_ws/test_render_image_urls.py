"""Which file the URL of an image names."""

import pytest

from scripts.lib.files import file_url
from scripts.render_ws import image_urls
from scripts.render_ws.errors import BadRequest


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/d/a 1.tif", "/d/a 1.tif"),
        ("d/50%.tif", "d/50%.tif"),
        ("file:/d/a%201.tif", "/d/a 1.tif"),
        ("file:///d/a.tif", "/d/a.tif"),
        ("file://h5/align/a.h5?dataSet=/0-0-0/mipmap.0&z=0", "h5/align/a.h5"),
        (file_url("/d/x y?#%.tif"), "/d/x y?#%.tif"),
    ],
)
def test_the_file_of_a_url(url, path):
    assert image_urls.path_of(url) == path


@pytest.mark.parametrize("url", ["http://host/a.tif", "s3://bucket/a.tif", "mask:x", "a:b"])
def test_others_are_refused(url):
    with pytest.raises(BadRequest, match="only files"):
        image_urls.path_of(url)


@pytest.mark.parametrize("relative", [True, False])
def test_a_data_set_is_there_when_its_file_is(tmp_path, monkeypatch, relative):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.h5").write_bytes(b"x")
    url = f"{file_url('a.h5' if relative else tmp_path / 'a.h5')}?dataSet=/v&z=0"
    image_urls.check(url)
    with pytest.raises(BadRequest, match="absent"):
        image_urls.check(url.replace("a.h5", "b.h5"))
    image_urls.check("mask://outside-box?minX=1")
