"""Downloads an archive from a package index other than the public one (PEP 503).

A fixed output of Nix runs it, and checks the hash::

    python3 -I fetch.py INDEX PACKAGE FILE OUT
"""

import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.error import URLError
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import Request, urlopen


class Links(HTMLParser):
    """The addresses that a page links to."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if (tag, name) == ("a", "href") and value]


def download(index: str, package: str, file: str, out: Path) -> None:
    """Write the archive of that name to ``out``.

    Raises:
        URLError: the index does not answer, or has no such package.
        FileNotFoundError: the package has no such archive.
    """
    project = re.sub("[-_.]+", "-", package).lower()
    page = Request(f"{index.rstrip('/')}/{project}/", headers={"Accept": "text/html"})
    links = Links()
    with urlopen(page) as response:
        links.feed(response.read().decode())
        addresses = [urljoin(response.url, address) for address in links.addresses]
    for address in addresses:
        path = urlsplit(address).path
        if unquote(path.rpartition("/")[2]) == file:
            with urlopen(address) as archive, out.open("wb") as target:
                shutil.copyfileobj(archive, target)
            return
    raise FileNotFoundError(f"{page.full_url} has no {file}")


def main() -> None:
    index, package, file, out = sys.argv[1:]
    try:
        download(index, package, file, Path(out))
    except (URLError, FileNotFoundError) as error:
        sys.exit(
            f"error: Cannot download {file}.\nwhy: {error}\n"
            "fix: Check UV_DEFAULT_INDEX, or add the file: nix-store --add-fixed sha256 FILE"
        )


if __name__ == "__main__":
    main()
