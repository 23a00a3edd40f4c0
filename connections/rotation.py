"""All sealed secrets together, of connections and channels: which keys they need, what is lost, sealing them anew."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import psycopg

from connections import secrets
from connections.secrets import Box
from errors import RecordAway
from settings import Settings
from store import audit
from store import connections as store
from store.audit import Actor
from store.record import Conn, Record


@dataclass
class Survey:
    """``sealed``: how many secrets each key seals. ``lost``: by key that is missing or wrong, what needs it: (what, name),
    what is connection or channel."""

    sealed: Counter[str] = field(default_factory=Counter)
    lost: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What is lost, for people: which key, how many, what to do. Empty where all is well."""
        out = []
        for key, needs in sorted(self.lost.items()):
            n = Counter(what for what, _ in needs)
            said = " and ".join(_many(n[what], what) for what in ("connection", "channel") if n[what])
            names = ", ".join(name for _, name in needs[:10]) + (", …" if len(needs) > 10 else "")
            out.append(
                f"the secrets of {said} cannot be opened: the key {key!r} they were sealed with is missing ({names}). "
                f"Bring it back into DLV_SECRETS_KEYS (or the file of DLV_SECRETS_KEYS_FILE) and start DLV again, or "
                f"write these secrets anew in their forms. Everything else goes on"
            )
        return out


def survey(conn: Conn, box: Box) -> Survey:
    """Opens everything once."""
    out = Survey()
    for row in store.all_sealed(conn):
        lost = box.lost(f"{row['what']}:{row['id']}", row["secrets"])
        out.sealed.update(str(one.get("key")) for one in row["secrets"].values())
        for key in sorted({e.key for e in lost.values()}):
            out.lost.setdefault(key, []).append((row["what"], row["name"]))
    return out


@dataclass(frozen=True)
class Rotated:
    """How many secrets were sealed anew, of how many connections and channels; ``lost``: what could not be opened and
    stays as it was."""

    key: str
    secrets: int
    connections: int
    channels: int
    lost: Survey


def rotate(conn: Conn, actor: Actor, box: Box) -> Rotated:
    """Seal everything that opens under the first key, in the caller's transaction. Raises
    :class:`connections.secrets.NoKey` where there is none."""
    if box.first is None:
        raise secrets.NoKey
    done: Counter[str] = Counter()
    n = 0
    for row in store.all_sealed(conn, lock=True):
        owner = f"{row['what']}:{row['id']}"
        lost = box.lost(owner, row["secrets"])
        old = {k: v for k, v in row["secrets"].items() if k not in lost and v["key"] != box.first}
        if old:
            new = box.seal_all(owner, box.open_all(owner, old))
            store.reseal(conn, row["what"], row["id"], {**row["secrets"], **new})
            done[row["what"]] += 1
            n += len(new)
    left = survey(conn, box)
    made = Rotated(box.first, n, done["connection"], done["channel"], left)
    if n:
        after = {"key": made.key, "sealed": n, "connections": made.connections, "channels": made.channels}
        audit.write(conn, actor, "secrets.rotate", "secrets", made.key, None, after)
    return made


def lost_at_start(record: Record, settings: Settings) -> list[str]:
    """What to say when a process starts; empty where all opens, or where the record does not answer or has no tables yet."""
    try:
        with record.tx() as conn:
            return survey(conn, secrets.box(settings)).lines()
    except (RecordAway, psycopg.errors.UndefinedTable):
        return []


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
