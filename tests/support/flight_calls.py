"""Short forms of what stock clients do, for tests."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl


def query(client: fl.FlightClient, sql: str | dict[str, Any], options: fl.FlightCallOptions | None = None) -> pa.Table:
    """Run a query by GetFlightInfo and DoGet, and check that both give the same schema."""
    command = sql if isinstance(sql, str) else json.dumps(sql)
    info = client.get_flight_info(fl.FlightDescriptor.for_command(command.encode()), options)
    table = client.do_get(info.endpoints[0].ticket, options).read_all()
    assert info.schema.equals(table.schema, check_metadata=True)
    return table


def put(client: fl.FlightClient, descriptor: str | dict[str, Any], data: pa.Table, **headers: str) -> dict[str, Any]:
    """Upload a table, by path or by a plain command, and return the acknowledgement."""
    target = (
        fl.FlightDescriptor.for_path(*descriptor.split("."))
        if isinstance(descriptor, str)
        else fl.FlightDescriptor.for_command(json.dumps(descriptor).encode())
    )
    options = fl.FlightCallOptions(
        headers=[(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    )
    writer, reader = client.do_put(target, data.schema, options)
    with writer:
        writer.write_table(data)
        writer.done_writing()
        return json.loads(reader.read().to_pybytes())


def act(client: fl.FlightClient, action: str, **arguments: Any) -> dict[str, Any]:
    """Run a plain action and return its answer."""
    [result] = client.do_action(fl.Action(action, json.dumps(arguments).encode()))
    return json.loads(result.body.to_pybytes())
