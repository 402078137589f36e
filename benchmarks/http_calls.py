"""A client of the HTTP server that costs little itself."""

import http.client
import json
import urllib.parse
from pathlib import Path
from typing import Any

BOUNDARY = "lakehouse-benchmark"
_READ_BYTES = 1 << 20


def upload(address: str, path: Path, name: str, mode: str) -> dict[str, Any]:
    """Send a file as one part of a form, as ``curl -F file=@…`` does; return the manifest."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
        "Content-Type: text/csv\r\n\r\n"
    ).encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    with path.open("rb") as file:

        def body() -> Any:
            yield head
            while data := file.read(_READ_BYTES):
                yield data
            yield tail

        query = urllib.parse.urlencode({"name": name, "mode": mode})
        headers = {
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
            "Content-Length": str(len(head) + path.stat().st_size + len(tail)),
        }
        answer, _ = _ask(address, f"/v1/ingest?{query}", body(), headers, keep=True)
    manifest: dict[str, Any] = json.loads(answer)
    return manifest


def ask_sql(address: str, sql: str, *, keep: bool = False) -> tuple[bytes, int]:
    """Run a statement; return the JSON answer (empty if it is not kept) and its size in bytes."""
    body = json.dumps({"sql": sql}).encode()
    return _ask(address, "/v1/sql", body, {"Content-Type": "application/json"}, keep=keep)


def _ask(address: str, path: str, body: Any, headers: dict[str, str], *, keep: bool) -> tuple[bytes, int]:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(address).netloc)
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{path}: {response.status} {response.read(2000)!r}")
        kept, size = [], 0
        while data := response.read(_READ_BYTES):
            size += len(data)
            if keep:
                kept.append(data)
        return b"".join(kept), size
    finally:
        connection.close()
