"""The admins' pages as people use them: forms, conflicts, many at once, teams by pattern, keys, the audit, files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from answers import nodes
from store import node_edits
from store.audit import Actor, verify
from tests.web import PASSWORD
from workers import rules

OTHER = Actor("user", "00000000-0000-0000-0000-000000000001", "grace")


def signed_in(site: Any, chromium: Any, role: str, width: int = 1440) -> Any:
    """A page of somebody with this role, and what its console said."""
    client = site.web.client()
    answer = client.post("/sign-in", data={"username": site.web.user(role), "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    context = chromium.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce")
    context.add_cookies(
        [
            {"name": c.key, "value": c.value, "url": site.url, "httpOnly": bool(c.http_only)}
            for c in client._cookies.values()
        ]
    )
    opened = context.new_page()
    opened.said = []
    opened.on("console", lambda m: opened.said.append(f"{m.type}: {m.text}"))
    opened.on("pageerror", lambda e: opened.said.append(f"error: {e}"))
    return opened


@pytest.fixture
def admin(site: Any, chromium: Any) -> Iterator[Any]:
    """An admin's page, whose console must stay empty."""
    page = signed_in(site, chromium, "admin")
    yield page
    page.context.close()
    assert not page.said, "\n".join(page.said)


def row(page: Any, text: str) -> Any:
    return page.locator(".ag-center-cols-container .ag-row", has_text=text).first


def act(page: Any, text: str, mode: str) -> None:
    """The button of a row; buttons are pinned, so they are in another container under the same row id."""
    id_ = row(page, text).get_attribute("row-id")
    page.locator(f'[data-mode="{mode}"][data-id="{id_}"]').click()


def field(page: Any, name: str) -> Any:
    """The input, or the wrapper's input, of a form's field."""
    return page.locator(f'.form [id*=\'"field":"{name}"\']').locator("visible=true").first


def choose(page: Any, name: str, label: str) -> None:
    field(page, name).click()
    page.get_by_role("option", name=label).locator("visible=true").first.click()


def save(page: Any) -> None:
    page.locator(".form-save:not(.gone)").locator("visible=true").click()


def toast(page: Any, text: str) -> None:
    page.locator(".toast-in", has_text=text).wait_for()


def shut(page: Any) -> None:
    """Wait until no dialog is open."""
    every = (
        "[...document.querySelectorAll('.dialog .mantine-Modal-content')].every(e => !e.checkVisibility())"
    )
    page.wait_for_function(every)


def wide_enough(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def team(site: Any, name: str, patterns: list[str]) -> str:
    from store import teams

    with site.web.record.tx() as conn:
        return str(teams.create(conn, OTHER, {"name": name, "patterns": patterns})["id"])


def test_a_node_is_made_edited_and_a_conflict_is_told(site: Any, admin: Any) -> None:
    team(site, "Finance", [])
    admin.goto(f"{site.url}/admin/nodes?q=refund")
    row(admin, "shop.raw.refunds").wait_for()

    admin.get_by_role("button", name="New node").click()
    save(admin)
    admin.get_by_text("Namespace is needed.").wait_for()
    field(admin, "namespace").fill("postgresql://SHOP-DB:5432")
    field(admin, "name").fill("shop.raw.refund_reasons")
    choose(admin, "sla_kind", "Fresh within")
    save(admin)
    admin.get_by_text("Say within how many minutes.").wait_for()
    field(admin, "sla_minutes").fill("90")
    save(admin)
    toast(admin, "refund_reasons is on the map")
    row(admin, "refund_reasons").wait_for()
    made = nodes.get(site.web.dlv, site.id("shop.raw.refund_reasons"))
    assert (made["namespace"], made["sla"]) == (
        "postgres://shop-db:5432",
        {"kind": "freshness", "minutes": 90},
    )

    act(admin, "refund_reasons", "edit")
    field(admin, "description").fill("why money goes back")
    choose(admin, "criticality", "2")
    with site.web.record.tx() as conn:
        node_edits.edit(conn, OTHER, nodes.uuid_of(made["id"]), {"criticality": 4, "tags": ["theirs"]}, 1)
    save(admin)
    box = admin.locator(".conflict")
    box.wait_for()
    told = box.inner_text()
    assert "grace" in told and re.search(r"Criticality\s+2\s+4", told), told
    assert "Tags\tnot changed by you\ttheirs" in told, told
    admin.get_by_role("button", name="Write mine again").click()
    toast(admin, "is saved")
    now = nodes.get(site.web.dlv, made["id"])
    assert (now["criticality"], now["tags"], now["description"]) == (2, ["theirs"], "why money goes back")

    shut(admin)
    act(admin, "refund_reasons", "edit")
    field(admin, "description").fill("mine")
    with site.web.record.tx() as conn:
        node_edits.edit(conn, OTHER, nodes.uuid_of(made["id"]), {"description": "theirs"}, now["version"])
    save(admin)
    admin.get_by_role("button", name="Take theirs").click()
    admin.wait_for_function("() => document.querySelector('.conflict') === null")
    assert field(admin, "description").input_value() == "theirs"

    admin.keyboard.press("Escape")
    shut(admin)
    row(admin, "refund_reasons").locator("button").first.click()
    drawer = admin.locator(".drawer.open")
    drawer.locator("#note-text").fill("ask finance first")
    drawer.get_by_role("button", name="Add note").click()
    drawer.get_by_role("button", name="Edit this note").click()
    field(admin, "text").fill("ask finance twice")
    save(admin)
    drawer.locator(".note", has_text="ask finance twice").wait_for()
    shut(admin)
    admin.locator("#drawer-close").click()

    act(admin, "refund_reasons", "retire")
    save(admin)
    toast(admin, "is retired")
    row(admin, "refund_reasons").wait_for(state="detached")
    assert nodes.get(site.web.dlv, made["id"])["retired_at"]


def test_many_at_once_and_two_become_one(site: Any, admin: Any) -> None:
    team(site, "Finance", [])
    admin.goto(f"{site.url}/admin/nodes?q=raw.&type=dataset&system=postgres")
    for name in ("shop.raw.customers", "shop.raw.orders"):
        row(admin, name).wait_for()
        id_ = row(admin, name).get_attribute("row-id")
        admin.locator(f'.ag-row[row-id="{id_}"] input[type=checkbox]').check()
    admin.get_by_role("button", name="Edit selected").click()
    choose(admin, "owner", "Finance")
    field(admin, "tags").fill("gold,")
    save(admin)
    toast(admin, "2 nodes saved")
    for name in ("shop.raw.customers", "shop.raw.orders"):
        n = nodes.get(site.web.dlv, site.id(name))
        assert (n["owner_name"], n["tags"]) == ("Finance", ["gold"])
    assert nodes.get(site.web.dlv, site.id("shop.raw.payments"))["owner_name"] != "Finance"

    shut(admin)
    matched = {"q": "raw.", "type": ["dataset"], "system": ["postgres"]}
    every = nodes.page(site.web.dlv, matched, 1000, total=True)
    admin.get_by_role("button", name="Edit all that match").click()
    admin.get_by_text(f"Edit all that match: {every['total']} nodes").wait_for()
    choose(admin, "criticality", "3")
    save(admin)
    toast(admin, f"{every['total']} nodes saved")
    rated = nodes.page(site.web.dlv, {"criticality": [3]}, 1000)["items"]
    assert {n["id"] for n in rated} == {n["id"] for n in every["items"]} and every["total"] > 2
    shut(admin)
    a, b = site.id("shop.raw.customers"), site.id("shop.raw.sessions")
    act(admin, "shop.raw.customers", "merge")
    field(admin, "other").fill("raw.sessions")
    admin.get_by_role("option", name="shop.raw.sessions").locator("visible=true").click()
    save(admin)
    toast(admin, "They are one node now")
    assert nodes.resolve(site.web.dlv, a) == nodes.resolve(site.web.dlv, b)
    shut(admin)

    one = str(nodes.resolve(site.web.dlv, a))
    admin.locator(f'[data-mode="split"][data-id="{one}"]').click()
    choose(admin, "alias", "postgres://shop-db:5432/shop.raw.sessions")
    save(admin)
    toast(admin, "is a node of its own")
    assert nodes.resolve(site.web.dlv, a) != nodes.resolve(site.web.dlv, b)


def test_a_team_owns_by_pattern(site: Any, admin: Any) -> None:
    admin.goto(f"{site.url}/admin/teams")
    admin.get_by_text("No team yet").wait_for()
    admin.get_by_role("button", name="New team").first.click()
    field(admin, "name").fill("Exports")
    field(admin, "people").fill("Ada Lovelace <ada@shop.example>\nnot an address@")
    field(admin, "channels").fill("slack #exports")
    field(admin, "patterns").fill("postgres://shop-db*/shop.tenant_*\nkafka://nowhere/*")
    admin.locator(".matched li", has_text="tenant_*60 nodes").wait_for()
    admin.locator(".matched li", has_text="nowhere/*0 nodes").wait_for()
    field(admin, "channels").fill("pigeon #exports")
    save(admin)
    admin.get_by_text("No channel is of kind 'pigeon'").wait_for()
    field(admin, "channels").fill("slack #exports")
    save(admin)
    toast(admin, "Exports owns 60 nodes")
    assert nodes.get(site.web.dlv, site.id("shop.tenant_07.events"))["owner_name"] == "Exports"


def test_a_key_is_shown_once_and_the_audit_tells_it(site: Any, admin: Any) -> None:
    admin.goto(f"{site.url}/admin/keys")
    admin.get_by_role("button", name="New key").first.click()
    field(admin, "name").fill("airflow-test")
    save(admin)
    admin.locator("#shown-once").wait_for()
    key = admin.locator("#shown-once").inner_text()
    assert key.startswith("dlv_") and key in admin.locator("#snippet-airflow").inner_text()
    event = {"Authorization": f"Bearer {key}"}
    assert site.web.client().get("/api/v1/nodes", headers=event).status_code == 403
    admin.get_by_role("button", name="Done").click()
    shut(admin)
    admin.reload()
    row(admin, "airflow-test").wait_for()
    assert key not in admin.content() and key[:12] in admin.content()
    act(admin, "airflow-test", "revoke")
    save(admin)
    toast(admin, "is revoked")
    assert site.web.client().get("/api/v1/nodes", headers=event).status_code == 401

    admin.goto(f"{site.url}/admin/audit?object_type=api_key")
    row(admin, "api_key.revoke").wait_for()
    assert "the-admin" in row(admin, "api_key.create").inner_text()
    act(admin, "api_key.create", "show")
    admin.locator(".diff-table", has_text="lineage:write").wait_for()
    admin.keyboard.press("Escape")
    shut(admin)
    admin.get_by_role("button", name="Verify the chain").click()
    admin.get_by_text("The chain holds over").wait_for()
    assert verify(site.web.record) == (True, None)
    with site.web.record.tx() as conn:
        conn.execute("update audit_log set actor_name = 'nobody' where seq = 2")
    admin.get_by_role("button", name="Verify the chain").click()
    admin.get_by_text("The chain is broken at entry 2.").wait_for()


def test_a_user_a_rule_an_edge_and_a_file(site: Any, admin: Any) -> None:
    admin.goto(f"{site.url}/admin/users")
    admin.get_by_role("button", name="New user").click()
    field(admin, "username").fill("two words")
    save(admin)
    admin.get_by_text("A username is a word").wait_for()
    field(admin, "username").fill("lin")
    save(admin)
    admin.locator("#shown-once").wait_for()
    once = admin.locator("#shown-once").inner_text()
    assert site.web.client().post("/sign-in", data={"username": "lin", "password": once}).status_code == 303
    admin.get_by_role("button", name="Done").click()
    shut(admin)
    act(admin, "the-admin", "disable")
    save(admin)
    admin.get_by_text("This is the last admin.").wait_for()

    admin.goto(f"{site.url}/admin/rules")
    admin.locator("#try-namespace").fill("postgres://other:5432")
    admin.locator("#try-name").fill("shop.raw.orders")
    admin.locator("#try-said", has_text="Not on the map yet").wait_for()
    admin.get_by_role("button", name="New rule").first.click()
    field(admin, "pattern").fill("other:5432")
    save(admin)
    admin.get_by_text("A host_alias rule needs a value.").wait_for()
    field(admin, "value").fill("shop-db:5432")
    save(admin)
    toast(admin, "The rule is saved")
    admin.locator("#try-said button", has_text="shop.raw.orders").wait_for()
    admin.get_by_role("button", name="Apply to all").click()
    save(admin)
    toast(admin, "The rules are being applied")
    admin.locator("#rules-applied", has_text="waiting for a worker").wait_for()
    assert rules.apply_asked(site.web.record) == 1
    admin.locator("#rules-applied", has_text="Last applied to everything").wait_for()

    admin.goto(f"{site.url}/admin/edges?q=refunds")
    admin.get_by_role("button", name="Draw an edge").first.click()
    for name, text in (("source", "raw.refunds"), ("target", "dim_customer")):
        field(admin, name).fill(text)
        admin.get_by_role("option", name="Postgres table").locator("visible=true").first.click()
    save(admin)
    toast(admin, "is drawn")
    admin.locator(".ag-row", has_text="drawn by hand").first.wait_for()

    admin.goto(f"{site.url}/admin/import")
    text = admin.locator("textarea#import-text")
    text.fill("- select: {name: shop.raw.orders}\n  set: {criticality: 9}\n")
    admin.get_by_role("button", name="Preview").click()
    admin.get_by_text("Line 1, criticality: criticality is 9.").wait_for()
    text.fill("- select: {name: shop.raw.orders}\n  set: {criticality: 1, tags: [gold]}\n")
    admin.get_by_role("button", name="Preview").click()
    admin.get_by_text("2 changes on 1 node").wait_for()
    assert nodes.get(site.web.dlv, site.id("shop.raw.orders"))["criticality"] is None
    admin.get_by_role("button", name="Apply", exact=True).click()
    admin.get_by_text("1 node changed").wait_for()
    assert nodes.get(site.web.dlv, site.id("shop.raw.orders"))["criticality"] == 1


def test_how_a_producer_is_watched(site: Any, admin: Any) -> None:
    site.web.key("lineage:write", name="airflow-watched")
    with site.web.record.tx() as conn:
        conn.execute(
            "insert into connection (id, name, kind) values (gen_random_uuid(), 'the airflow', 'airflow')"
        )
    admin.goto(f"{site.url}/admin/keys?view=producers")
    act(admin, "airflow-watched", "watch")
    field(admin, "minutes").fill("30")
    choose(admin, "connection_id", "the airflow")
    choose(admin, "expects", "No: it is never quiet")
    save(admin)
    toast(admin, "airflow-watched is changed")
    admin.locator(".ag-row", has_text="Retired").first.wait_for()
    kept = site.web.record.one(
        """select extract(epoch from p.expected_every)::int as every, c.name, p.retired_at is not null as retired
           from producer p join connection c on c.id = p.connection_id where p.name = 'airflow-watched'"""
    )
    assert kept == {"every": 1800, "name": "the airflow", "retired": True}


PAGES = ("nodes", "edges", "teams", "users", "keys", "keys?view=producers", "rules", "audit", "import")


def test_the_catalog_is_everybodys_and_the_rest_is_admins(site: Any, chromium: Any) -> None:
    page = signed_in(site, chromium, "viewer", width=1024)
    page.goto(f"{site.url}/catalog?health=failed")
    row(page, "load_payments").wait_for()
    assert "health=failed" in page.url
    listed = page.locator("#catalog-total").inner_text()
    row_of_counts = site.web.record.one("select count(*) as n from node where health = 'failed'")
    assert listed == f"{row_of_counts['n']} nodes"
    row(page, "load_payments").locator("button").first.click()
    page.locator(".drawer.open", has_text="load_payments").wait_for()
    page.locator(".side .nav", has_text="Catalog").click()
    page.wait_for_function(
        "t => document.querySelector('#catalog-total').innerText.length > t.length", arg=listed
    )
    assert wide_enough(page)
    assert page.locator(".side .nav", has_text="Audit").count() == 0
    for name in PAGES:
        page.goto(f"{site.url}/admin/{name}")
        page.get_by_text("403: for admins only").wait_for()
    page.context.close()
    assert not page.said, "\n".join(page.said)

    page = signed_in(site, chromium, "admin", width=1024)
    for name in PAGES:
        page.goto(f"{site.url}/admin/{name}")
        page.locator(".list-head h1").wait_for()
        page.locator(".grid-place").wait_for()
        assert wide_enough(page), name
    page.context.close()
    assert not page.said, "\n".join(page.said)
