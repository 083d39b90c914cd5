from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

import zocalo.wrapper


class Wrapper(zocalo.wrapper.BaseWrapper):
    """Shared by all wrappers."""


class ReductionWrapper(Wrapper):
    """Reduces data."""

    name = "reduce"

    def command_line(self, params):
        command = ["reduce", params["reduce"]["template"]]
        if params.get("ispyb_parameters"):
            if params["ispyb_parameters"].get("d_min"):
                command.append("d_min=%s" % params["ispyb_parameters"]["d_min"])
        return command

    def run(self):
        assert hasattr(self, "recwrap"), "No recipewrapper object found"
        params = dict(self.recwrap.recipe_step["job_parameters"])
        command = self.command_line(params)
        working_directory = Path(params.get("working_directory", os.getcwd()))
        results_directory = Path(params["results_directory"])
        if params.get("create_symlink"):
            os.symlink(working_directory, params["create_symlink"])
        stage = params.get("stage")
        if stage == "prepare":
            self.recwrap.environment.update({"prepared": True})
        options = Namespace(**params["options"])
        assert "beamline" in params
        if options.verbose:
            command.append("-v")
        final = params.get("pipeline-final", [])
        if final:
            os.makedirs(final["path"])
        if not working_directory.exists():
            return False
        self.recwrap.send_to("ispyb", {"command_list": [], "working": str(working_directory)})
        self.record_result_individual_file(
            {"file_path": str(results_directory), "file_name": "out.txt", "file_type": "log"}
        )
        return True
