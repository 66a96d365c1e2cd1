"""New names for accounts."""

from collections.abc import Mapping

from sqlalchemy import Connection, text

from protocol.storage.chain import chain_again


def rename_accounts(connection: Connection, renamed: Mapping[str, str]) -> None:
    """Give accounts new names wherever they are named, and chain the lines anew.

    Args:
        connection: Of a transaction that writes.
        renamed: New names, which no account has, by old ones.
    """
    names = [{"old": old, "new": new} for old, new in renamed.items()]
    if not names:
        return
    opened = "INSERT INTO accounts (name, overdraft, balance) SELECT :new, overdraft, balance FROM accounts"
    connection.execute(text(f"{opened} WHERE name = :old"), names)
    connection.execute(text("CREATE INDEX renaming ON escrows (payer)"))
    connection.execute(text("UPDATE escrows SET payer = :new WHERE payer = :old"), names)
    connection.execute(text("DROP INDEX renaming"))
    chain_again(connection, renamed)
    connection.execute(text("DELETE FROM accounts WHERE name = :old"), names)
