"""Records of transforms as they travel to and from render-ws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Leaf:
    """One transform: class name and data string of its mpicbg class."""

    class_name: str
    data: str
    id: str | None = None
    labels: tuple[str, ...] = ()

    def to_json(self) -> Json:
        """Return the wire form.

        Returns
        -------
        dict
            JSON values under the names of the service.
        """
        out: Json = {"type": "leaf", "className": self.class_name, "dataString": self.data}
        if self.id is not None:
            out = {"type": "leaf", "id": self.id} | out
        if self.labels:
            out["metaData"] = {"labels": list(self.labels)}
        return out


@dataclass(frozen=True)
class Ref:
    """A reference to a shared transform of the stack."""

    id: str

    def to_json(self) -> Json:
        """Return the wire form.

        Returns
        -------
        dict
            JSON values under the names of the service.
        """
        return {"type": "ref", "refId": self.id}


Spec = Leaf | Ref


def transforms_from_json(value: Json) -> list[Spec]:
    """Read a transform spec; a list is spliced.

    Parameters
    ----------
    value
        Wire form: a leaf, a reference or a list.

    Returns
    -------
    list of Leaf or Ref
        First applied first.

    Raises
    ------
    ValueError
        For a type this project does not know.
    """
    kind = value.get("type", "leaf")
    if kind == "leaf":
        labels = tuple((value.get("metaData") or {}).get("labels") or ())
        return [Leaf(value["className"], value["dataString"], value.get("id"), labels)]
    if kind == "ref":
        return [Ref(value["refId"])]
    if kind == "list":
        return [leaf for item in value.get("specList", ()) for leaf in transforms_from_json(item)]
    raise ValueError(f"transform type {kind!r} is not known (leaf, ref, list)")
