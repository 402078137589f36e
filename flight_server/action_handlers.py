"""DoAction: prepared statements, transactions, session options, cancellation, and the catalog as JSON."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl

from catalog import ErrorKind, LakehouseError

from .actions import (
    FLIGHT_SQL_ACTIONS,
    PLAIN_PREFIX,
    Action,
    BeginTransaction,
    CancelFlightInfo,
    CancelStatus,
    ClosePreparedStatement,
    CloseSession,
    CreatePreparedStatement,
    EndTransaction,
    EndTransactionAction,
    GetSessionOptions,
    PlainAction,
    RenewFlightEndpoint,
    SessionOption,
    SetOptionError,
    SetSessionOptions,
    decode_action,
    encode_begin_transaction,
    encode_cancel,
    encode_close_session,
    encode_get_session_options,
    encode_prepared_statement,
    encode_set_session_options,
)
from .catalog_actions import DESCRIPTIONS
from .services import Services
from .sessions import Session
from .targets import Defaults
from .transactions import ClientTransaction

Answer = list[bytes]


class ActionHandlers:
    """Serves DoAction and ListActions.

    Args:
        services: the use cases.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._handlers: dict[type[Any], Callable[[fl.ServerCallContext, Any], Answer]] = {
            CreatePreparedStatement: self._prepare,
            ClosePreparedStatement: lambda *_: [],
            BeginTransaction: self._begin,
            EndTransaction: self._end,
            CancelFlightInfo: self._cancel,
            RenewFlightEndpoint: self._renew,
            SetSessionOptions: self._set_options,
            GetSessionOptions: self._get_options,
            CloseSession: self._close_session,
            PlainAction: self._plain,
        }

    def run(self, context: fl.ServerCallContext, action: fl.Action) -> Answer:
        """Run one action and return the bodies of its results."""
        decoded: Action = decode_action(action.type, action.body.to_pybytes())
        return self._handlers[type(decoded)](context, decoded)

    def list(self) -> list[fl.ActionType]:
        """Return every action with a description."""
        return [fl.ActionType(name, text) for name, text in {**FLIGHT_SQL_ACTIONS, **DESCRIPTIONS}.items()]

    def _prepare(self, context: fl.ServerCallContext, action: CreatePreparedStatement) -> Answer:
        with self._services.caller(context, action.transaction_id) as caller:
            prepared = self._services.statements.prepare(action.query, caller, action.transaction_id)
        return [encode_prepared_statement(prepared)]

    def _begin(self, context: fl.ServerCallContext, _: BeginTransaction) -> Answer:
        transaction = ClientTransaction(self._services.lakes)
        self._services.session(context).add(transaction)
        return [encode_begin_transaction(transaction.id)]

    def _end(self, context: fl.ServerCallContext, action: EndTransaction) -> Answer:
        transaction = self._services.session(context).remove(action.transaction_id)
        if action.action is EndTransactionAction.COMMIT:
            transaction.commit()
        else:
            transaction.rollback()
        return []

    def _cancel(self, _: fl.ServerCallContext, action: CancelFlightInfo) -> Answer:
        info = _deserialized(fl.FlightInfo, action.info)
        tickets = [self._services.signer.open_ticket(endpoint.ticket.ticket) for endpoint in info.endpoints]
        found = [self._services.running.cancel(ticket.nonce) for ticket in tickets]
        return [encode_cancel(CancelStatus.CANCELLED if any(found) else CancelStatus.NOT_CANCELLABLE, action)]

    def _renew(self, _: fl.ServerCallContext, action: RenewFlightEndpoint) -> Answer:
        endpoint = _deserialized(fl.FlightEndpoint, action.endpoint)
        expires_at = time.time() + self._services.settings.flight.ticket_seconds
        ticket = self._services.signer.renew_ticket(endpoint.ticket.ticket, expires_at)
        return [
            fl.FlightEndpoint(
                fl.Ticket(ticket), endpoint.locations, timestamp_scalar(expires_at), endpoint.app_metadata
            ).serialize()
        ]

    def _set_options(self, context: fl.ServerCallContext, action: SetSessionOptions) -> Answer:
        session = self._services.session(context)
        errors = {name: error for name, value in action.options.items() if (error := _option_error(name, value))}
        wanted = {name: value for name, value in action.options.items() if name not in errors}
        for name, value in wanted.items():
            if value is None:
                session.set_option(name, None)
        self._set_defaults(session, {name: str(value).lower() for name, value in wanted.items() if value is not None})
        return [encode_set_session_options(errors)]

    def _set_defaults(self, session: Session, wanted: Mapping[str, str]) -> None:
        """Set lake and schema together, whatever their order; another lake begins in its schema ``main``."""
        if not wanted:
            return
        before = self._services.defaults(session)
        catalog = wanted.get("catalog", before.catalog)
        schema = wanted.get("schema", before.schema if catalog == before.catalog else "main")
        self._services.statements.check_defaults(Defaults(catalog, schema))
        session.set_option("catalog", catalog)
        session.set_option("schema", schema)

    def _get_options(self, context: fl.ServerCallContext, _: GetSessionOptions) -> Answer:
        session = self._services.session(context)
        defaults = self._services.defaults(session)
        options = {**session.options, "catalog": defaults.catalog, "schema": defaults.schema}
        return [encode_get_session_options(options)]

    def _close_session(self, context: fl.ServerCallContext, _: CloseSession) -> Answer:
        self._services.sessions.close(self._services.session(context).id)
        return [encode_close_session()]

    def _plain(self, _: fl.ServerCallContext, action: PlainAction) -> Answer:
        answer = self._services.catalog_actions.run(
            PLAIN_PREFIX + action.name, action.arguments, self._services.defaults()
        )
        return [json.dumps(answer).encode()]


def _option_error(name: str, value: SessionOption | None) -> SetOptionError | None:
    if name not in {"catalog", "schema"}:
        return SetOptionError.INVALID_NAME
    return None if value is None or isinstance(value, str) else SetOptionError.INVALID_VALUE


def timestamp_scalar(seconds: float) -> pa.Scalar:
    """Return a time in seconds since the epoch as FlightEndpoint wants it."""
    return pa.scalar(int(seconds * 1_000_000), pa.timestamp("us", tz="UTC"))


def _deserialized(kind: type[Any], data: bytes) -> Any:
    try:
        return kind.deserialize(data)
    except (pa.ArrowException, ValueError, OSError):
        raise LakehouseError(
            ErrorKind.INVALID_ARGUMENT, "malformed_command", f"The action does not hold a {kind.__name__}."
        ) from None
