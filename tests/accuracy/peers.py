"""Another aligner on the same pixels: pystackreg, a chain of pairs, for one tile in a layer."""

import warnings

import cv2
import h5py
import numpy as np
from pystackreg import StackReg

from scripts.lib import files, geometry
from scripts.lib import truth as truths

# all that can turn; of these the report names the best against the truth, which no user could
MODELS = {name: getattr(StackReg, name) for name in ("RIGID_BODY", "SCALED_ROTATION", "AFFINE")}


def stackreg(work, truth):
    """Give the errors of the best chain; None when there is nothing to align."""
    names, images = pictures(work, truth)
    if len(images) < 2:
        return None
    scores = {}
    for name, model in MODELS.items():
        affines = chain(images, model, left_px(truth))
        found = truths.score(truth, {"tiles": dict(zip(names, affines, strict=True))})
        scores[name] = {kind: named(found[kind]) for kind in ("relative", "absolute")}
    best = min(scores, key=lambda name: scores[name]["relative"]["rms_px"])
    return {"model": best} | scores[best]


def named(spread):
    return {"rms_px": spread["rms"], "max_px": spread["max"]}


def pictures(work, truth):
    """Give the truth's tile ids and the 8-bit tiles, without the distortion of the scan."""
    found = {}
    for row in files.read_table(work / "ingest/layers.tsv"):
        path = work / row["align_h5"]
        if row["align_h5"] and path.exists():
            with h5py.File(path) as file:
                stamp = "_".join(row["layer_id"].split("_")[-2:])
                found[f"{stamp}_0-0-0"] = straight(file["0-0-0"]["mipmap.0"][0], truth)
    known = {tile["tile_id"] for tile in truth["tiles"]}
    found = {name: image for name, image in found.items() if name in known}
    low = min((image.shape[0] for image in found.values()), default=0)
    return list(found), [image[:low] for image in found.values()]


def straight(image, truth):
    """Draw a raw tile at corrected columns; a pixel lies at its column plus `left_px`."""
    a, b, c, d = truth["parameters"]["scan"]
    raw = np.linspace(0, image.shape[1] - 1, 8 * image.shape[1])
    at = np.interp(
        np.arange(left_px(truth), image.shape[1]),
        raw + a * np.exp(-raw / b) + c * np.exp(-raw / d),
        raw,
    )
    x, y = np.meshgrid(at.astype(np.float32), np.arange(image.shape[0], dtype=np.float32))
    return cv2.remap(image.astype(np.float32), x, y, cv2.INTER_CUBIC)


def left_px(truth):
    """Give the corrected column of the first raw one, rounded up."""
    return int(np.ceil(truth["parameters"]["scan"][0] + truth["parameters"]["scan"][2]))


def chain(images, model, left=0):
    """Register each image to the one before; give corrected pixels to world as six numbers."""
    with warnings.catch_warnings():  # it guesses which axis is time, wrongly for still stacks
        warnings.simplefilter("ignore")
        found = StackReg(model).register_stack(np.stack(images), reference="previous")
    origin = geometry.translation(-left, 0)
    # theirs lead from the first image to each, ours from each to the first
    return [
        geometry.to_wire(geometry.compose(geometry.invert(matrix[:2]), origin)) for matrix in found
    ]
