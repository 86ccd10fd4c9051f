"""A stand-in for the W&B server: enough of it that the client opens runs, resumes them and sends their history."""

import gzip
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class SentRun:
    """What the server was sent of a run."""

    facts: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None


class WandbServer:
    """Listens on a port of this machine until it is closed."""

    def __init__(self) -> None:
        self.runs: dict[str, SentRun] = {}
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Goes away, as a network does."""
        self.http.shutdown()
        self.http.server_close()

    def answer(self, query: str, facts: dict[str, Any]) -> dict[str, Any]:
        """The data for a GraphQL query."""
        found = re.search(r"(?:query|mutation)\s+(\w+)", query)
        operation = found.group(1) if found else ""
        if operation == "Viewer":
            flags = {"flags": "{}", "teams": {"edges": []}, "email": ""}
            return {"viewer": {"id": "u", "entity": "me", "username": "me", **flags}}
        if operation == "RunResumeStatus":
            run = self.runs.get(facts["name"])
            return {"model": {**PROJECT, "bucket": resume_status(facts["name"], run) if run else None}}
        if operation == "UpsertBucket":
            run = self.runs.setdefault(facts["name"], SentRun())
            run.facts |= {key: value for key, value in facts.items() if value is not None}
            shown = {"name": facts["name"], "displayName": run.facts.get("displayName"), "description": ""}
            bucket = {"id": "b", **shown, "config": "{}", "sweepName": None, "project": PROJECT}
            return {"upsertBucket": {"bucket": {**bucket, "historyLineCount": len(run.history)}, "inserted": True}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in facts["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        return {}

    def stream(self, name: str, sent: dict[str, Any]) -> None:
        """Takes lines of history at their place."""
        run = self.runs[name]
        lines = sent.get("files", {}).get("wandb-history.jsonl")
        if lines:
            run.history[lines["offset"] :] = [json.loads(line) for line in lines["content"]]
        if sent.get("complete"):
            run.exit_code = sent.get("exitcode")


PROJECT = {"id": "p", "name": "asd", "entity": {"id": "e", "name": "me"}}


def resume_status(name: str, run: SentRun) -> dict[str, Any]:
    """What a client asks before it goes on with a run."""
    tail = [json.dumps(line) for line in run.history[-1:]]
    counts = {"historyLineCount": len(run.history), "logLineCount": 0, "eventsLineCount": 0}
    texts = {"historyTail": json.dumps(tail), "eventsTail": "[]", "config": "{}", "summaryMetrics": "{}", "notes": ""}
    return {"id": "b", "name": name, "displayName": "", "tags": [], "wandbConfig": '{"t": 1}', **counts, **texts}


def handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    """Answers the requests for a server."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            answer: dict[str, Any] = {}
            if self.path.endswith("/graphql"):
                asked = json.loads(body)
                answer = {"data": server.answer(asked["query"], asked.get("variables") or {})}
            elif self.path.endswith("/file_stream"):
                server.stream(self.path.split("/")[-2], json.loads(body))
                answer = {"limits": {}, "exitcode": None}
            self.reply(json.dumps(answer).encode())

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.reply(b"{}")

        def do_GET(self) -> None:
            self.reply(b"{}")

        def reply(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    return Handler
