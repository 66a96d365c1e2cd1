"""The console: one page about a running cloud, read-only, without any request to elsewhere."""

import base64
import hashlib
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from itertools import islice

import jinja2
from markupsafe import Markup

from deploy.overview import Overview, Party
from parties.purchase.terms import COIN
from parties.purchase.workflow import Purchase
from protocol.storage.package import packaged_file

NAMED = 50
"""Parties of a role that are named."""


def page(now: Overview) -> str:
    """Write the page about a cloud as it is."""
    attached = sum(party.attached for party in now.parties)
    style, script = Markup(_part("css")), Markup(_part("js"))
    return _template().render(now=now, attached=attached, steps=Purchase.STEPS, style=style, script=script)


def policy() -> str:
    """Return the Content-Security-Policy under which the page works: its own style and script, and its own server."""
    style, script = (f"'sha256-{_hash(_part(suffix))}'" for suffix in ("css", "js"))
    return (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


@cache
def _part(suffix: str) -> str:
    return packaged_file(f"deploy/console.{suffix}").read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"clock": _clock, "coins": _coins, "size": _size, "named": _named}
    return environment.from_string(_part("html"))


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


def _coins(amount: int) -> str:
    return f"{amount / COIN:,.2f}"


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 10**9 else f"{count / 1e6:.1f} MB"


def _named(parties: Iterable[Party]) -> str:
    names = [party.name for party in parties]
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(islice(names, NAMED)) + more or "–"
