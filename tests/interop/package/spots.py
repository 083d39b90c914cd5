import zrecipe
from pydantic import BaseModel
class Image(BaseModel):
    file: str
class Spots(BaseModel):
    count: int
@zrecipe.service("spots")
def find_spots(message: zrecipe.Message[Image, dict]) -> Spots:
    """Counts spots."""
    if message.payload.file == "bad":
        raise zrecipe.Refuse("no such image")
    message.environment["seen"] = True
    return Spots(count=len(message.payload.file))
class Twice(zrecipe.Service):
    """Sends twice."""
    queue = "twice"
    sends = ("stat",)
    def start(self): self.n = 0
    def handle(self, message: zrecipe.Message[dict, dict]):
        self.n += 1
        message.send(zrecipe.Output(self.n, "progress"))
        yield zrecipe.Output("x", "result")
        yield zrecipe.Output("y", queue="stat")
