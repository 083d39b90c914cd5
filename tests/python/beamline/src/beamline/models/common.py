from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal, Optional

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt


class Detector(str, Enum):
    FLAT = "flat"
    CURVED = "curved"


class Region(BaseModel):
    x: int
    y: int = Field(ge=0, le=4095)
    label: Optional[str] = None


class Base(BaseModel):
    dcid: int = Field(gt=0)
    comment: Optional[str] = None


def split(value):
    return value.split(",") if isinstance(value, str) else value


class SpotParameters(Base):
    model_config = ConfigDict(extra="forbid")

    file: str
    detector: Detector = Detector.FLAT
    mode: Literal["fast", "exact"] = "fast"
    threshold: float = Field(default=2.5, gt=0, alias="spot-threshold")
    regions: list[Region] = []
    frames: PositiveInt | None = None
    names: Annotated[list[str], BeforeValidator(split)] = []
    limits: dict[str, float] = Field(default_factory=dict)
    gain: "float" = 1.0
