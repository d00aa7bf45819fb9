"""The home page over HTTP: who gets in, what it shows, where its links lead, roll-back."""

import re
from urllib.parse import parse_qs, urlsplit

import httpx
import psutil

from proto_loc import credentials, warehouse
from proto_loc.settings import settings
from proto_loc.warehouse import store


def fields(text: str) -> dict[str, str]:
    """The hidden fields of a form."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))


def path_of(version: int, database: str = "prod") -> str:
    return f"/versions/{database}/{version}"


def test_nothing_is_shown_without_the_link(home):
    for path in ("/", "/style.css", "/open/Dagster", "/versions/prod/1", "/docs/"):
        answer = home.browser().get(path)
        assert answer.status_code == 401 and "loc urls" in answer.text


def test_the_link_logs_in_and_the_probe_needs_none(home):
    with home.browser() as browser:
        answer = browser.get("/", params={"token": home.token})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "samesite=strict" in answer.headers["set-cookie"].lower()
        assert browser.get("/").status_code == 200
    assert home.browser().get("/healthz").text == "ok\n"
    assert home.browser(host="evil.example").get("/healthz").status_code == 400


def test_a_page_loads_nothing_from_elsewhere_and_runs_no_script(home):
    answer = home.client.get("/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "script" not in policy
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "<script" not in answer.text and "https://" not in answer.text


def test_an_empty_platform_says_what_to_do(home):
    text = home.text()
    assert "Do this first" in text and "prod</code> has no data yet" in text
    assert "./loc up -d" in text, "no supervisor runs it in this test"


def test_it_shows_the_last_publish_and_the_versions(versions, home):
    text = home.text()
    assert f"Version {versions[2]} of <code>prod</code> was published just now by loc refresh" in (
        " ".join(text.split())
    )
    assert "3 checks passed" in text
    assert "1,000" in text and "1,250" in text and "+250" in text
    links = [path_of(version) for version in versions]
    assert [link in text for link in links] == [True, True, False], "the current one has no link"


def test_the_other_pages_are_opened_with_their_tokens_which_no_page_holds(home):
    text = home.text()
    for name in ("dagster", "jupyter", "superset-admin"):
        assert credentials.secret(name) not in text
    answer = home.client.get("/open/Dagster")
    assert answer.status_code == 303 and answer.headers["referrer-policy"] == "same-origin"
    target = urlsplit(answer.headers["location"])
    assert target.port == settings().port("dagster")
    assert parse_qs(target.query)["token"] == [credentials.secret("dagster")]
    jupyter = home.client.get("/open/JupyterLab").headers["location"]
    assert credentials.secret("jupyter") in jupyter
    lineage = home.client.get("/open/dbt docs", params={"node": "model.shop.mart_sales"})
    assert lineage.headers["location"].endswith(
        "#!/model/model.shop.mart_sales?g_v=1&g_i=%2Bmart_sales"
    )
    run = home.client.get("/open/Dagster", params={"run": "../../evil"}).headers["location"]
    assert urlsplit(run).path == "/runs/..%2F..%2Fevil"
    assert urlsplit(run).netloc == target.netloc


def test_a_page_with_accounts_shows_the_account_and_the_password(home):
    text = home.text("/open/Superset")
    assert credentials.secret("superset-admin") in text and "admin" in text
    assert f"http://127.0.0.1:{settings().port('superset')}/" in text


def test_an_address_that_leads_nowhere_says_so(versions, home):
    for path in ("/open/nothing", "/nosuch", *map(path_of, (77, "x")), path_of(1, "dev")):
        answer = home.client.get(path)
        assert answer.status_code in (404, 409) and 'href="/"' in answer.text, path


def test_a_version_is_served_again_after_a_confirmation(versions, home):
    text = home.text(path_of(versions[1]))
    assert "1,250" in text and "\N{MINUS SIGN}250" in text
    assert store.current_id("prod") == versions[2], "a look changes nothing"
    answer = home.client.post(path_of(versions[1]), data=fields(text))
    assert answer.status_code == 303, answer.text
    assert store.current_id("prod") == versions[1]
    after = home.text(answer.headers["location"])
    assert f"prod serves version {versions[1]} now" in after and path_of(versions[2]) in after
    assert "serves version" not in home.text("/?served=prod-99")


def test_a_form_that_the_page_did_not_make_changes_nothing(versions, home):
    form = fields(home.text(path_of(versions[1])))
    wrong = [
        ("token", ""),
        ("token", "0" * 64),
        ("current", ""),
        ("current", "1"),
        ("current", "²"),
    ]
    for name, value in wrong:
        answer = home.client.post(path_of(versions[1]), data=form | {name: value})
        assert answer.status_code == 403, (name, value)
    assert store.current_id("prod") == versions[2]


def test_a_form_is_for_one_version_of_one_database(versions, home):
    form = fields(home.text(path_of(versions[1])))
    for other in (path_of(versions[0]), path_of(versions[1], "raw")):
        assert home.client.post(other, data=form).status_code == 403
    assert store.current_id("prod") == versions[2]


FOREIGN = (
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:9"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"},
    {"host": "evil.example"},
)


def test_another_site_cannot_roll_back(versions, home):
    form = fields(home.text(path_of(versions[1])))
    for headers in FOREIGN:
        answer = home.client.post(path_of(versions[1]), data=form, headers=headers)
        assert answer.status_code in (400, 403), headers
    assert store.current_id("prod") == versions[2]


def test_a_form_is_refused_if_another_version_is_served_by_now(versions, home):
    form = fields(home.text(path_of(versions[1])))
    warehouse.rollback("prod", versions[0])
    answer = home.client.post(path_of(versions[1]), data=form)
    assert answer.status_code == 409 and f"serves version {versions[0]} by now" in answer.text
    assert store.current_id("prod") == versions[0]


def test_a_damaged_version_is_shown_with_its_command_and_not_served(versions, home):
    damaged = store.load("prod", versions[1])
    damaged.path.chmod(0o644)
    with damaged.path.open("r+b") as file:
        file.write(bytes(64))  # of the same size, so that only its checksum tells
    text = home.text(path_of(versions[1]))
    answer = home.client.post(path_of(versions[1]), data=fields(text))
    assert answer.status_code == 409 and "its checksum is not the manifest" in answer.text
    assert store.current_id("prod") == versions[2]
    current = store.current("prod")
    current.path.chmod(0o644)
    current.path.write_bytes(b"")
    home.client.get("/style.css")
    text = home.client.get(path_of(versions[0])).text  # reads the state again
    assert "Serve version" in text
    shown = home.text()
    assert f"loc db rollback {versions[0]}" in shown and "damaged" in shown


def test_a_writer_at_work_is_named_and_the_page_does_not_wait_for_it(versions, home):
    form = fields(home.text(path_of(versions[1])))
    with warehouse.write("prod", who="test") as session:
        answer = home.client.post(path_of(versions[1]), data=form)
        session.discard()
    assert answer.status_code == 409 and "still being written" in answer.text


def test_a_command_that_cannot_run_is_shown_with_the_links(home, data):
    """For example a warehouse whose folder cannot be read."""
    data.mkdir(exist_ok=True)
    (data / "warehouse").write_text("a file where a folder belongs")
    text = home.text()
    assert "/open/Dagster" in text and 'class="trouble' in text


def test_the_docs_are_served_where_they_are_built(home):
    assert "No docs yet" in home.client.get("/docs/").text
    assert "./loc docs build" in home.text()
    folder = settings().run / "docs/site"
    (folder / "guide").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>The docs</h1>")
    (folder / "guide/index.html").write_text("<h1>A guide</h1>")
    assert "The docs" in home.text("/docs/") and "A guide" in home.text("/docs/guide/")
    assert 'href="/docs/"' in home.text()
    for path in ("/docs/nosuch/", "/docs/../secrets/home", "/docs/%2e%2e/secrets/home"):
        answer = home.client.get(path)
        assert answer.status_code == 404 and home.token not in answer.text


def test_requests_that_arrive_together_share_one_state(home):
    from concurrent.futures import ThreadPoolExecutor

    def ask(_: int) -> str:
        return httpx.get(
            home.url, headers={"authorization": f"Bearer {home.token}"}, trust_env=False, timeout=60
        ).text

    with ThreadPoolExecutor(6) as pool:
        pages = list(pool.map(ask, range(6)))
    assert len(set(pages)) == 1


def test_the_process_is_small(home):
    """It idles all day: a process that imported DuckDB or Dagster would need 60 to 200 MB."""
    home.text()
    server = next(
        process for process in home.family() if "home.server" in " ".join(process.cmdline())
    )
    info = psutil.Process(server.pid).memory_full_info()
    assert info.uss < 45 << 20, f"{info.uss >> 20} MB"
