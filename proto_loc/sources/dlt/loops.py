"""Refuses an API that sends a page again, which would be fetched for ever (in dlt's child)."""

import hashlib


class SamePage(Exception):
    """An API sent a page that it had sent before."""


def guard() -> None:
    """Make dlt's REST client raise :class:`SamePage` for a page or a request that repeats."""
    from dlt.sources.helpers.rest_client import RESTClient

    paginate = RESTClient.paginate

    def paginate_once(self, *arguments, **options):
        urls, contents = set(), set()
        for page in paginate(self, *arguments, **options):
            response = page.response
            content = hashlib.sha256(response.content).digest()
            request = response.request
            url = (request.method, request.url, request.body)
            if len(page) and (url in urls or content in contents):
                raise SamePage(
                    f"page {len(urls) + 1} from {request.url} is one that was sent before"
                )
            urls.add(url)
            contents.add(content)
            yield page

    RESTClient.paginate = paginate_once
