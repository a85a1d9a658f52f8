"""The service whose stacks and matches are taken over: that of the volume, or another one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from scripts.lib.service.client import RenderClient
from scripts.lib.service.session import TAKEOVER_URL


def client(source: Mapping[str, Any]) -> RenderClient:
    """Return a client that reads what is taken over.

    Parameters
    ----------
    source
        Section ``takeover.render`` of the config: owner, project.

    Returns
    -------
    RenderClient
        Of the service that the environment variable ``RENDER_WS_TAKEOVER_URL`` names, which the
        Snakefile sets by ``takeover.render.url``; empty: the volume's own. Another one is read
        without the token of ``render.token_file``, a file of an embedded one without the right to
        write.
    """
    url, whose = os.environ.get(TAKEOVER_URL), (source["owner"], source["project"])
    return RenderClient(*whose, base_url=url, foreign=True) if url else RenderClient(*whose)
