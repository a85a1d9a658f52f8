"""Viewer links of the volumes that a service gives, at the address where it listens.

The links in `export/volume.json`, which the report shows, are those of `export.data_url`; a service
may listen at another port, because another one has that.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote

RECORD = Path("export/volume.json")
# an address of this computer, as it stands in the state of a link
_LOCAL = re.compile(r"http%3A%2F%2F(?:127\.0\.0\.1|localhost)(?:%3A\d+)?%2Ffiles(?=%2F)")


def links(folder: Path, address: str) -> list[str]:
    """Return the links that open the volumes of a working directory.

    Parameters
    ----------
    folder
        What is served at ``/files``.
    address
        Scheme, host and port of the service.

    Returns
    -------
    list of str
        One for each volume whose link leads to this computer; none before the export.
    """
    try:
        targets = json.loads((folder / RECORD).read_text(encoding="utf-8"))["targets"]
        found = [str(one["neuroglancer"]["link"]) for one in targets]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    here = quote(f"{address}/files", safe="")
    return [_LOCAL.sub(lambda _: here, link) for link in found if _LOCAL.search(link)]
