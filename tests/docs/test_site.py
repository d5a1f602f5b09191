"""The site builds without a warning, fetches nothing from elsewhere, and holds all there is."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import retinue_sdk
import retinue_sdk.testing
from retinue_cli.app import retinue

OUTSIDE = re.compile(
    r"<(?:script|img|iframe)[^>]*\bsrc=\"?(?:https?:)?//[^\s\">]+"
    r"|<link[^>]*rel=\"?(?:stylesheet|preconnect|preload)[^>]*href=\"?(?:https?:)?//[^\s\">]+"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site, built as ``make docs`` does: with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    program = Path(sys.executable).with_name("mkdocs")
    config = Path(__file__).parents[2] / "docs/site/mkdocs.yml"
    done = subprocess.run(
        [program, "build", "--strict", "--config-file", config, "--site-dir", folder],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_a_reader_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    outside = {
        (str(page.relative_to(site)), found)
        for page in pages
        for found in OUTSIDE.findall(page.read_text("utf-8"))
    }
    assert outside == set()
    assert (site / "javascripts/mermaid.tiny.js").is_file()
    home = (site / "index.html").read_text("utf-8")
    assert "javascripts/mermaid.tiny.js" in home
    assert "javascripts/iframe-worker.js" in home


def test_every_page_of_the_documentation_is_found_by_the_search(
    site: Path, pages: dict[str, str]
) -> None:
    index = (site / "search/search_index.json").read_text("utf-8")
    found = {entry["location"].partition("#")[0] for entry in json.loads(index)["docs"]}
    ours = {page for page in pages if page.startswith("docs/")}
    wanted = {
        re.sub(r"README\.html$", "index.html", page[len("docs/") :].replace(".md", ".html"))
        for page in ours
    }
    assert wanted <= found
    assert (site / "search/search_index.js").is_file()  # for reading from files, without a server


@pytest.mark.parametrize(
    ("page", "module"),
    [("sdk", retinue_sdk), ("testing", retinue_sdk.testing)],
    ids=["sdk", "testing"],
)
def test_the_reference_has_every_public_name(site: Path, page: str, module: Any) -> None:
    text = (site / f"reference/{page}.html").read_text("utf-8")
    anchors = set(re.findall(r'id="?([\w.]+)', text))
    public = {f"{module.__name__}.{name}" for name in module.__all__}
    # The mark of a hook is a value of pluggy's, without a docstring; the page explains it in words.
    missing = public - anchors - {"retinue_sdk.hookimpl"}
    assert missing == set()
    assert page != "sdk" or "@hookimpl" in text


def test_the_reference_has_every_command(site: Path) -> None:
    text = (site / "reference/commands.html").read_text("utf-8")
    assert "Sentinel" not in text  # Click's own word for "not given" is none for readers
    headings = set(re.findall(r"<h[1-6] id=\"?([\w-]+)", text))

    def names(command: click.Command, path: str) -> set[str]:
        inner = command.commands.items() if isinstance(command, click.Group) else ()
        found = {path}
        for name, each in inner:
            if not each.hidden:
                found |= names(each, f"{path}-{name}")
        return found

    missing = {
        path
        for path in names(retinue, "retinue") - {"retinue"}
        if not any(h == path or h == path.rpartition("-")[2] or h.endswith(path) for h in headings)
    }
    assert missing == set()
