import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lakehouse import upload
from lakehouse.exits import CommandError, ExitCode
from lakehouse.upload import upload_file


@contextmanager
def peer(says: bytes) -> Iterator[str]:
    """Listen; say something to whoever connects, and then only read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, suppress(ConnectionError):
                connection.sendall(says)
                while connection.recv(1 << 16):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def refusal(url: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        upload_file(url, Path(__file__), {"name": "x"})
    return caught.value


@pytest.mark.parametrize("says", [b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x1b[31m\r\n", b"x" * 100_000])
def test_what_a_peer_of_another_protocol_says_is_not_repeated(says: bytes):
    with peer(says) as address:
        error = refusal(f"http://{address}")
    advice = 'give --url the address that "lakehouse serve" prints as HTTP.'
    assert str(error) == f"What answers at http://{address} does not speak HTTP; {advice}"
    assert error.exit_code is ExitCode.USAGE


def test_a_web_server_that_is_none_of_ours_is_not_taken_for_one():
    with peer(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi") as address:
        assert str(refusal(f"http://{address}")) == f"What answers at http://{address} is not a lakehouse server."


@pytest.mark.parametrize("says", [b"", b"HTTP/1.0 400 Bad Request\r\n\r\n"], ids=["silent", "plain"])
def test_https_to_a_plain_port_ends_soon(says: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(upload, "CONNECT_SECONDS", 0.2)
    with peer(says) as address:
        error = refusal(f"https://{address}")
    assert str(error) == f"What answers at https://{address} does not speak TLS; try http://."
    assert error.exit_code is ExitCode.USAGE


def test_without_a_server_the_way_to_one_is_said():
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    error = refusal(url)
    advice = 'start one with "lakehouse serve", or name another with --url.'
    assert str(error) == f"No server answers at {url}: {advice}"
    assert error.exit_code is ExitCode.UNREACHABLE


def test_what_is_no_address_is_refused():
    assert str(refusal("http://127.0.0.1:port")).startswith("http://127.0.0.1:port: is not the address of a server")


def test_a_connection_that_breaks_before_the_answer_leaves_the_outcome_unknown():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(1 << 16)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        error = refusal(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()

    assert error.exit_code is ExitCode.OUTCOME_UNKNOWN
    assert "repeat with the same --key" in str(error)
