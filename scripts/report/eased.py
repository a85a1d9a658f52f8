"""Eased: limits and gates that a volume's config has made wider than the schema's defaults.

A verdict that was reached by wider limits is reported with them, so that *good* means the same in
every report, or says that it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]
_PAIR = {"look", "not_good"}
# places that a person accepted as they are: any is more than the default, which is none
ACCEPTED = ("solve.misalignment.accept", "zcorr.accept_layers")
# limits whose names do not say so: the greater value is wider
_WIDER = (
    "transfer.max_bad_share",
    "solve.misalignment.look_px",
    "solve.misalignment.stop_px",
    "solve.misalignment.unconfirmed_pct",
    "zcorr.gate_problem_pct",
    "report.limits.least",
)


def eased(config: Json, schema: Json) -> list[str]:
    """Say which limits of a config are wider than their defaults.

    Parameters
    ----------
    config
        Of the volume, with its defaults.
    schema
        ``config/schema.yaml``.

    Returns
    -------
    list of str
        A line for each, in the order of the schema.
    """
    lines = [_line(*each) for each in _limits(config, schema)]
    for key in ACCEPTED:
        if count := len(_at(config, key) or ()):
            lines.append(f"{count} accepted by {key} (default none)")
    return [line for line in lines if line]


def _line(key: str, value: float | None, default: float | None, wider: bool) -> str:  # noqa: FBT001
    if value is None or default is None or value == default:
        return ""
    if (value > default) != wider:
        return ""  # stricter
    word = "raised" if value > default else "lowered"
    return f"limit {key} {word} to {value:g} (default {default:g})"


def _limits(config: Json, schema: Json) -> Iterator[tuple[str, Any, Any, bool]]:
    """Yield key, value, default and direction of every limit: gates, and those of the verdict."""
    for key in _WIDER:
        yield key, _at(config, key), _default(schema, key), True
    review = schema["properties"]["review"]["properties"]
    for name, entry in review.items():
        if entry.get("description", "").startswith("Gate ") or name == "max_contrast_flips":
            yield f"review.{name}", config["review"][name], entry["default"], name[:4] == "max_"
    limits = schema["properties"]["report"]["properties"]["limits"]["properties"]
    for name, entry in limits.items():
        sides = entry.get("properties", {})
        if sides.keys() >= _PAIR:
            greater = sides["look"]["default"] < sides["not_good"]["default"]
            for side in ("look", "not_good"):
                value = config["report"]["limits"][name][side]
                yield f"report.limits.{name}.{side}", value, sides[side]["default"], greater


def _at(config: Json, key: str) -> Any:  # noqa: ANN401 - any value of a config
    value: Any = config
    for name in key.split("."):
        value = value[name]
    return value


def _default(schema: Json, key: str) -> Any:  # noqa: ANN401
    entry: Any = schema
    for name in key.split("."):
        entry = entry["properties"][name]
    return entry.get("default")
