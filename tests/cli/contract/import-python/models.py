print("imported")


class Refine:
    @staticmethod
    def model_json_schema():
        return {"title": "Refine", "type": "object", "properties": {"cycles": {"type": "integer"}}}
