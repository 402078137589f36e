"""``GET /``: which routes there are; and which one a path that is none may have meant."""

from difflib import get_close_matches

from flask import Blueprint, Flask, Response, current_app, jsonify

_SHOWN_CHARACTERS = 100
_OURS = frozenset({"HEAD", "OPTIONS"})
"""Methods that Flask adds to what a route says."""


def route_list() -> Blueprint:
    """Return the route that lists all routes."""
    routes = Blueprint("routes", __name__)

    @routes.get("/")
    def list_routes() -> Response:
        return jsonify({"routes": _routes(current_app), "documentation": "docs/http.md"})

    return routes


def no_such_route(app: Flask, path: str) -> str:
    """Return what to say of a path that is no route."""
    paths = sorted({_path(rule.rule) for rule in app.url_map.iter_rules()})
    close = get_close_matches(path[:_SHOWN_CHARACTERS], paths, n=1)
    nearest = f" Did you mean {close[0]}?" if close else ""
    return f"There is no route {path[:_SHOWN_CHARACTERS]}; docs/http.md lists them.{nearest}"


def _routes(app: Flask) -> list[str]:
    """List method and path of every route, sorted by path."""
    found = {
        (_path(rule.rule), method) for rule in app.url_map.iter_rules() for method in (rule.methods or set()) - _OURS
    }
    return [f"{method} {path}" for path, method in sorted(found)]


def _path(rule: str) -> str:
    return rule.replace("<name>", "NAME")
