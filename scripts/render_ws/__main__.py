"""Serve the embedded render-ws over HTTP on this machine: ``python -m scripts.render_ws serve``.

Beside it, at ``/files``, the volumes below a folder (with CORS and ranges), for local viewers.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import waitress

from scripts.render_ws import web
from scripts.render_ws.app import create_app

log = logging.getLogger("render_ws")
_HOST = "localhost"  # never another: there is no access control
_THREADS = 8


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.render_ws", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve a database and volumes over HTTP on loopback")
    serve.add_argument("--db", required=True, help="SQLite file, made when it does not exist")
    serve.add_argument("--port", type=int, default=8080, help="TCP port, 0 for any free one")
    serve.add_argument("--files", help="folder of the volumes; the database's own when not given")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until interrupted; the first log line tells the base URL."""
    arguments = _arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    folder = Path(arguments.files or Path(arguments.db).parent)
    app = create_app(arguments.db, files=folder)
    server = waitress.create_server(
        app, host=_HOST, port=arguments.port, ipv6=False, threads=_THREADS
    )
    address = f"http://{_HOST}:{server.effective_port}"
    log.info("serving %s at %s%s", arguments.db, address, web.ROOT)
    log.info("volumes below %s at %s/files", folder, address)
    server.run()


if __name__ == "__main__":
    main()
