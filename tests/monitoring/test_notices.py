"""Notices: one for each incident and its recovery, delivered late rather than never."""

import json

import pytest
from receivers import MailServer, Webhook, free_port
from states import run, service, state, table

from proto_loc import credentials, doctor, fork_file
from proto_loc.cli import main
from proto_loc.home import notices, output, server
from proto_loc.monitoring.watch import watch
from proto_loc.notify import delivery, messages, outbox

TEAM = 'team = { kind = "webhook" }'
STALE = "The newest load is of 2026-01-01 00:00; the declaration wants one within 1 day."


@pytest.fixture
def team(channels, monkeypatch):
    """A webhook that the channel ``team`` uses."""
    channels(TEAM)
    with Webhook() as webhook:
        monkeypatch.setenv("NOTIFY_TEAM", webhook.url)
        yield webhook


def due() -> None:
    """Let the next round of every channel start at once."""
    box = outbox.read()
    for one in box.boxes.values():
        one.next_round = 0
    outbox.write(box)


def sent(webhook: Webhook) -> list[tuple[str, str]]:
    return [(content["event"], content["state"]) for _, content in webhook.requests]


def test_an_incident_is_told_once_with_its_recovery_over_restarts(team):
    """Each look is a process of its own in the platform, so all that is known is in the file."""
    stale, fresh = state(tables=[table(STALE)]), state(tables=[table()])
    for look in (stale, stale, stale, fresh, fresh, stale):
        watch(lambda look=look: look)
    assert sent(team) == [("stale", "open"), ("stale", "recovered"), ("stale", "open")]
    first, second = (content for _, content in team.requests[:2])
    assert first["incident"] == second["incident"] == "stale:shop.orders"
    assert first["since"] == second["since"] <= second["at"] and first["id"] != second["id"]
    assert first["subject"] == f"[shop] Data is stale: shop.orders: {STALE}"


def test_without_a_channel_nothing_is_open_and_no_recovery_comes_late(team, channels):
    """The home page's process looks once more after the last channel is gone."""
    watch(lambda: state(tables=[table(STALE)]))
    channels("")
    assert notices.incidents() == []
    assert watch(lambda: state(tables=[table(STALE)])).outbox.incidents == []
    assert not outbox.path().exists()
    channels(TEAM)
    watch(lambda: state(tables=[table()]))
    assert sent(team) == [("stale", "open")]
    watch(lambda: state(tables=[table(STALE)]))
    assert sent(team) == [("stale", "open")] * 2


def test_a_service_that_restarts_at_one_look_is_no_incident(team):
    failed = state(services=[service(verdict="failed", pid=0, exit_code=137)])
    for look in (failed, state(), failed, failed, state()):
        watch(lambda look=look: look)
    assert sent(team) == [("service", "open"), ("service", "recovered")]
    assert "cube has failed (exit code 137, 0 restarts)" in team.requests[0][1]["what"]


def test_a_part_that_cannot_be_read_ends_no_incident(team):
    watch(lambda: state(tables=[table(STALE)], runs=[run(1)]))
    watch(lambda: state(services=None, tables=None, runs=None))
    assert sent(team) == [("stale", "open"), ("refresh", "open")]
    assert {known.event for known in notices.incidents()} == {"stale", "refresh"}


def test_a_table_of_a_removed_source_is_no_longer_stale(team):
    watch(lambda: state(tables=[table(STALE)]))
    watch(lambda: state(tables=[]))
    assert sent(team) == [("stale", "open"), ("stale", "recovered")]


def test_a_failed_run_and_a_failed_audit_are_told_by_name(team):
    failed = [run(3), run(2, job="backup", status="SUCCESS")]
    watch(lambda: state(runs=failed))
    watch(lambda: state(runs=[run(4, checks=("not_null_orders_id",)), *failed]))
    watch(lambda: state(runs=[run(5, status="STARTED"), run(6, status="CANCELED"), *failed]))
    watch(lambda: state(runs=[run(7, status="SUCCESS"), *failed]))
    assert sent(team) == [
        ("refresh", "open"),
        ("audit", "open"),
        ("refresh", "recovered"),
        ("audit", "recovered"),
    ]
    assert "not_null_orders_id failed, and nothing was published" in team.requests[1][1]["what"]
    assert team.requests[0][1]["link"].endswith(f":3000/runs/{run(3).id}")


def test_neither_data_nor_a_secret_is_in_a_notice(team):
    """The words of a service, a log and an error may quote a value of the data."""
    value = "alice@example.com"
    services = [
        service("cube", problem=f"model: {value}"),
        service("dagster-code", "failed", why=f"pipelines/shop: could not convert {value}"),
    ]
    look = state(services=services, runs=[run(1)])
    watch(lambda: look)
    watch(lambda: look)
    texts = json.dumps([content for _, content in team.requests]) + outbox.path().read_text()
    assert len(team.requests) == 3 and value not in texts and "of-the-team" not in texts
    assert credentials.secret("home") not in texts
    assert outbox.path().stat().st_mode & 0o077 == 0


def test_a_server_that_fails_first_gets_the_notice_in_the_same_round(team):
    team.answers = [503, 429]
    watch(lambda: state(tables=[table(STALE)]))
    assert (team.tries, len(team.requests)) == (3, 1)
    assert notices.channels()[0].failing_since == ""


def test_what_a_dead_channel_missed_arrives_later_in_order(team):
    team.answers = [500] * 3 * outbox.DEAD
    watch(lambda: state(tables=[table(STALE)]))
    assert (team.tries, len(outbox.read().boxes["team"].waiting)) == (3, 1)
    watch(lambda: state(tables=[table()]))
    assert team.tries == 3, "the next round is later"
    for _ in range(outbox.DEAD - 1):
        due()
        watch(lambda: state(tables=[table()]))
    assert team.requests == []
    due()
    watch(lambda: state(tables=[table()]))
    assert sent(team) == [("stale", "open"), ("stale", "recovered")]
    assert outbox.read().boxes["team"].sent == 2


@pytest.mark.trouble("notices", "No notices arrive any more")
def test_a_dead_channel_is_seen_in_status_doctor_and_exit_codes(team, capsys):
    team.answers = [404] * outbox.DEAD
    for _ in range(outbox.DEAD):
        due()
        watch(lambda: state(tables=[table(STALE)]))
    assert team.tries == outbox.DEAD, "a refusal is not tried again in the same round"
    text, well = output.status()
    (problem,) = [row for row in json.loads(text)["problems"] if row["part"] == "notices"]
    assert not well and problem["what"].startswith("The channel team takes no notices since 20")
    assert problem["why"].endswith("The server answered 404.") and "1 wait" in problem["what"]
    (finding,) = doctor.CHECKS["notices"]()
    assert finding.status == "fail" and finding.fix.startswith("./loc notify test team")
    assert main(["status"]) == 1 and "takes no notices" in capsys.readouterr().err
    team.answers = [404]
    due()
    assert main(["notify", "check"]) == 3
    assert main(["notify", "test", "team"]) == 0 and "team (webhook)" in capsys.readouterr().out
    due()
    assert main(["notify", "check"]) == 0
    assert sent(team) == [("test", "test"), ("stale", "open"), ("stale", "recovered")]
    assert [finding.status for finding in doctor.CHECKS["notices"]()] == ["ok"]


def test_a_dead_channel_does_not_keep_the_others_from_theirs(team, channels, monkeypatch):
    channels(f'{TEAM}\nchat = {{ kind = "slack", events = ["stale"] }}')
    with Webhook() as chat:
        monkeypatch.setenv("NOTIFY_CHAT", chat.url)
        team.answers = [500] * 9
        watch(lambda: state(tables=[table(STALE)], runs=[run(1)]))
    assert len(chat.requests) == 1, "and it takes only the events that it wants"
    assert len(outbox.read().boxes["team"].waiting) == 2


@pytest.mark.trouble("notices", "Notices of a time are missing")
def test_the_queue_is_bounded_and_what_is_dropped_is_counted(team):
    team.answers = [500] * 10_000
    tables = [table(STALE, f"t{number}") for number in range(outbox.ROOM + 5)]
    watch(lambda: state(tables=tables))
    box = outbox.read().boxes["team"]
    assert (len(box.waiting), box.dropped) == (outbox.ROOM, 5)
    assert box.waiting[-1].incident == f"stale:shop.{tables[-1].table}"
    (finding,) = doctor.CHECKS["notices"]()
    assert finding.status == "warn" and finding.what.startswith("5 notices")


def test_rounds_of_a_dead_channel_become_rare(channels):
    box = outbox.Box()
    pauses = []
    for _ in range(12):
        box.note_failure("why", "at", 0.0)
        pauses.append(box.next_round)
    assert pauses[:3] == [30, 60, 120] and pauses[-1] == outbox.LONGEST_PAUSE


def test_a_damaged_state_is_put_aside(team):
    watch(lambda: state(tables=[table(STALE)]))
    outbox.path().write_text("{")
    watch(lambda: state(tables=[table(STALE)]))
    assert sent(team) == [("stale", "open")] * 2
    assert outbox.path().with_suffix(".damaged").exists()


@pytest.mark.trouble("notices", "No notices arrive")
def test_a_channel_without_its_secret_is_named_with_the_variable(channels):
    channels(TEAM)
    watch(lambda: state(tables=[table(STALE)]))
    assert "NOTIFY_TEAM is not set" in outbox.read().boxes["team"].why
    (finding,) = doctor.CHECKS["notices"]()
    assert finding.status == "fail" and "NOTIFY_TEAM" in finding.why
    assert main(["notify", "test"]) == 1


def test_the_secret_may_be_in_a_file(channels):
    channels(TEAM)
    with Webhook() as webhook:
        credentials.keep("notify-team", webhook.url)
        watch(lambda: state(tables=[table(STALE)]))
        assert webhook.requests[0][0] == "/hook/of-the-team"


@pytest.mark.parametrize(
    "url", ["http://example.org/x", "ftp://127.0.0.1/x", "hooks.example.org", "https://[x"]
)
def test_a_url_that_others_could_read_is_refused_without_naming_it(channels, monkeypatch, url):
    channels(TEAM)
    monkeypatch.setenv("NOTIFY_TEAM", url)
    (channel,) = fork_file.read().channels
    with pytest.raises(delivery.LocError) as error:
        delivery.send(channel, greeting())
    assert url not in str(error.value) and "notify-team" in error.value.what


def test_a_failure_names_neither_the_url_nor_the_answer(channels, monkeypatch):
    channels(TEAM)
    monkeypatch.setenv("NOTIFY_TEAM", "https://127.0.0.1:1/services/T0/B0/secret")
    (channel,) = fork_file.read().channels
    with pytest.raises(delivery.NotSent) as error:
        delivery.send(channel, greeting())
    assert "secret" not in str(error.value) and "ConnectError" in error.value.why


def greeting() -> messages.Message:
    at = "2026-01-02T03:04:05+00:00"
    link = "http://127.0.0.1:8000/"
    return messages.Message("shop", "stale", "open", "stale:a.b", "a <b> & c", at, at, link)


def test_slack_and_teams_get_their_own_forms(channels):
    channels('chat = { kind = "slack" }\ncards = { kind = "teams" }')
    chat, cards = fork_file.read().channels
    text = messages.body(chat, greeting())["text"]
    assert text.startswith("*[shop] Data is stale: a &lt;b&gt; &amp; c*\n")
    (attachment,) = messages.body(cards, greeting())["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["content"]["type"] == "AdaptiveCard"
    shown = [block["text"] for block in attachment["content"]["body"]]
    assert shown[0] == "[shop] Data is stale: a <b> & c" and shown[-1].startswith("See http")


MAIL = (
    'post = {{ kind = "smtp", host = "127.0.0.1", port = {port}, security = "none", from ='
    ' "loc@example.org", to = ["a@example.org", "b@example.org"]{user} }}'
)


def test_a_mail_arrives_after_the_server_has_refused_it_for_a_while(channels):
    with MailServer("451 try later", "421 busy") as server:
        channels(MAIL.format(port=server.port, user=""))
        watch(lambda: state(tables=[table(STALE)]))
        (letter,) = server.kept.letters
    assert letter["subject"].replace("\n", "").startswith("[shop] Data is stale: shop.orders")
    assert letter["to"] == "a@example.org, b@example.org" and letter["from"] == "loc@example.org"
    assert letter["auto-submitted"] == "auto-generated"
    assert "See http://127.0.0.1:8000/" in letter.get_payload()


def test_a_mail_server_that_is_down_gets_its_mails_later(channels):
    port = free_port()
    channels(MAIL.format(port=port, user=""))
    watch(lambda: state(tables=[table(STALE)]))
    assert "ConnectionRefusedError" in outbox.read().boxes["post"].why
    with MailServer(port=port) as server:
        due()
        watch(lambda: state(tables=[table(STALE)]))
        assert len(server.kept.letters) == 1


def test_an_account_logs_in_and_a_wrong_password_is_no_text_of_an_error(channels, monkeypatch):
    with MailServer(password="right") as server:
        channels(MAIL.format(port=server.port, user=', user = "bot"'))
        monkeypatch.setenv("NOTIFY_POST", "wr0ng-one")
        watch(lambda: state(tables=[table(STALE)]))
        why = outbox.read().boxes["post"].why
        assert "SMTPAuthenticationError 535" in why and "wr0ng-one" not in outbox.path().read_text()
        monkeypatch.setenv("NOTIFY_POST", "right")
        due()
        watch(lambda: state(tables=[table(STALE)]))
        assert len(server.kept.letters) == 1


def test_an_unexpected_error_is_a_failed_round_and_delays_no_other(team, channels, monkeypatch):
    """Neither a password that SMTP cannot send nor a URL that is none ends the look."""
    with MailServer(password="right") as server:
        post = MAIL.format(port=server.port, user=', user = "bot"')
        channels(f'{TEAM}\nchat = {{ kind = "slack" }}\nodd = {{ kind = "teams" }}\n{post}')
        monkeypatch.setenv("NOTIFY_POST", "pässwörd")
        monkeypatch.setenv("NOTIFY_CHAT", "https://[x")
        monkeypatch.setenv("NOTIFY_ODD", "https://127.0.0.1:123456/x")
        for _ in range(outbox.DEAD):
            due()
            watch(lambda: state(tables=[table(STALE)]))
        boxes = outbox.read().boxes
    assert sent(team) == [("stale", "open")] and boxes["team"].sent == 1
    assert {name for name, box in boxes.items() if box.is_dead} == {"chat", "odd", "post"}
    assert boxes["post"].why.endswith("UnicodeEncodeError.")
    assert "notify-chat is not usable" in boxes["chat"].why
    assert "pässw" not in outbox.path().read_text()
    assert main(["status"]) == 1 and main(["notify", "test", "post"]) == 1


def test_a_subject_is_one_line(channels):
    message = messages.Message("shop", "stale", "open", "k", "a\r\nBcc: x@y", "s", "t", "l")
    assert "\n" not in message.subject and "\r" not in message.subject


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x = 1", "has a kind"),
        ('x = { kind = "pager" }', "channel has a kind: webhook, slack, teams or smtp"),
        ('x = { kind = "slack", url = "https://a" }', "write NOTIFY_X=... into .env"),
        ('x = { kind = "slack", token = "t" }', "is a secret"),
        ('x = { kind = "slack", host = "h" }', "no host"),
        ('x = { kind = "slack", events = ["all"] }', "some of refresh, audit, stale, service"),
        ('x = { kind = "slack", events = "stale" }', "must be a list"),
        ('x = { kind = "slack", events = [["stale"]] }', "some of refresh"),
        ('x = { kind = "slack", events = [{}, 1979-05-27] }', "some of refresh"),
        ('x = { kind = [["slack"]] }', "has a kind"),
        ('x = { kind = "smtp", host = "h", from = "a@b", to = [["c@d"]] }', "is no mail address"),
        ('x = { kind = "smtp", host = "h", from = "a@b", to = [1] }', "1 is no mail address"),
        ('x = { kind = "smtp", host = "h", from = 1979-05-27, to = ["c@d"] }', "must be a text"),
        ('x = { kind = "smtp", host = "h h", from = "a@b", to = ["c@d"] }', "is no name of a host"),
        ('X = { kind = "slack" }', "is no name of a channel"),
        ('x = { kind = "smtp", host = "h", from = "a@b" }', "of kind smtp has to"),
        ('x = { kind = "smtp", host = "h", from = "a@b", to = ["c"] }', "'c' is no mail address"),
        (
            'x = { kind = "smtp", host = "h", from = "a@b", to = ["c@d"], port = 0 }',
            "is 0, and ports",
        ),
        (
            'x = { kind = "smtp", host = "h", from = "a@b", to = ["c@d"], security = "none" }',
            "h is another machine",
        ),
        ('x = { kind = "smtp", host = "h", from = "a@b", to = ["c@d"], port = true }', "a number"),
    ],
)
def test_a_mistake_in_a_channel_is_named_by_file_and_line(channels, line, reason):
    channels(f'fine = {{ kind = "slack" }}\n{line}')
    with pytest.raises(fork_file.UsageError) as error:
        fork_file.read()
    assert f"{fork_file.FILE}, line 5:" in error.value.what and reason in error.value.why
    assert "docs/monitoring.md" in error.value.fix


def test_two_channels_do_not_share_a_secret(channels):
    channels('a-b = { kind = "slack" }\na_b = { kind = "slack" }')
    with pytest.raises(fork_file.UsageError, match="same name"):
        fork_file.read()


def test_a_line_of_a_channel_is_found_beside_a_schedule_of_its_name(channels, tmp_path):
    channels('team = { kind = "pager" }')
    text = fork_file.FILE.read_text()
    schedule = 'team = { cron = "0 6 * * *", time_zone = "UTC" }'
    fork_file.FILE.write_text(f"[schedules]\n{schedule}\n{text.partition(chr(10))[2]}")
    with pytest.raises(fork_file.UsageError, match=r"line 5: team"):
        fork_file.read()


def test_the_loop_of_the_home_page_goes_on_after_any_error_and_says_it_once(
    channels, monkeypatch, capsys
):
    class Ended(BaseException):
        """Ends the loop."""

    answers = iter([RuntimeError("odd"), RuntimeError("odd"), None, RuntimeError("odd"), Ended()])

    def check():
        if error := next(answers):
            raise error

    channels("")
    outbox.write(outbox.Outbox())  # a channel was there
    monkeypatch.setattr(server.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(server.commands, "notify", check)
    with pytest.raises(Ended):
        server.watch()
    line = "Notices: The look for incidents failed. RuntimeError: odd. ./loc doctor"
    assert capsys.readouterr().out.splitlines() == [line] * 2, "once, and again after a good look"
