"""Looks at an endpoint, or at the module of a source, for an inspection (in dlt's child)."""

import importlib
import inspect
from urllib.parse import parse_qsl, urlsplit

PAGES = (("page", ""), ("offset", "limit"), ("skip", "limit"))
"""Parameters to try if nothing in an answer tells how to get the next page."""
CURSORS = ("cursor", "page_token", "next_token", "after", "starting_after", "next")


class NoList(Exception):
    """An answer has no list of records."""


def endpoint(job: dict) -> dict:
    """Find the list in an endpoint's answer, and how its pages are turned."""
    from dlt.sources.helpers.requests.retry import Client
    from dlt.sources.helpers.rest_client.detector import PaginatorFactory, find_response_page_data

    session = Client().session
    url = urlsplit(job["url"])
    params = dict(parse_qsl(url.query, keep_blank_values=True))
    base = url._replace(query="", fragment="").geturl()
    options = _authentication(job)

    def get(**more):
        own = options | {"params": {**options.get("params", {}), **params, **more}}
        return session.get(base, **own)

    response = get()
    path, data = find_response_page_data(response.json())
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data) or not data:
        kind = f"a list of {len(data)}" if isinstance(data, list) else type(data).__name__
        raise NoList(f"the answer of {base} has no list of objects ({kind})")
    paginator, _ = PaginatorFactory().create_paginator(response)
    described, notes = _describe(paginator, response.json(), params, get, data)
    where = "the whole answer" if path == ("$",) else f"`{'.'.join(path)}` of the answer"
    return {
        "selector": ".".join(path),
        "paginator": described,
        "params": {k: v for k, v in params.items() if k not in ("page", "offset", "skip")},
        "notes": [f"The records are {where}: {len(data)} on the first page.", *notes],
    }


def _authentication(job: dict) -> dict:
    auth, secret = job["auth"], job["secrets"].get(job["secret"], "")
    if not secret:
        return {}
    if auth.get("location") == "query":
        return {"params": {auth["name"]: secret}}
    if auth.get("type") == "http_basic":
        return {"auth": (auth["username"], secret)}
    return {"headers": {"Authorization": f"Bearer {secret}"}}


def _describe(paginator, answer, params: dict, get, first: list) -> tuple[dict, list[str]]:
    """Write a paginator as dlt's ``rest_api`` declares it, and say why it was chosen."""
    kind = type(paginator).__name__
    if kind == "HeaderLinkPaginator":
        return {"type": "header_link"}, ["The next page is the link `next` of the headers."]
    if kind == "JSONLinkPaginator":
        path = str(paginator.next_url_path)
        return {"type": "json_link", "next_url_path": path}, [f"The next page is `{path}`."]
    if kind == "JSONResponseCursorPaginator":
        path = str(paginator.cursor_path)
        value = _value(answer, path)
        for name in CURSORS:
            if value and _probe(get, name, value) not in (None, first, []):
                return (
                    {"type": "cursor", "cursor_path": path, "cursor_param": name},
                    [f"The next page is that of the parameter `{name}`, from `{path}`."],
                )
        return {"type": "single_page"}, [
            f"The answer has a cursor, `{path}`, and none of {', '.join(CURSORS)} takes it: only"
            " one page is fetched until the paginator is set."
        ]
    total = str(paginator.total_path) if getattr(paginator, "total_path", None) else None
    for name, size in PAGES:
        if found := _turned(name, size, total, params, get, first):
            return found
    return {"type": "single_page"}, ["All records are on one page: no parameter turns pages."]


def _turned(name: str, size: str, total, params: dict, get, first: list):
    """The paginator of a parameter that turns pages; None if it does not."""
    start = int(params.get(name, 0 if size else 1))
    step = len(first) if size else 1
    second = _probe(get, name, start + step)
    if second is None or second == first or (len(second) == 0 and total is None):
        return None
    if size:
        described = {"type": "offset", "limit": step, "offset_param": name, "limit_param": size}
        described |= {"offset": start, "total_path": None}
        return described, [f"Pages are turned by `{name}`, with {step} records each."]
    base = start
    if name not in params and _probe(get, name, 0) == first and _probe(get, name, 1) != first:
        base = 0
    described = {"type": "page_number", "base_page": base, "page_param": name, "total_path": total}
    return described, [f"Pages are turned by `{name}`, from {base}."]


def _probe(get, name: str, value: object) -> list | None:
    """The records of an answer to a parameter; None if the API refuses it."""
    from dlt.sources.helpers.requests import HTTPError

    try:
        return _records(get(**{name: value}))
    except (HTTPError, ValueError):  # ValueError: the refusal is a text, with the status of success
        return None


def _records(response) -> list:
    from dlt.sources.helpers.rest_client.detector import find_response_page_data

    data = find_response_page_data(response.json())[1]
    return data if isinstance(data, list) else []


def _value(answer, path: str):
    for name in path.split("."):
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer


def module(job: dict) -> dict:
    """Find the only source of a module, and the arguments of its function that are secrets."""
    import dlt
    from dlt.extract import DltResource, DltSource
    from dlt.extract.decorators import SourceFactory

    name, _, function = job["function"].partition(":")
    code = importlib.import_module(name)
    if not function:
        kinds = (SourceFactory, DltSource), (DltResource,)
        for kind in kinds:
            names = [n for n, made in vars(code).items() if isinstance(made, kind) and n[0] != "_"]
            if names:
                break
        if len(names) != 1:
            listed = ", ".join(names) or "no source and no resource"
            raise NoList(f"the module {name} has {listed}: say which, as {name}:FUNCTION")
        function = names[0]
    made = getattr(code, function)
    try:
        parameters = inspect.signature(made).parameters
    except (TypeError, ValueError):
        parameters = {}
    secrets = [n for n, parameter in parameters.items() if parameter.default is dlt.secrets.value]
    return {"function": f"{name}:{function}", "secrets": secrets}
