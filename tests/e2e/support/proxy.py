"""A server of this test in front of another one."""

import http.server
import threading

from .lab import free_port

# Headers of one connection only, and those that `send` writes itself.
OWN = ("connection", "content-length", "date", "server", "transfer-encoding")


class Proxy:
    """Hands every request to `answer`, which sends an answer by `send`."""

    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def answer(self, handler):
        """Answers one request."""
        raise NotImplementedError

    def start(self):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                proxy.answer(self)

            do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        # A client that is stopped leaves its connections.
        server.handle_error = lambda *_: None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    @staticmethod
    def send(handler, status, body, length=None, **headers):
        """Answers; a HEAD has no body, and may have the length of another."""
        handler.send_response(status)
        for key, value in {"Content-Length": length or str(len(body)), **headers}.items():
            handler.send_header(key, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)
