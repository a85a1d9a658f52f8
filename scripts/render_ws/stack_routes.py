"""Routes of the service, its owners and stacks."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Response, request

from scripts.render_ws import matches, model, stacks, tiles
from scripts.render_ws.errors import BadRequest, NotFound, ServiceError
from scripts.render_ws.model import Json
from scripts.render_ws.parameters import FILTER_LISTS
from scripts.render_ws.stacks import StackKey
from scripts.render_ws.tiles import Region
from scripts.render_ws.web import (
    ROOT,
    STACK,
    answer,
    body,
    created,
    done,
    flag,
    number,
    numbers,
    plain,
    reading,
    required_body,
    stack_key,
    store,
    take_stack,
)

service = Blueprint("service", __name__, url_prefix=ROOT)
stack = Blueprint("stack", __name__, url_prefix=STACK)
stack.url_value_preprocessor(take_stack)
SERVER_PROPERTIES = {"service": "embedded render-ws", "tileSpec.filterSpec": "kept"}
_RESOLUTIONS = ("stackResolutionX", "stackResolutionY", "stackResolutionZ")


# -- the service and its owners ----------------------------------------------------------------


@service.get("likelyUniqueId")
def likely_unique_id() -> Response:
    """Return a token of 24 hexadecimal digits."""
    return plain(secrets.token_hex(12))


@service.get("versionInfo")
def version_info() -> Response:
    """Return nothing: there is no build information."""
    return answer(None)


@service.get("serverProperties")
def server_properties() -> Response:
    """Say what this service is and keeps, for clients that ask before they send much."""
    return answer(SERVER_PROPERTIES)


@service.get("namedFilterSpecLists")
def named_filter_lists() -> Response:
    """Return the filters that pictures may ask for by name."""
    return answer({"namedFilterSpecLists": FILTER_LISTS})


@service.delete("imageProcessorCache/allEntries")
def empty_image_cache() -> Response:
    """Do nothing: images are not kept."""
    return done()


@service.get("owners")
@reading
def owners(db: sqlite3.Connection) -> object:
    """Return all owners of stacks."""
    return stacks.owners(db)


@service.get("matchCollectionOwners")
@reading
def match_collection_owners(db: sqlite3.Connection) -> object:
    """Return all owners of match collections."""
    return matches.owners(db)


@service.get("owner/<owner>/matchCollections")
@reading
def match_collections(db: sqlite3.Connection, owner: str) -> object:
    """Return the match collections of an owner with their sizes."""
    return matches.listing(db, owner)


@service.get("owner/<owner>/projects")
@reading
def projects(db: sqlite3.Connection, owner: str) -> object:
    """Return the projects of an owner."""
    return stacks.projects(db, owner)


@service.get("owner/<owner>/stackIds")
@service.get("owner/<owner>/project/<project>/stackIds")
@reading
def stack_ids(db: sqlite3.Connection, owner: str, project: str | None = None) -> object:
    """Return the ids of the stacks of an owner or project."""
    return [s.key._asdict() for s in stacks.listing(db, owner, project)]


@service.get("owner/<owner>/stacks")
@service.get("owner/<owner>/project/<project>/stacks")
@reading
def stack_list(db: sqlite3.Connection, owner: str, project: str | None = None) -> object:
    """Return the metadata of the stacks of an owner or project."""
    return [s.metadata() for s in stacks.listing(db, owner, project)]


# -- one stack ---------------------------------------------------------------------------------


@stack.get("")
@reading
def get_stack(db: sqlite3.Connection) -> object:
    """Return the metadata of a stack."""
    return stacks.find(db, stack_key()).metadata()


@stack.post("")
def post_stack() -> Response:
    """Make a stack, or a new version of it."""
    version = model.stack_version(body())
    with store().writing() as db:
        stacks.save_version(db, stack_key(), version)
    return created()


@stack.delete("")
def delete_stack() -> Response:
    """Remove a stack with all it has."""
    with store().writing() as db:
        stacks.delete(db, stack_key())
    return done()


@stack.put("state/<state>")
def put_state(state: str) -> Response:
    """Change the state of a stack."""
    if state not in model.STACK_STATES:
        raise NotFound(f"{state!r} is no stack state")
    with store().writing() as db:
        changed = stacks.set_state(db, stack_key(), state)
    if not changed:
        raise ServiceError(
            "Stack data aggregation returned no results because the stack has no tiles"
        )
    return created()


@stack.put("cloneTo/<target>")
def clone_to(target: str) -> Response:
    """Copy a stack, or some of its layers, into another one."""
    key = stack_key()
    made = StackKey(key.owner, request.args.get("toProject") or key.project, target)
    model.check_stack_names(*made)
    value = body()
    with store().writing() as db:
        stacks.find(db, key)
        stacks.clone(
            db,
            key,
            made,
            model.stack_version(value),
            z_values=numbers("z"),
            skip_transforms=flag("skipTransforms"),
        )
    return created()


@stack.put("stackId")
def put_stack_id() -> Response:
    """Rename a stack."""
    value = model.mapping(required_body("stack id"))
    try:
        target = StackKey(*(model.text(value[name]) for name in StackKey._fields))
    except KeyError as error:
        raise BadRequest(f"the stack id has no {error.args[0]}") from error
    model.check_stack_names(*target)
    with store().writing() as db:
        stacks.rename(db, stack_key(), target)
    return done()


@stack.get("bounds")
def get_bounds() -> Response:
    """Return the bounds of a stack that has statistics."""
    with store().reading() as db:
        found = stacks.find(db, stack_key())
    if found.stats is None:
        raise BadRequest(f"bounds of stack {found.key} are not known, it is {found.state}")
    return answer(found.stats["stackBounds"])


@stack.get("tileIds")
@reading
def get_tile_ids(db: sqlite3.Connection) -> object:
    """Return the ids of all tiles."""
    region = Region(z_min=number("minZ"), z_max=number("maxZ"))
    return tiles.ids(db, stack_key(), region, request.args.get("matchPattern"))


# -- single fields of the version --------------------------------------------------------------


def _version() -> Json:
    with store().reading() as db:
        return stacks.find(db, stack_key()).version


def _change(**changes: Any) -> Response:  # noqa: ANN401 - any field
    with store().writing() as db:
        found = stacks.find(db, stack_key())
        stacks.update_version(db, found, model.changed_version(found.version, **changes))
    return done()


def _resolution(version: Json) -> list[Any]:
    return [version.get(name) for name in _RESOLUTIONS]


def _changed_resolution() -> Json:
    """Read nm per pixel in x, y, z; a shorter list changes the first ones only."""
    values = [model.double(v) for v in model.sequence(required_body("resolution values"))]
    return dict(zip(_RESOLUTIONS, values, strict=False))


def _changed_mipmap_builder() -> Json:
    return {"mipmapPathBuilder": model.mipmap_builder(required_body("mipmap path builder"))}


_CYCLE = {"number": "cycleNumber", "stepNumber": "cycleStepNumber"}


def _cycle(version: Json) -> Json:
    return {name: version[field] for name, field in _CYCLE.items() if field in version}


def _changed_cycle() -> Json:
    value = model.mapping(required_body("cycle"))
    found = ((field, value.get(name)) for name, field in _CYCLE.items())
    return {field: None if item is None else model.integer(item) for field, item in found}


# path: fields of the version, how they are shown, how a request changes them
_FIELDS: dict[str, tuple[Sequence[str], Callable[[Json], object], Callable[[], Json]]] = {
    "resolutionValues": (_RESOLUTIONS, _resolution, _changed_resolution),
    "mipmapPathBuilder": (
        ["mipmapPathBuilder"],
        lambda version: version.get("mipmapPathBuilder"),
        _changed_mipmap_builder,
    ),
    "cycle": (list(_CYCLE.values()), _cycle, _changed_cycle),
}


def _field_routes(
    path: str, names: Sequence[str], shown: Callable[[Json], object], changed: Callable[[], Json]
) -> None:
    def get() -> Response:
        value = shown(_version())
        return plain(value) if isinstance(value, str) else answer(value)

    def put() -> Response:
        return _change(**changed())

    def delete() -> Response:
        return _change(**dict.fromkeys(names))

    for view, method in ((get, "GET"), (put, "PUT"), (delete, "DELETE")):
        does = {"GET": "Return", "PUT": "Set", "DELETE": "Remove"}[method]
        view.__doc__ = f"{does} `{path}` of a stack's version."
        stack.add_url_rule(path, f"{method} {path}", view, methods=[method])


def _text_field(name: str) -> None:
    def changed() -> Json:
        return {name: request.get_data(as_text=True) or None}

    _field_routes(name, [name], lambda version: version.get(name), changed)


for _path, _how in _FIELDS.items():
    _field_routes(_path, *_how)
for _path in ("materializedBoxRootPath", "defaultChannel"):
    _text_field(_path)
