"""A peer that speaks the REST API of Slurm v0.0.44, by the models that the reference makes of its OpenAPI description."""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from zocalo.util.slurm import models

TOKEN = "t0ken-of-the-tests"
PATH = "/slurm/v0.0.44/"
NEVER = {"number": 0, "set": False, "infinite": False}
jobs = []


class Peer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def refused(self):
        if self.headers["X-SLURM-USER-TOKEN"] == TOKEN and self.headers["X-SLURM-USER-NAME"] == "zocalo":
            return False
        self.answer(401, b"Authentication failure")
        return True

    def do_GET(self):
        if self.refused():
            return
        if self.path != PATH + "jobs":
            return self.answer(404, b"")
        answer = models.OpenapiJobInfoResp.model_validate({"jobs": jobs, "last_backfill": NEVER, "last_update": NEVER})
        self.answer(200, answer.model_dump(mode="json", exclude_unset=True))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.refused():
            return
        if self.path != PATH + "job/submit":
            return self.answer(404, b"")
        order = models.JobSubmitReq.model_validate_json(body)
        written = json.loads(body)
        unknown = set(written["job"]) - set(models.JobDescMsg.model_fields) | set(written) - {"job", "script"}
        if unknown:
            return self.answer(400, {"errors": [{"error_number": 9001, "error": f"unknown: {unknown}"}]})
        job = order.job
        match job.name:
            case "busy":
                return self.answer(500, {"errors": [{"error_number": 1800, "error": "no controller"}]})
            case "wrong":
                error = {"error_number": 2000, "error": "Invalid partition name specified", "source": "slurm_submit"}
                return self.answer(500, {"errors": [error]})
            case "nonsense":
                return self.answer(200, b"<html>Welcome</html>")
            case "nothing":
                return self.answer(200, {"errors": []})
            case "slow":
                time.sleep(60)
        number = len(jobs) + 1
        jobs.append({"job_id": number, "comment": job.comment, "name": job.name})
        print(body.decode(), flush=True)
        self.answer(200, {"job_id": number, "step_id": "batch", "errors": [], "warnings": []})

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Peer)
print(server.server_address[1], flush=True)
server.serve_forever()
sys.exit()
