"""A secret in the address of a source is never written into its declaration."""

import pytest

from proto_loc import credentials
from proto_loc.errors import LocError
from proto_loc.sources import dlt_inspection


@pytest.fixture(autouse=True)
def _own_run(tmp_path, monkeypatch):
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))


@pytest.mark.parametrize(
    "parameter",
    [
        "appid",
        "app_id",
        "key",
        "apikey",
        "access_token",
        "accessToken",
        "private-key",
        "auth",
        "client_secret",
        "passwd",
        "pwd",
        "sig",
        "X-Amz-Signature",
        "subscription-key",
    ],
)
def test_a_secret_parameter_is_taken_out_of_the_url(parameter: str):
    url = f"https://x.example/a?page=2&{parameter}=S3CRET"
    rest, auth, secrets = dlt_inspection._without_secret("shop", url)
    assert rest == "https://x.example/a?page=2" and secrets == {"shop-token": "S3CRET"}
    assert auth == {"type": "api_key", "name": parameter, "location": "query"}


def test_a_password_is_taken_out_of_the_url():
    url = "https://me:p%40ss@x.example:81/a?author=b&design=c&keyword=d#token=S3CRET"
    rest, auth, secrets = dlt_inspection._without_secret("shop", url)
    assert rest == "https://x.example:81/a?author=b&design=c&keyword=d"
    assert auth == {"type": "http_basic", "username": "me"} and secrets == {"shop-token": "p@ss"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://S3CRET@x.example/a", "user and no password"),
        ("https://S3CRET:@x.example/a", "user and no password"),
        ("https://x.example/a?client_secret=S3CRET&token=S3CRET", "client_secret and token"),
        ("https://x.example/a?token=S3CRET&token=S3CRET", "token and token"),
        ("https://me:S3CRET@x.example/a?api_key=S3CRET", "a password and api_key"),
    ],
)
def test_what_cannot_be_kept_apart_is_refused_without_showing_it(url: str, words: str):
    with pytest.raises(LocError) as caught:
        dlt_inspection.inspect_api("shop", url)
    assert words in str(caught.value) and "S3CRET" not in str(caught.value)
    assert not credentials.path("shop-token").exists()
