from zocalo.wrapper import BaseWrapper


class Processing(BaseWrapper):
    """Runs a program of data processing."""

    def run(self):
        params = self.recwrap.recipe_step["job_parameters"]
        images = params["dials"]["images"]
        space_group = params["dials"].get("space_group")
        unit_cell = params["dials"].get("unit_cell")
        results = params["results_directory"]
        self.recwrap.environment["program"] = params["program_id"]
        if space_group and unit_cell:
            self.record_result_individual_file({"file_path": results, "file_name": images, "file_type": "result"})
        return True
