"""A token service in front of the honest upstream, so that some of its repositories are private."""

import base64
import json
import urllib.parse

from .lab import request
from .proxy import Proxy

ACCOUNT, PASSWORD = "e2e", "e2e-password"


class Gate(Proxy):
    """Asks for a token as Docker Hub does. Without the account's password a token opens what is not in
    `private`; with it, everything."""

    def __init__(self, upstream, private):
        super().__init__()
        self.upstream, self.private = upstream, private
        # Paths that were asked for with a token that opens them.
        self.asked = []

    def answer(self, handler):
        parts = urllib.parse.urlsplit(handler.path)
        if parts.path == "/token":
            return self.token(handler, urllib.parse.parse_qs(parts.query))
        name = parts.path.removeprefix("/v2/").rsplit("/", 2)[0]
        if parts.path != "/v2/" and name in self.opened(handler.headers.get("Authorization", "")):
            self.asked.append(f"{handler.command} {parts.path}")
            headers = {key: value for key, value in handler.headers.items() if key.lower() in ("accept", "range")}
            answer = request(self.upstream.url + handler.path, handler.command, headers)
            kept = {key: value for key, value in answer.headers.items()
                    if key in ("content-type", "docker-content-digest", "content-range")}
            length = answer.headers.get("content-length", str(len(answer.body)))
            return self.send(handler, answer.status, answer.body, length=length, **kept)
        scope = f',scope="repository:{name}:pull"' if parts.path != "/v2/" else ""
        return self.send(handler, 401, b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}', **{
            "Content-Type": "application/json",
            "WWW-Authenticate": f'Bearer realm="{self.url}/token",service="e2e"{scope}'})

    def token(self, handler, query):
        basic = base64.b64encode(f"{ACCOUNT}:{PASSWORD}".encode()).decode()
        knows = handler.headers.get("Authorization") == f"Basic {basic}"
        names = [scope.split(":")[1] for scope in query.get("scope", []) if scope.startswith("repository:")]
        access = [{"type": "repository", "name": name, "actions": ["pull"]}
                  for name in names if knows or name not in self.private]
        parts = [{"alg": "none"}, {"access": access}]
        token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".e2e"
        return self.send(handler, 200, json.dumps({"token": token, "expires_in": 300}).encode(),
                         **{"Content-Type": "application/json"})

    @staticmethod
    def opened(authorization):
        """The names that a token opens."""
        pieces = authorization.removeprefix("Bearer ").split(".")
        if len(pieces) != 3:
            return []
        claims = json.loads(base64.urlsafe_b64decode(pieces[1] + "=="))
        return [access["name"] for access in claims["access"]]
