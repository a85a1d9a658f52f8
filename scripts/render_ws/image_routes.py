"""Routes of spec render-ws 3.1: pictures of boxes, layers and tiles.

The pictures are made by `images`, imported at the first request only: a service without the image
libraries still serves all metadata.
"""

from __future__ import annotations

from flask import Blueprint

from scripts.render_ws.web import OWNER, STACK, take_stack

image = Blueprint("image", __name__, url_prefix=STACK)
image.url_value_preprocessor(take_stack)
owner_image = Blueprint("owner_image", __name__, url_prefix=OWNER)
