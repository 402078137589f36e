"""``/health``, ``/readyz`` and ``/healthz``: for people, for load balancers and for whoever restarts processes."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify

from clients import Client, JsonObject, LakehouseClientError


def health_routes(client: Client) -> Blueprint:
    """Return the routes that say how we are."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        return jsonify({"status": "ok"})

    @routes.get("/health")
    @routes.get("/readyz")
    def health() -> Response:
        try:
            found: JsonObject = client.health()
        except LakehouseClientError as error:
            found = {"status": "unavailable", "reason": f"the Flight server does not answer: {error.code}"}
        response = jsonify(found)
        if found["status"] != "ok":
            found.setdefault("reason", _reason(found))
            response = jsonify(found)
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return response

    return routes


def _reason(found: JsonObject) -> str:
    """Return one sentence about the lakes that are down."""
    down = {name: lake for name, lake in found.get("lakes", {}).items() if lake.get("status") != "ok"}
    return (
        "; ".join(f"lake {name}: {lake.get('reason', 'unavailable')}" for name, lake in down.items()) or "unavailable"
    )
