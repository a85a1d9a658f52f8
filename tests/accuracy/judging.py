"""What a run is worth: its errors against the truth, and what its report named, missed and made up.

Places are sets of layers of the truth. A z of the result is brought back to them by the time stamp
in its layer id, so that layers in a wrong order are told from layers that lie wrong.
"""

import re

import numpy as np

from scripts.lib import files
from scripts.lib import truth as truths
from scripts.lib.verdicts import GOOD

WRONG_PX = 1.0  # a step from a layer to the next one that a person sees: it has to be named
TRUE_PX = 0.5  # from here on a finding at a step is true
UNSURE = 0.9  # of the error of equal thickness: a result that is no better knows nothing
MOST = 12  # layers of a place that is meant to be everywhere
Z = re.compile(r"\bz ((?:\d+(?:(?:-| to )\d+)?(?:, )?)+)")
RUN = re.compile(r"(\d+)(?:(?:-| to )(\d+))?")
STAMP = re.compile(r"\d\d-\d\d-\d\d_\d{6}")
SPREADS = {"rms_px", "max_px"}


def row(work, truth, entry, *, stopped):
    """Give figures, verdict and findings of a run; `stopped` is its last message when it ended."""
    truth = without_damage(truth, entry)
    told, state = verdict(work, stopped)
    figures = figures_of(work, truth)
    layers = Layers(work, truth)
    steps = {k: px for k, px in steps_of(work, truth).items() if layers.neighbours(k)}
    must, may = (places_of(entry.get(kind, ()), truth) for kind in ("must", "may"))
    expected = {"must": must, "may": may, "says": entry.get("says", "")}
    found = judged(told, [*told, *quietly_named(work)], layers, steps, **expected)
    found["false"] = [one for one in found["false"] if not rightly_unsure(one, figures)]
    return figures | {
        "verdict": state,
        "findings": told,
        **found,
        "silent": state == GOOD and figures.get("relative", {}).get("max_px", 0) > WRONG_PX,
    }


def without_damage(truth, entry):
    """Give the truth with damaged layers as corrupt: they show nothing, so none is lost."""
    if "damaged" not in entry.get("must", ()):
        return truth
    gone = set().union(*places("damaged", truth))
    tiles = [
        tile | {"corrupt": {"kind": "damaged"}} if tile["layer"] in gone else tile
        for tile in truth["tiles"]
    ]
    return truth | {"tiles": tiles}


def rightly_unsure(text, figures):
    """Tell whether a finding says of all layers that thickness is not known, and it is not."""
    z, nominal = figures.get("z"), figures.get("nominal", {}).get("z")
    if not z or not nominal or not text.startswith("zcorr: all layers"):
        return False
    return z["rms_layers"] > UNSURE * nominal["rms_layers"]


def judged(told, named, layers, steps, *, must, may, says=""):
    """Give what is false of what was told, and which places and steps nothing names."""
    true = [{k, k + 1} for k, px in steps.items() if px > TRUE_PX]

    def missing(place, pattern=""):
        right = [text for text in named if re.search(pattern, text)]
        return not any(met(layers.of(text), [place]) for text in right)

    return {
        "false": [text for text in told if not met(layers.of(text), [*must, *may, *true])],
        "missed": [
            f"layer {spelt(place)}{says and f' ({says})'}" for place in must if missing(place, says)
        ],
        "unnamed": [
            f"layer {k} to {k + 1}: {px:.1f} px"
            for k, px in sorted(steps.items())
            if px > WRONG_PX and missing({k, k + 1})
        ],
    }


def spelt(place):
    return f"{min(place)}" if len(place) == 1 else f"{min(place)} to {max(place)}"


# ---- figures ---------------------------------------------------------------------------------


def solved(work):
    """Give the affines of a run by the truth's tile ids; None when it was not solved."""
    path = work / "solve/transforms.json.gz"
    return truths.solved_tiles(files.read_json(path)["tiles"]) if path.exists() else None


def figures_of(work, truth):
    """Give the errors of a run, beside those of the stage positions of the same tiles."""
    path, depth = work / "solve/transforms.json.gz", work / "zcorr/Zcoords.txt"
    if not path.exists():
        return {}
    found = truths.figures(
        truth,
        transforms=files.read_json(path)["tiles"],
        layers=layer_ids(work),
        corrected=truths.read_z_coords(depth) if depth.exists() else None,
    )
    out = {kind: spread(found.get(kind)) for kind in ("relative", "absolute", "seams")}
    out |= {"tiles_missing": found["tiles_missing"], "z": found.get("z")}
    nominal = found["nominal"]
    return out | {
        "nominal": {kind: spread(nominal.get(kind)) for kind in ("relative", "absolute")}
        | {"z": nominal.get("z")}
    }


def spread(figures):
    return figures and {name: value for name, value in figures.items() if name in SPREADS}


def steps_of(work, truth):
    """Give the largest error, px, of the step from each layer of the truth to the next one."""
    affines = solved(work)
    if affines is None:
        return {}
    out = {}
    for (layer, _row, _column), px in truths.step_errors(truth, affines).items():
        out[layer] = max(px, out.get(layer, 0.0))
    return out


def layer_ids(work):
    path = work / "ingest/layers.tsv"
    rows = files.read_table(path) if path.exists() else []
    return [(int(row["z"]), row["layer_id"]) for row in rows]


# ---- what was said ---------------------------------------------------------------------------


def verdict(work, stopped):
    """Give the findings that count and the state of the whole; those of a run that stopped too."""
    path = work / "report/summary.json"
    if stopped and not path.exists():
        return [" ".join(stopped.split())], "stopped"
    found = files.read_json(path)["verdict"] if path.exists() else {"reasons": [], "state": None}
    before = [" ".join(stopped.split())] if stopped else []
    return [*before, *found["reasons"]], found["state"]


def quietly_named(work):
    """Give what the report says of single tiles without a change of verdict: unread, replaced."""
    path, tiles = work / "report/summary.json", work / "review/tiles.tsv"
    unread = files.read_json(path)["transfer"].get("quarantined", []) if path.exists() else []
    said = [f"{one['layer_id']}: tile {one['tile_key']} unreadable" for one in unread]
    rows = files.read_table(tiles) if tiles.exists() else []
    # of a patch the reason names the layer it was taken from as well
    return said + [
        f"z {one['z']}: {one['state']}, {STAMP.sub('', one['reason'])}"
        for one in rows
        if one["state"] != "ok"
    ]


class Layers:
    """The layers of the truth that a text names by their z or by their time."""

    def __init__(self, work, truth):
        number = {layer["stamp"]: layer["layer"] for layer in truth["layers"]}
        self.by_stamp = number
        self.by_z = {
            z: number[stamp]
            for z, name in layer_ids(work)
            for stamp in STAMP.findall(name)
            if stamp in number
        }
        self.z_of = {layer: z for z, layer in self.by_z.items()}

    def of(self, text):
        """Give the layers that a text names; none: it is about all of them."""
        found = {self.by_stamp.get(stamp) for stamp in STAMP.findall(text)}
        for words in Z.findall(text):
            for first, last in RUN.findall(words):
                found |= {self.by_z.get(z) for z in range(int(first), int(last or first) + 1)}
        return found - {None}

    def neighbours(self, layer):
        """Tell whether a layer and the next one of the truth follow one another in the result."""
        z = self.z_of.get(layer), self.z_of.get(layer + 1)
        return None not in z and abs(z[1] - z[0]) == 1


# ---- where -----------------------------------------------------------------------------------


def places_of(kinds, truth):
    return [place for kind in kinds for place in places(kind, truth)]


def places(kind, truth):
    """Give the places that a word of `stresses.yaml` stands for, as sets of layers."""
    count = len(truth["layers"])
    middle = count // 2
    if kind == "damaged":
        return [set(range(middle, middle + int(truth["stress"][0].partition(":")[2])))]
    if kind == "sparse":
        return [_sparse(truth, count)]
    if kind == "corrupt":
        return [{tile["layer"]} for tile in truth["tiles"] if tile["corrupt"]]
    return {
        "middle": [{middle - 1, middle}],
        "layer": [{middle - 1, middle, middle + 1}],
        "join": [{0, middle - 1, middle, count - 1}],
        "later": [set(range(middle - 1, count))],
        "all": [set(range(count))],
    }[kind]


def _sparse(truth, count):
    """Give the layers in which a disc of tissue that grows is less than a quarter of the tile."""
    growth, side = float(truth["stress"][0].partition(":")[2]), truth["parameters"]["tile_width"]
    radius = [20 + growth * layer for layer in range(count)]
    return {k for k, r in enumerate(radius) if np.pi * r**2 < side**2 / 4} | {0}


def met(layers, wanted):
    """Tell whether what is said of some layers is at one of the places.

    What names no layer is said of all of them, and is right where most may be named.
    """
    return any(layers & place if layers else len(place) >= MOST for place in wanted)
