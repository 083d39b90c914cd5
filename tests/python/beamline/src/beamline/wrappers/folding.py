from __future__ import annotations

import pathlib
from typing import Optional

import pydantic

from beamline.util import ReplacingChainMap
from beamline.wrappers.reduction import Wrapper


class FoldParameters(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)

    sequence: str = pydantic.Field(..., pattern="[A-Z]+", min_length=3)
    timeout: Optional[float] = pydantic.Field(None, gt=0, alias="timeout-minutes")
    working_directory: pathlib.Path
    cell: tuple[float, float, float] | None = None

    @pydantic.field_validator("cell", mode="before")
    def read_cell(cls, value):
        return value.split(",") if isinstance(value, str) else value


class FoldWrapper(Wrapper):
    def run(self):
        step = self.recwrap.recipe_step
        self.params = ReplacingChainMap(
            step["job_parameters"].get("ispyb_parameters", {}),
            step["job_parameters"].get("fold", {}),
            step["job_parameters"],
            substitutions=self.recwrap.environment,
        )
        found = FoldParameters(**self.params)
        self.finish(found)
        return True

    def finish(self, found):
        program = self.recwrap.environment["program_id"]
        self.recwrap.send_to("folded", {"file": f"{found.sequence}.pdb", "program": program})
