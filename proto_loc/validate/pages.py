"""Step on the pages: a browser opens each one, and takes its picture."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from urllib.parse import unquote, urlsplit

from proto_loc import credentials, services
from proto_loc.doctor.finding import Finding, ok
from proto_loc.jupyter import client
from proto_loc.superset.client import ADMIN, Person
from proto_loc.validate.proof import Picture, Proof, fail, skip

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZE = {"width": 1440, "height": 1000}
TALL = 2600
"""Height of the window for a dashboard, as Superset draws a chart only when it is visible."""
PATIENCE = 60_000
"""Milliseconds that a page may take."""
IDLE = 5_000
"""Milliseconds to wait until a page asks for nothing more."""
SHOWN = {"JupyterLab": ".jp-Cell, .jp-Launcher, .jp-Dialog"}
"""By page: what a page shows once it has loaded, if it begins with a blank one."""
WORKSPACE = ("/lab/tree/", "/lab/workspaces/validate/tree/")
"""The page of JupyterLab, and the same in a workspace of its own: a person's stays as it is."""
HOLDER = ".dashboard-component-chart-holder"
DRAWN = f"""() => {{
    const holders = [...document.querySelectorAll('{HOLDER}')];
    return holders.every(holder => holder.closest('.dashboard-markdown') ||
        !holder.querySelector('[data-test=loading-indicator], .loading')
        && holder.querySelector('canvas, svg, table, .header-line, [role=alert], .ant-empty')) }}"""


def program() -> str:
    """The path of Chromium (``LOC_CHROMIUM``, or the one of the machine); empty without one."""
    return os.environ.get("LOC_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), "")


def pictures(proof: Proof) -> Iterator[Finding]:
    """Open the page of each service and each dashboard, as a person sees it."""
    browser_path = program()
    if not browser_path:
        yield skip(
            "No page was opened: there is no Chromium here",
            "The other steps ask the services by their APIs.",
            "Install Debian's chromium, or set LOC_CHROMIUM to its path.",
        )
        return
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        # Chromium's own sandbox does not work for root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        try:
            browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
        except Error as error:
            yield skip(f"No page was opened: {browser_path} does not start", _first(error))
            return
        names = [name for name in services.SERVICES if name in proof.ready]
        for title, address in services.urls(names).items():
            notebook = unquote(urlsplit(address).path).partition(WORKSPACE[0])[2]
            with client.session_of(notebook) if notebook else nullcontext():
                if title != "Superset":
                    yield from _open(proof, browser, title, address.replace(*WORKSPACE))
        if "superset" in proof.ready:
            yield from _dashboards(proof, browser)
        browser.close()


def _open(proof: Proof, browser, title: str, address: str) -> Iterator[Finding]:
    """Open a page by the link with its secret, and take its picture."""
    from playwright.sync_api import Error

    proof.say(title)
    context = browser.new_context(viewport=SIZE, locale="en-US")
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        answer = page.goto(address)
        if answer is None or answer.status >= 400:
            status = "no answer" if answer is None else answer.status
            yield fail(f"The page of {title} cannot be opened: {status}.", "", "./loc status")
            return
        if title in SHOWN:
            page.wait_for_selector(SHOWN[title])
        with suppress(Error):  # a page that asks for its state all the time is never idle
            page.wait_for_load_state("networkidle", timeout=IDLE)
        page.wait_for_timeout(1000)
        _shot(proof, page, title)
        if faults:
            yield fail(f"The page of {title} has an error.", faults[0][:300])
        else:
            yield ok(f"The page of {title} opens")
    except Error as error:
        yield fail(f"The page of {title} does not open.", _first(error), "./loc status")
    finally:
        context.close()


def _dashboards(proof: Proof, browser) -> Iterator[Finding]:
    """Log in to Superset by its form, and open each dashboard until its charts are drawn."""
    from playwright.sync_api import Error

    with Person() as person:
        shown = [(item["id"], item["dashboard_title"]) for item in person.items("dashboard")]
    context = browser.new_context(viewport=SIZE | {"height": TALL}, locale="en-US")
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(services.urls(["superset"])["Superset"])
        page.fill("#username", ADMIN)
        page.fill("#password", credentials.secret("superset-admin"))
        page.click("button[type=submit]")
        page.wait_for_url("**/welcome/**")
        address = page.url.partition("/superset/")[0]
        for number, title in shown:
            proof.say(title)
            page.goto(f"{address}/superset/dashboard/{number}/")
            page.wait_for_selector(".dashboard, [data-test=dashboard-content]")
            page.wait_for_load_state("networkidle")
            page.wait_for_function(DRAWN)
            page.wait_for_timeout(1000)
            _shot(proof, page, title)
            alerts = page.locator(f"{HOLDER} [role=alert]")
            if alerts.count():
                why = " ".join(alerts.first.inner_text().split())[:300]
                yield fail(f"A chart of {title} shows an error.", why, "./loc logs superset")
            else:
                charts = page.locator(HOLDER).count()
                yield ok(f"{title} is drawn: {charts} charts and texts")
    except Error as error:
        yield fail("A dashboard of Superset does not open.", _first(error), "./loc logs superset")
    finally:
        context.close()


def _shot(proof: Proof, page, title: str) -> None:
    """Take a picture; the name of its file is the page's title."""
    stem = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "page"
    file = f"{len(proof.pictures) + 1:02}-{stem}.png"
    page.screenshot(path=proof.folder / file)
    (proof.folder / file).chmod(0o600)
    proof.pictures.append(Picture(title, file))


def _first(error: Exception) -> str:
    """The first line of an error, without the secret of a link."""
    return re.sub(r"token=[^\s&\"]+", "token=...", str(error).splitlines()[0])
