from __future__ import annotations

from typing import Optional

import pydantic
import workflows.recipe
from workflows.services.common_service import CommonService


class Grid(pydantic.BaseModel):
    rows: int
    columns: int


class Frame(pydantic.BaseModel):
    grid: Grid
    mask: Optional[Grid] = None


class Picture(pydantic.BaseModel):
    number: pydantic.PositiveInt = pydantic.Field(alias="picture-number")


class Gallery(CommonService):
    """Hangs pictures."""

    _service_name = "Gallery"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "gallery.hang", self.hang)
        workflows.recipe.wrap_subscribe(self._transport, "gallery.list", self.list_all)
        workflows.recipe.wrap_subscribe(self._transport, "gallery.frame", self.frame)

    def hang(self, rw, header, message):
        """The payload may be anything; only an object is looked into."""
        params = rw.recipe_step["parameters"]
        room = params["room"]
        if not room or not room.isnumeric():
            rw.transport.nack(header)
            return
        status = {}
        if isinstance(message, dict):
            status.update(message.get("gallery-status", {}))
        seen = message["seen"] if isinstance(message, dict) else 0
        rw.send_to("hung", {"room": room, "seen": seen})

    def list_all(self, rw, header, message):
        """Pictures from either, and nothing but a list."""
        params = rw.recipe_step["parameters"]
        if isinstance(message, dict):
            pictures = message.get("pictures", params.get("pictures", []))
        else:
            pictures = params.get("pictures", [])
        if not isinstance(pictures, list):
            self.log.error("no list")
            rw.transport.nack(header)
            return
        for picture in pictures:
            rw.send_to("picture", {"picture": picture})

    def frame(self, rw, header, message):
        """A model that is there is no reason to leave."""
        try:
            frame = Frame(**rw.recipe_step["parameters"])
        except pydantic.ValidationError:
            rw.transport.nack(header)
            return
        if not frame.grid:
            rw.transport.ack(header)
            return
        picture = Picture(**message)
        if not frame.mask:
            rw.transport.ack(header)
            return
        rw.send_to("framed", {"number": picture.number, "ink": message["ink"]})
