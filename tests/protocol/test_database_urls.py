"""Databases' URLs: passwords of any characters, which are never shown."""

from pathlib import Path
from urllib.parse import quote

import pytest
from postgresql import server
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from protocol.storage.database import BadDatabaseUrl, DatabaseUnavailable, database_url, looking_into, opening
from protocol.storage.ledger import Ledger

PASSWORDS = [
    "S3cr@t",
    "S3cr:t",
    "S3cr/t",
    "S3cr%t",
    "S3cr#t",
    "S3cr?t",
    "S3cr@h:1/x",
    "@:/%#?",
    "S3cr%zz",
    "ä ö&=",
    "S3cr",
]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_password_may_hold_any_character_as_it_is_or_in_percents(scheme: str, password: str) -> None:
    for written in (password, quote(password, safe="")):
        url = database_url(f"{scheme}://parley:{written}@books.example.org:5433/ledger?sslmode=require")
        assert (url.password, url.username, url.host, url.port) == (password, "parley", "books.example.org", 5433)
        assert (url.database, dict(url.query)) == ("ledger", {"sslmode": "require"})
        assert url.drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:p@h/db?application_name=a@b", "postgresql://h/db?options=a@b:c", "postgresql://u@/db?host=/x"],
)
def test_what_is_a_url_already_is_read_as_it_is(url: str) -> None:
    assert database_url(url) == make_url(url).set(drivername="postgresql+psycopg")


@pytest.mark.parametrize(
    "url", ["host=127.0.0.1 password=S3cr", "postgresql://u:S3cr@h:port/x", "/a/b.sqlite", "", "://"]
)
def test_what_is_no_url_is_one_sentence_that_does_not_show_it(url: str) -> None:
    with pytest.raises(BadDatabaseUrl, match="write postgresql://USER:PASSWORD@HOST:PORT/NAME") as error:
        database_url(url)
    assert "S3cr" not in str(error.value)


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://parley:{}@127.0.0.1:1/parley",
        "mysql://parley:{}@127.0.0.1/x",
        "postgresql://127.0.0.1:1/?password={}",
    ],
)
def test_a_database_that_cannot_be_opened_shows_no_password(url: str, password: str) -> None:
    pytest.importorskip("psycopg")
    written = url.format(password if "?password" not in url else quote(password, safe=""))
    with pytest.raises((DatabaseUnavailable, BadDatabaseUrl)) as error, looking_into(written):
        pass
    assert "S3cr" not in str(error.value)
    assert quote(password, safe="") not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%20b", "a@b:c", "ä b"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    with opening(tmp_path / name):
        Ledger(tmp_path / name).database.close()
    assert (tmp_path / name).exists()


@pytest.mark.slow
def test_a_password_of_all_these_characters_opens_a_ledger_on_postgresql() -> None:
    with server() as url:
        engine = create_engine(database_url(url), isolation_level="AUTOCOMMIT")
        password = "S3cr@:/%#?t"
        with engine.connect() as connection:
            connection.execute(text(f"CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '{password}'"))
        engine.dispose()
        folder = url.partition("host=")[2]
        Ledger(f"postgresql://keeper:{password}@/postgres?host={folder}").database.close()
