"""Kinds of results that are kept, and the code that each comes through (`scripts.lib.provenance`).

An old result is kept while its digest of the code is what it was. Each kind names its entry modules
and, beyond what never matters (`provenance.APART`), the modules that cannot change it. Here and
nowhere else it is decided what makes results anew, so keep it narrow where that is honest:

    python -m scripts.lib.made_by WORK_DIR                        what other code made there
    python -m scripts.lib.made_by WORK_DIR --accept KIND DIGEST   keep it
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence

from scripts.lib.job import UserError
from scripts.lib.provenance import Code, accepting, differences

_KEPT = "scripts.lib.kept"  # compares and copies
_GATE = "scripts.ingest.validation"  # lets a stack be published or not; does not change it
_BLOCKS = ("scripts.match.block", "scripts.match.refinement", "scripts.match.levels")
_FEATURES = tuple(
    f"scripts.match.{each}"
    for each in ("sift", "descriptors", "ransac", "agreement", "coverage", "screening")
)
# of a pair its row, and of a stage its settings, are compared themselves; files only finds images
_COMPARED = (
    *(f"scripts.match.{each}" for each in ("pairs", "presets", "stage_files")),
    "scripts.lib.files",
)
_DISK = ("scripts.export.disk", "scripts.export.destination", "scripts.export.journal")
_SERVICE = ("scripts.lib.service.client", "scripts.lib.service.receipts")  # tiles are compared

HEADERS = Code("header_cache", ("scripts.ingest.headers",), ("scripts.lib.files",))
HEADER_TABLE = Code("metadata_cache", ("scripts.ingest.header_table",))
CACHED = Code("headers", ("scripts.ingest.cache_headers",), (_KEPT,))
NUMBERED = Code("layers", ("scripts.ingest.number_layers",), (_KEPT,))
CHECKED = Code("problems", ("scripts.ingest.check_layers",), (_KEPT,), shown=True)
ACQUIRED = Code("acquire", ("scripts.ingest.publish_acquire",), (_GATE,))
RESTART = Code("restart", ("scripts.ingest.publish_restart",))
# point matches of a pair, by the method of a stage; a method that is not here comes through all of
# the stages' imports
MATCHED = {
    "sift": Code("pairs_sift", ("scripts.match.stages",), (*_COMPARED, *_BLOCKS)),
    "block": Code("pairs_block", ("scripts.match.stages",), (*_COMPARED, *_FEATURES)),
    "start_position": Code(
        "pairs_start_position",
        ("scripts.match.stages",),
        (*_COMPARED, *_BLOCKS, *_FEATURES, "scripts.match.canvases"),
    ),
}
SLABS = Code("slabs", ("scripts.export.render_slab",), (*_DISK, *_SERVICE))
CHECKED_SLABS = Code("checked_slabs", ("scripts.export.check_slab",), (_KEPT,))
# of one chunk, while its tiles, images and settings are the same
SURVEY = Code("survey", ("scripts.review.survey_tiles",), (_KEPT, *_SERVICE))
MISALIGNMENT = Code("misalignment", ("scripts.solve.measure_misalignment",), (_KEPT, *_SERVICE))
CORRELATIONS = Code("correlations", ("scripts.zcorr.correlate_layers",), (_KEPT, *_SERVICE))
OVERLAPS = Code("overlaps", ("scripts.correct.measure_overlaps",), (_KEPT, *_SERVICE))
GREY_VALUES = Code("grey_values", ("scripts.export.measure_grey_values",), (_KEPT, *_SERVICE))
PYRAMID = Code("pyramid", ("scripts.export.pyramid",))

KINDS = {
    each.name: each
    for each in (
        *(HEADERS, HEADER_TABLE, CACHED, NUMBERED, CHECKED, ACQUIRED, RESTART),
        *MATCHED.values(),
        *(SLABS, CHECKED_SLABS, PYRAMID, SURVEY, MISALIGNMENT, CORRELATIONS, OVERLAPS),
        GREY_VALUES,
    )
}


def matched(method: str) -> Code:
    """Return what the matches of a method come through.

    Parameters
    ----------
    method
        Of a stage, as stage tables name it.

    Returns
    -------
    Code
        That of `MATCHED`, or one with all that any method comes through.
    """
    return MATCHED.get(method) or Code(f"pairs_{method}", ("scripts.match.stages",), _COMPARED)


def lines() -> Iterator[str]:
    """Say of each kind on record in this working directory whether other code made it.

    Yields
    ------
    str
        What changed, and the command that keeps it.
    """
    for code in KINDS.values():
        before = code.behind()
        if before is not None:
            yield f"{code.name}: made by other code ({differences(before, code.made())})"
            yield f"  to keep it: {accepting(code.name, before.digest)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """List, or accept.

    Parameters
    ----------
    arguments
        Of the command line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m scripts.lib.made_by",
        description="What of a volume other code made, and whether it is kept.",
    )
    parser.add_argument("work_dir", help="working directory of the volume")
    parser.add_argument("--accept", nargs=2, metavar=("KIND", "DIGEST"), help="keep these results")
    given = parser.parse_args(arguments)
    try:
        with contextlib.chdir(given.work_dir):
            if given.accept:
                _accept(*given.accept)
            said = list(lines())
    except (OSError, UserError) as error:
        parser.error(str(error))
    print("\n".join(said) or "Nothing on record here was made by other code.")  # noqa: T201


def _accept(kind: str, digest: str) -> None:
    if kind not in KINDS:
        raise UserError(f"found kind {kind!r}, expected one of: {', '.join(KINDS)}")
    KINDS[kind].accept(digest)


if __name__ == "__main__":
    main()
