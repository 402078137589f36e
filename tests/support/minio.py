"""A real MinIO: where its binary is found or how it is built, and how a server is started and stopped."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

MODULE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
START_SECONDS = 30

# The shell ends the server when its own input does, so a server never outlives the tests, however they end.
WATCHDOG = 'exec 3<&0; "$@" 3<&- & child=$!; { cat <&3 >/dev/null; kill $child; } & wait $child'


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lakehouse" / "bin"


def find_binary() -> tuple[Path | None, str]:
    """Return the binary of MinIO, and why it is this one or none."""
    if on_path := shutil.which("minio"):
        return Path(on_path), "found on PATH"
    cached = cache_folder() / "minio"
    if cached.is_file():
        return cached, "found in the cache folder"
    if not shutil.which("go"):
        return None, "no minio on PATH or in the cache folder, and no Go to build it with"
    return build(cached)


def build(binary: Path) -> tuple[Path | None, str]:
    print("building MinIO with Go into the cache folder: takes minutes, once", flush=True)
    binary.parent.mkdir(parents=True, exist_ok=True)
    environ = {**os.environ, "GOBIN": str(binary.parent)}
    done = subprocess.run(["go", "install", MODULE], env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None, f"MinIO could not be built: {done.stderr.strip().splitlines()[-1:]}"
    return binary, "built with Go just now"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the URL answers, whatever it answers."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500:
                return
        except OSError:
            pass
        time.sleep(0.02)
    if process.poll() is not None:
        raise RuntimeError(f"the server ended with {process.returncode} before it answered")
    raise RuntimeError(f"the server did not answer within {START_SECONDS} seconds")


def spawn(command: list[str], environ: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        ["sh", "-c", WATCHDOG, "sh", *command],
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def end(process: "subprocess.Popen[bytes]") -> None:
    process.communicate()


class Minio:
    """One MinIO server on a folder. It can be stopped and started again on the same port with the same data."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.access_key = "tests"
        self.secret_key = uuid.uuid4().hex

    def start(self) -> None:
        command = [str(self._binary), "server", str(self._folder), "--quiet", "--address", f"127.0.0.1:{self.port}"]
        environ = {
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }
        self._process = spawn(command, environ)
        try:
            wait_for(f"{self.endpoint}/minio/health/ready", self._process)
        except RuntimeError:
            self.stop()
            raise

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None
