"""Every id that a callback names is drawn by some page, and what the URL asks is read as said."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from errors import Invalid
from pages import _ask, _canvas

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "pages").glob("*.py"))
#: ids that Dash's own router draws
ROUTER = {"_pages_location", "_pages_content", "_pages_store"}


def _text(node: ast.expr) -> str | None:
    """A string constant, or an f-string with its holes as stars."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else "*" for p in node.values)
    return None


def _ids() -> tuple[dict[str, str], set[str]]:
    """(id named by a callback → file, ids drawn)."""
    named: dict[str, str] = {}
    drawn: set[str] = set()
    for path in PAGES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("Input", "Output", "State") and node.args:
                text = _text(node.args[0])
                if text:
                    named[text] = path.name
            for keyword in node.keywords:
                if keyword.arg == "id" and (text := _text(keyword.value)):
                    drawn.add(text)
    return named, drawn


def test_every_id_of_a_callback_is_drawn() -> None:
    named, drawn = _ids()
    assert len(named) > 30
    patterns = [re.compile(re.escape(d).replace(r"\*", r"[\w-]+") + "$") for d in drawn]
    lost = {
        i: f
        for i, f in named.items()
        if i not in ROUTER and i not in drawn and not any(p.match(i) for p in patterns)
    }
    assert not lost


def test_the_canvas_reads_the_fields_that_the_server_writes() -> None:
    text = (ROOT / "assets/js/3-canvas.js").read_text()
    block = re.search(r"const FIELDS = \[(.*?)\];", text, re.S)
    assert block
    assert tuple(re.findall(r'"(\w+)"', block[1])) == _canvas.FIELDS


def test_pages_do_not_import_pages() -> None:
    public = {p.stem for p in PAGES if not p.stem.startswith("_")}
    for path in PAGES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "pages":
                assert not public & {a.name for a in node.names}, path.name


def test_a_question_is_read_from_the_url() -> None:
    ask = _ask.read(
        {"node": "n", "up": "3", "jobs": "0", "grow": ["a:both", "b:upstream"], "kind": "table", "also": "x"}
    )
    assert (ask.node, ask.up, ask.down, ask.jobs, ask.depth) == ("n", 3, 1, False, None)
    assert ask.grow == (("a", "upstream"), ("a", "downstream"), ("b", "upstream"))
    assert ask.filters == {"kind": ["table"]} and ask.also == ("x",)


@pytest.mark.parametrize("params", [{"up": "x"}, {"grow": "a:sideways"}, {"direction": "left"}])
def test_a_wrong_question_names_what_is_wrong(params: dict[str, str]) -> None:
    with pytest.raises(Invalid) as e:
        _ask.read(params)
    assert e.value.field == next(iter(params))
