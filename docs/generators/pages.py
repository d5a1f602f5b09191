"""Add pages that live beside the code to the site, and correct the links between pages.

MkDocs reads pages from one folder, but READMEs are beside the code that they describe. This hook
gives each an address in the site, and resolves every relative link from the page's place in the
repository. A link to another file leads to a copy of it.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

BROUGHT = {
    "README.md": "start.md",
    "CHANGELOG.md": "project/changelog.md",
    "CODE_OF_CONDUCT.md": "project/code-of-conduct.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "ROADMAP.md": "project/roadmap.md",
    "SECURITY.md": "project/security.md",
    "THIRD_PARTY_NOTICES.md": "project/third-party-notices.md",
    "infra/README.md": "infrastructure.md",
    "plugins/eventbridge/README.md": "plugins/eventbridge.md",
    "plugins/onnx/README.md": "plugins/onnx.md",
    "plugins/rekognition/README.md": "plugins/rekognition.md",
}
"""Addresses in the site of pages outside of docs/, by their path in the repository."""

_PATH = {address: path for path, address in BROUGHT.items()}
_NAMES = re.compile(r"^::: ([\w.]+)\.\{([\w, ]+)\}$", re.MULTILINE)
_CODE_OR_LINK = re.compile(
    r"(?P<code>^```.*?^```$|`[^`\n]*`)|(?P<before>\]\()(?P<link>[^)\s]+)\)",
    re.MULTILINE | re.DOTALL,
)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages outside of docs/."""
    for path, address in BROUGHT.items():
        files.append(File.generated(config, address, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace relative links with addresses in the site, and `::: a.{b, c}` with a line each."""
    here = page.file.src_uri
    folder = posixpath.dirname(_PATH.get(here, f"docs/{here}"))

    def led(found: re.Match[str]) -> str:
        link = found["link"]
        if link is None or link.startswith("#") or re.match(r"[a-z]+:", link):
            return found[0]
        path, hash_sign, anchor = link.partition("#")
        target = _address(posixpath.normpath(posixpath.join(folder, path)), config, files)
        return f"]({posixpath.relpath(target, posixpath.dirname(here) or '.')}{hash_sign}{anchor})"

    def each(found: re.Match[str]) -> str:
        return "\n\n".join(f"::: {found[1]}.{name}" for name in found[2].split(", "))

    return _NAMES.sub(each, _CODE_OR_LINK.sub(led, markdown))


def _address(path: str, config: MkDocsConfig, files: Files) -> str:
    """Return the address of a file in the site. Copy a file that isn't a page."""
    if path in BROUGHT:
        return BROUGHT[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    address = f"files/{path}.txt"
    if (ROOT / path).is_file() and files.get_file_from_path(address) is None:
        files.append(File.generated(config, address, abs_src_path=str(ROOT / path)))
    return address
