"""``/v1/datasets``: what there is, what it looks like, and making and removing it."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify, request

from clients import Client

from .errors import HttpProblem
from .schema_json import schema_from_json
from .sql_routes import json_object

_MEMBERS = frozenset({"name", "schema"})


def dataset_routes(client: Client) -> Blueprint:
    """Return the routes of the catalog."""
    routes = Blueprint("datasets", __name__)

    @routes.get("/v1/datasets")
    def list_datasets() -> Response:
        found = client.datasets(lake=request.args.get("lake"), schema=request.args.get("schema"))
        return jsonify({"datasets": found})

    @routes.get("/v1/datasets/<name>")
    def get_dataset(name: str) -> Response:
        return jsonify(client.dataset(name))

    @routes.post("/v1/datasets")
    def register_dataset() -> Response:
        body = json_object(request.get_data(cache=False))
        unknown = body.keys() - _MEMBERS
        if unknown or not isinstance(body.get("name"), str):
            detail = 'the body is {"name": "…", "schema": [{"name": "a", "type": "int64", "nullable": true}, …]}'
            raise HttpProblem(HTTPStatus.BAD_REQUEST, "invalid_request", detail)
        manifest = client.register(body["name"], schema_from_json(body.get("schema")))
        response = jsonify(manifest)
        response.headers["Location"] = f"/v1/datasets/{body['name']}"
        return response

    @routes.delete("/v1/datasets/<name>")
    def drop_dataset(name: str) -> Response:
        if_exists = request.args.get("if_exists", "").lower() in {"1", "true", "yes"}
        return jsonify(client.drop(name, if_exists=if_exists))

    return routes
