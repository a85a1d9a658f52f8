"""The embedded render-ws: ``python -m scripts.render_ws serve|backup|restore|copy|operations``.

`serve` answers over HTTP on loopback, to be read only unless ``--write`` is given; beside it, at
``/files``, the volumes below a folder (with CORS and ranges), for local viewers. `backup` and
`restore` copy the database while it is in use, `copy` copies stacks and match collections from one
service to another, `operations` lists what the service can do (docs/render-ws.md).
"""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import waitress

from scripts.lib.job import UserError
from scripts.render_ws import access, backups, copying, operations, served_links, web
from scripts.render_ws.app import create_app
from scripts.render_ws.store import Store

log = logging.getLogger("render_ws")
_HOST = "localhost"  # another one only with a token (`access`)
_THREADS = 8
_BACKLOG = 1024  # connections that wait to be taken: 200 jobs may begin at the same moment
_CONNECTIONS = 2000  # at one time; clients keep theirs open between requests
_MAX_BODY_BYTES = 1 << 28  # 5,000 tiles, a client's batch, are some tens of MB


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.render_ws", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve a database and volumes over HTTP on loopback")
    serve.add_argument("--port", type=_port, default=8080, help="TCP port, 0 for any free one")
    serve.add_argument("--files", help="folder of the volumes; the database's own when not given")
    serve.add_argument(
        "--write", action="store_true", help="let clients change stacks; make --db where absent"
    )
    serve.add_argument(
        "--host",
        default=_HOST,
        help="name or address to listen at; one that other machines reach needs --token-file",
    )
    serve.add_argument(
        "--token-file",
        type=Path,
        help="file with the token that every request must have; made when it is not there",
    )
    serve.add_argument(
        "--host-name",
        action="append",
        default=[],
        help="another name by which clients that write call this service (a tunnel, a proxy)",
    )
    backup = commands.add_parser("backup", help="copy a database, in use or not, into one file")
    backup.add_argument("--to", type=Path, required=True, help="the copy; must not be there yet")
    restore = commands.add_parser("restore", help="put a backup's content into a database")
    restore.add_argument("--from", dest="source", type=Path, required=True, help="the backup")
    _copy_arguments(commands.add_parser("copy", help="copy stacks and match collections"))
    commands.add_parser("operations", help="print the table of all operations")
    for command in (serve, backup, restore):
        command.add_argument("--db", type=Path, required=True, help="SQLite file of the service")
    return parser.parse_args(argv)


def _copy_arguments(copy: argparse.ArgumentParser) -> None:
    place = "base URL of a render-ws (http://host:port/render-ws/v1), or an embedded one's file"
    copy.add_argument("source", metavar="FROM", help=place)
    copy.add_argument("target", metavar="TO", help=f"{place}, made when it is not there")
    copy.add_argument("--owner", required=True, help="owner in both services")
    copy.add_argument("--project", required=True, help="project in both services")
    copy.add_argument("--stack", action="append", default=[], help="name of a stack")
    copy.add_argument("--collection", action="append", default=[], help="a match collection's name")
    copy.add_argument(
        "--all",
        action="store_true",
        help="all finished stacks and match collections of the project",
    )
    for name in ("from", "to"):
        copy.add_argument(f"--{name}-token-file", type=Path, help="file with the token it asks for")


def _port(text: str) -> int:
    if text.isdecimal() and int(text) < 1 << 16:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is no TCP port (0 to 65535)")


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the command line says; a fault that a person mends is one line."""
    arguments = _arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        _COMMANDS[arguments.command](arguments)
    except UserError as error:
        sys.exit(str(error))


def _serve(arguments: argparse.Namespace) -> None:
    """Serve until interrupted or ended; the first log line tells the base URL."""
    database: Path = arguments.db
    token = _token(arguments)
    folder = Path(arguments.files or database.parent)
    if not arguments.write and not database.exists() and served_links.volumes(folder, ""):
        log.info("there is no database %s: volumes and their reports alone are served", database)
    else:
        _check(database, write=arguments.write)
    names = access.LOOPBACK | {name.lower() for name in arguments.host_name}
    app = create_app(database, files=folder, writable=arguments.write, hosts=names, token=token)
    server = _server(app, arguments.host, arguments.port)
    address = f"http://{arguments.host}:{server.effective_port}"
    may = "to be read and written" if arguments.write else "to be read only"
    log.info("serving %s at %s%s (%s)", database, address, web.ROOT, may)
    log.info("volumes below %s at %s/files", folder, address)
    for one in served_links.volumes(folder, address):
        for form, link in one.links:
            log.info("to open %s (%s) in a browser: %s", one.name, form, link)
    log.info("volumes and their reports in a browser: %s", address)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # 200 jobs wait their turn
    signal.signal(signal.SIGTERM, _end)
    server.run()  # to a signal, after which requests under way are finished
    if arguments.write and not backups.checkpoint(database):
        log.info("%s is in use elsewhere: keep %s-wal beside it", database, database.name)


def _token(arguments: argparse.Namespace) -> str | None:
    """Return the token of the service; None for one on loopback that has none."""
    if arguments.token_file is not None:
        token = access.token_of(arguments.token_file)
        log.info("requests need the token in %s", arguments.token_file)
        return token
    if arguments.host not in access.LOOPBACK:
        raise UserError(
            f"--host {arguments.host}: other machines reach it, so requests must have a token:"
            " add --token-file FILE (made when it is not there)"
        )
    return None


def _check(database: Path, *, write: bool) -> None:
    """Stop before anything is served when the database cannot be used."""
    if not write or (database.is_file() and database.stat().st_size):  # else to be made
        backups.check(database, whole=False)
    if write:
        with backups.faults_explained(database):
            store = Store(database)
            store.try_to_write()
            store.close()


def _server(app: Any, host: str, port: int) -> Any:  # noqa: ANN401 - waitress has no types
    try:
        listening = socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        remedy = "end what listens there, or add --port 0 and open the address that is printed then"
        raise UserError(f"port {port} of {host}: {error.strerror}; {remedy}") from error
    return waitress.create_server(
        app,
        sockets=[listening],
        threads=_THREADS,
        max_request_body_size=_MAX_BODY_BYTES,
        connection_limit=_CONNECTIONS,
        backlog=_BACKLOG,
    )


def _end(*_: object) -> NoReturn:
    raise SystemExit(0)


def _backup(arguments: argparse.Namespace) -> None:
    backups.backup(arguments.db, arguments.to)
    log.info("%s holds what %s held", arguments.to, arguments.db)


def _restore(arguments: argparse.Namespace) -> None:
    kept = backups.restore(arguments.db, arguments.source)
    log.info("%s holds what %s holds", arguments.db, arguments.source)
    if kept is not None:
        log.info("what it held before is kept in %s", kept)


def _copy(arguments: argparse.Namespace) -> None:
    if "://" not in arguments.source and not Path(arguments.source).is_file():
        raise UserError(f"there is no database {arguments.source}")
    source, target = (
        copying.Service(
            place,
            arguments.owner,
            token=None if file is None else access.token_of(file),
            writable=writable,
        )
        for place, file, writable in (
            (arguments.source, arguments.from_token_file, False),
            (arguments.target, arguments.to_token_file, True),
        )
    )
    stacks, collections = arguments.stack, arguments.collection
    if arguments.all:
        stacks, collections = copying.everything(source, arguments.project)
    if not stacks and not collections:
        raise UserError("nothing to copy: name a --stack or a --collection, or --all")
    names = {"stacks": stacks, "collections": collections}
    for done in copying.copy(source, target, arguments.project, **names):
        log.info(
            "%s: %d in both, %d sent, digest %s", done.name, done.count, done.sent, done.digest
        )
    if target.database is not None:
        backups.checkpoint(target.database)  # the file alone holds all


def _operations(_: argparse.Namespace) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in operations.table()))


_COMMANDS = {
    "serve": _serve,
    "backup": _backup,
    "restore": _restore,
    "copy": _copy,
    "operations": _operations,
}

if __name__ == "__main__":
    main()
