"""HTTP requests with nothing but the standard library."""

import json
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from typing import Any
from urllib.parse import urlencode, urlsplit


@dataclass
class Answer:
    """An HTTP answer that was read to its end."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.json["status"] == self.status
        return self.json["code"]


class Http:
    """Sends requests, one connection each, as curl does."""

    def __init__(self, address: str):
        self.netloc = urlsplit(address).netloc

    def __call__(self, method: str, path: str, body=None, headers=None, /, **query) -> Answer:
        target = f"{path}?{urlencode(query)}" if query else path
        with closing(HTTPConnection(self.netloc, timeout=30)) as connection:
            connection.request(method, target, body, headers or {})
            with connection.getresponse() as response:
                return Answer(response.status, response.headers, response.read())

    def sql(self, sql: str, *params, **query) -> Answer:
        body = json.dumps({"sql": sql, "params": list(params)})
        return self("POST", "/v1/sql", body, {"Content-Type": "application/json"}, **query)

    def upload(self, content: str | bytes, content_type: str = "text/csv", headers=None, /, **query) -> Answer:
        data = content.encode() if isinstance(content, str) else content
        return self("POST", "/v1/ingest", data, {"Content-Type": content_type} | (headers or {}), **query)

    def form(self, content: str | bytes, filename: str, content_type: str = "", /, **query) -> Answer:
        """Upload a file as ``curl -F file=@…`` does."""
        data = content.encode() if isinstance(content, str) else content
        part_type = f"Content-Type: {content_type}\r\n" if content_type else ""
        head = f'--xyz\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n{part_type}\r\n'
        body = head.encode() + data + b"\r\n--xyz--\r\n"
        return self("POST", "/v1/ingest", body, {"Content-Type": "multipart/form-data; boundary=xyz"}, **query)

    def rows(self, dataset: str) -> list[dict[str, Any]]:
        return self.sql(f"FROM {dataset}").json
