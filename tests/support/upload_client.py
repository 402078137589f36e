"""A stock pyarrow client in a process of its own, so that it can be killed or run beside others.

Arguments: a JSON object with ``uri``, ``dataset`` and ``work``:

- ``hold``: upload ``batches`` batches, print a line and never end the stream;
- ``flood``: print a line and upload batches without end;
- ``append``: print a line, wait for one, then append one row ``times`` times and print the snapshots.
"""

import itertools
import json
import sys
import threading

import pyarrow as pa
import pyarrow.flight as fl

SCHEMA = pa.schema([("worker", pa.int64()), ("n", pa.int64())])


def batch(worker: int, start: int, rows: int = 1) -> pa.RecordBatch:
    numbers = pa.array(range(start, start + rows), pa.int64())
    return pa.record_batch([pa.array([worker] * rows, pa.int64()), numbers], schema=SCHEMA)


def say(line: object) -> None:
    print(json.dumps(line), flush=True)


def unfinished(client: fl.FlightClient, dataset: str, batches: int | None) -> None:
    writer, _ = client.do_put(fl.FlightDescriptor.for_path(dataset), SCHEMA)
    list(client.list_actions())  # over the same connection: the upload has begun
    if batches is None:
        say("begun")
    for number in itertools.count() if batches is None else range(batches):
        writer.write_batch(batch(0, number, 10_000))
    list(client.list_actions())
    say("sent")
    threading.Event().wait()


def append(client: fl.FlightClient, dataset: str, worker: int, times: int) -> None:
    say("ready")
    sys.stdin.readline()
    snapshots = []
    for number in range(times):
        writer, reader = client.do_put(fl.FlightDescriptor.for_path(dataset), SCHEMA)
        with writer:
            writer.write_batch(batch(worker, number))
            writer.done_writing()
            answer = json.loads(reader.read().to_pybytes())
        assert (answer["rows"], answer["replayed"]) == (1, False)
        snapshots.append(answer["snapshot"])
    say(snapshots)


def main() -> None:
    work = json.loads(sys.argv[1])
    with fl.connect(work["uri"]) as client:
        match work["work"]:
            case "hold":
                unfinished(client, work["dataset"], work["batches"])
            case "flood":
                unfinished(client, work["dataset"], None)
            case "append":
                append(client, work["dataset"], work["worker"], work["times"])


if __name__ == "__main__":
    main()
