"""The rule of AWS for buckets with a default retention, in front of a server that lacks it."""

import urllib.parse

from .lab import request
from .proxy import OWN, Proxy

REFUSAL = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object \
requests with Object Lock parameters</Message></Error>"""


class Locked(Proxy):
    """Refuses to write an object, or a part of one, if the request carries no checksum and no Content-MD5. The
    server behind it must not check signatures, since the signed address is that of the proxy."""

    def __init__(self, server):
        super().__init__()
        self.server = server
        # Keys of requests with a checksum, and of those without one, which are refused.
        self.summed, self.bare = [], []

    def answer(self, handler):
        parts = urllib.parse.urlsplit(handler.path)
        query = urllib.parse.parse_qs(parts.query, keep_blank_values=True)
        headers = {key.lower(): value for key, value in handler.headers.items()}
        body = handler.rfile.read(int(headers.get("content-length", 0)))
        _, _, key = parts.path.lstrip("/").partition("/")
        if handler.command == "PUT" and key and not set(query) - {"partNumber", "uploadId", "x-id"}:
            has_sum = "content-md5" in headers or headers.get("x-amz-trailer", "").startswith("x-amz-checksum-") or any(
                name.startswith("x-amz-checksum-") and name != "x-amz-checksum-algorithm" for name in headers)
            (self.summed if has_sum else self.bare).append(urllib.parse.unquote(key))
            if not has_sum:
                return self.send(handler, 400, REFUSAL, **{"Content-Type": "application/xml"})
        headers.pop("connection", None)
        answer = request(self.server.url + handler.path, handler.command, headers, body or None)
        kept = {name: value for name, value in answer.headers.items() if name not in OWN}
        length = answer.headers.get("content-length") if handler.command == "HEAD" else None
        return self.send(handler, answer.status or 502, answer.body, length=length, **kept)
