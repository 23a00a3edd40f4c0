"""What the documents name exists, and what exists is named: settings, make targets, commands, links, decisions."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

import cli
import settings

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(p.relative_to(ROOT)) for p in PAGES]
#: variables of the tests and of compose, not settings of the product
OTHERS = {"DLV_TEST_REQUIRE", "DLV_TEST_LONG", "DLV_IMAGE"}


def known() -> set[str]:
    """Every setting that settings.py reads."""
    return set(re.findall(r'"(DLV_[A-Z_]+)"', (ROOT / "settings.py").read_text()))


def table() -> dict[str, str]:
    """Setting → its default as the README's table says it."""
    out: dict[str, str] = {}
    for line in README.splitlines():
        if line.startswith("| `DLV_"):
            names, default = line.split("|")[1:3]
            found = re.findall(r"`(DLV_\w+)`", names)
            defaults = re.findall(r"`([^`]+)`", default)
            out |= dict(
                zip(
                    found,
                    defaults if len(defaults) == len(found) else [default.strip()] * len(found),
                    strict=True,
                )
            )
    return out


def test_every_setting_is_in_the_readme_and_no_other() -> None:
    assert set(table()) == known()


def test_the_defaults_are_the_ones_of_the_code() -> None:
    plain = settings.Settings(home=Path("/"))
    said = table()
    for setting, value in {
        "DLV_HOST": plain.host,
        "DLV_PORT": plain.port,
        "DLV_EVENT_DAYS": plain.event_days,
        "DLV_RUN_DAYS": plain.run_days,
        "DLV_MAX_PENDING_EVENTS": plain.max_pending_events,
        "DLV_WEB_THREADS": plain.web_threads,
        "DLV_API_PER_MINUTE": plain.api_per_minute,
        "DLV_TRUSTED_PROXIES": plain.trusted_proxies,
        "DLV_LOG_LEVEL": plain.log_level,
        "DLV_SECURE_COOKIES": int(plain.secure_cookies),
        "DLV_DEMO": int(plain.demo),
    }.items():
        assert said[setting] == str(value), setting
    assert said["DLV_MAX_BODY_BYTES"] == f"{plain.max_body_bytes // 1024**2} MiB"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_page_names_a_setting_that_does_not_exist(page: Path) -> None:
    named = set(re.findall(r"\bDLV_[A-Z][A-Z_]*[A-Z]\b", page.read_text()))
    assert named <= known() | OTHERS


def test_deployments_name_only_settings_that_exist() -> None:
    for path in (
        ROOT / "Dockerfile",
        ROOT / "docker-compose.yml",
        *(ROOT / "deploy" / "helm").rglob("*.yaml"),
    ):
        named = set(re.findall(r"\bDLV_[A-Z][A-Z_]*[A-Z]\b", path.read_text()))
        assert named <= known() | OTHERS, path.name


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_make_target_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in re.findall(
        r"(?:`|^    )(?:DLV_\w+=\S+ )*make ((?:[a-z]+ ?)+)", page.read_text(), re.MULTILINE
    ):
        assert set(words.split()) <= targets, words


def command(words: list[str]) -> click.Command | None:
    """The command that these words lead to, or None where there is none."""
    here: click.Command = cli.dlv
    for word in words:
        if not isinstance(here, click.Group):
            return here  # the rest are its arguments
        found = here.commands.get(word)
        if found is None:
            return None
        here = found
    return None if isinstance(here, click.Group) else here


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_named_exists(page: Path) -> None:
    text = page.read_text()
    named = re.findall(r"(?:`|^    |/|-- )dlv ((?:[a-z]+ ?)+)", text, re.MULTILINE)
    named += re.findall(r"--no-deps web ((?:[a-z]+ ?)+)", text)
    for words in named:
        assert command(words.split()) is not None, f"dlv {words}"


def test_the_commands_test_can_fail() -> None:
    assert command(["graph", "rebuild"]) is not None
    assert command(["admin", "create", "NAME"]) is not None
    assert command(["graph"]) is None and command(["graph", "burn"]) is None and command(["nothing"]) is None


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_file_named_in_code_quotes_exists(page: Path) -> None:
    """`store/dirty.py` and the like, so that a move of code moves its documents too. docs/design.md draws later rooms too."""
    for name in re.findall(r"`([a-z_]+/[\w/.-]+\.(?:py|sql|sh|md|yml))`", page.read_text()):
        assert (ROOT / name).exists() or (page.parent / name).exists(), name


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    index = (ROOT / "docs" / "index.md").read_text()
    for number, path in enumerate(files, 1):
        assert path.name.startswith(f"{number:04d}-"), path.name
        text = path.read_text()
        assert text.startswith(f"# {number}. "), path.name
        heads = re.findall(r"^## (\w+)", text, re.MULTILINE)
        assert heads == ["Context", "Decision", "Consequences"], path.name
        assert f"(decisions/{path.name})" in index, f"{path.name} is not in docs/index.md"


def test_every_runbook_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for path in (ROOT / "docs" / "runbooks").glob("*.md"):
        assert f"(runbooks/{path.name})" in index, path.name
