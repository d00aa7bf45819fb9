"""A webhook and a mail server on this machine, which refuse the first tries."""

import json
import socket
import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as Handler
from aiosmtpd.smtp import AuthResult, LoginPassword


class Webhook:
    """A server that answers with the statuses of ``answers``, then with 200; a context manager."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, dict]] = []
        """Path and JSON of the requests that were accepted."""
        self.tries = 0

    def __enter__(self) -> "Webhook":
        webhook = self

        class Post(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["content-length"])))
                webhook.tries += 1
                status = webhook.answers.pop(0) if webhook.answers else 200
                if status == 200:
                    webhook.requests.append((self.path, content))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Post)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook/of-the-team"


class Letters(Handler):
    """Keeps the mails; the first ones are refused with these codes."""

    def __init__(self, *refusals: str) -> None:
        super().__init__()
        self.refusals = list(refusals)
        self.letters: list[Message] = []

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
        if self.refusals:
            return self.refusals.pop(0)
        envelope.mail_from = address
        return "250 OK"

    def handle_message(self, message: Message) -> None:
        self.letters.append(message)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class MailServer(Controller):
    """A mail server; a context manager.

    Args:
        refusals: answers to the first mails, such as ``451 try later``.
        password: what the account ``bot`` has to send; without one, nobody logs in.
        port: a free one by default; the server cannot choose one itself.
    """

    def __init__(self, *refusals: str, password: str = "", port: int = 0) -> None:
        self.kept = Letters(*refusals)

        def check(server, session, envelope, mechanism, data):
            known = isinstance(data, LoginPassword) and data.login == b"bot"
            right = known and data.password == password.encode()
            return AuthResult(success=right, handled=False)

        options = {"authenticator": check, "auth_require_tls": False} if password else {}
        super().__init__(self.kept, hostname="127.0.0.1", port=port or free_port(), **options)

    def __enter__(self) -> "MailServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
