"""Stand-in for the server of a language model: OpenAI's chat API on a loopback port."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Fault:
    """An error as an answer: an HTTP status and a body, sent after a delay in seconds."""

    status: int = 200
    body: str = '{"error": {"message": "as asked for", "type": "test"}}'
    seconds: float = 0


@dataclass
class Standin:
    """A running stand-in server."""

    answers: list | Callable[[list[dict]], str | Fault]
    """Answers in order, or a function that gets the messages; each answer is a text or a Fault."""
    url: str = ""
    requests: list[dict] = field(default_factory=list)
    """The body of each request."""
    keys: list[str] = field(default_factory=list)

    @property
    def received(self) -> str:
        """Return the content of all received messages as one text."""
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
    """Serve these answers during the block."""
    standin = Standin(answers)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            standin.keys.append(self.headers.get("authorization", ""))
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = standin.answer(json.loads(body))
            fault = answer if isinstance(answer, Fault) else None
            time.sleep(fault.seconds if fault else 0)
            message = {"role": "assistant", "content": answer}
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
                pass  # the client has disconnected

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    standin.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield standin
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
