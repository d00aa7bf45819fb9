"""A stand-in for a language model's server, for tests and benchmarks: OpenAI's chat API
on a loopback port.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Fault:
    """An answer that is none: a status with its body, or silence for so many seconds first."""

    status: int = 200
    body: str = '{"error": {"message": "as asked for", "type": "test"}}'
    seconds: float = 0


@dataclass
class Standin:
    """A running server."""

    answers: list | Callable[[list[dict]], str | Fault]
    """Given in turn, or made of the messages; a text or a Fault."""
    url: str = ""
    requests: list[dict] = field(default_factory=list)
    """Every body that it received."""
    keys: list[str] = field(default_factory=list)

    @property
    def received(self) -> str:
        """All that it was sent, as one text."""
        return "\n".join(
            message["content"] for request in self.requests for message in request["messages"]
        )

    def answer(self, request: dict) -> str | Fault:
        self.requests.append(request)
        if callable(self.answers):
            return self.answers(request["messages"])
        return (
            self.answers.pop(0)
            if self.answers
            else Fault(500, '{"error": {"message": "no answer is left"}}')
        )


@contextmanager
def standin(answers: list | Callable[[list[dict]], str | Fault]) -> Iterator[Standin]:
    """Serve these answers inside of the block."""
    found = Standin(answers)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            found.keys.append(self.headers.get("authorization", ""))
            given = found.answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            fault = given if isinstance(given, Fault) else None
            time.sleep(fault.seconds if fault else 0)
            message = {"role": "assistant", "content": given}
            body = fault.body if fault else json.dumps(
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": int(time.time()),
                    "model": "standin",
                    "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
                }
            )  # fmt: skip
            try:
                self.send_response(fault.status if fault else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())
            except OSError:
                pass  # who waited has gone

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
