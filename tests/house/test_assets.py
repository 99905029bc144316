"""What pages load: every vendored file is the one that was published, and nothing comes from another host (S-401)."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "referrals" / "static"
VENDOR = STATIC / "vendor"
TEMPLATES = ROOT / "templates"

#: ux.md's ceilings: a style sheet one person can read, and scripts that only make pages quicker.
MAX_CSS_LINES = 300
MAX_JS_LINES = 250

_REFERENCE = re.compile(
    r"""(?:\b(?:src|srcset|poster|data-src|xlink:href)\s*=\s*["']|<link\b[^>]*\bhref\s*=\s*["']|url\(\s*["']?|@import\s+["']"""
    r"""|\bfrom\s+["']|\bimport\(\s*["']|\bfetch\(\s*["'])\s*(?:https?:)?//""",
    re.IGNORECASE,
)


def ours() -> list[Path]:
    """Every text file of ours that a browser loads."""
    files = [path for path in STATIC.rglob("*") if path.is_file() and VENDOR not in path.parents]
    return sorted(files) + sorted(TEMPLATES.rglob("*.html"))


def lines(folder: Path, suffix: str) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob(f"*{suffix}"))


@pytest.fixture
def vendor() -> Iterator[ModuleType]:
    """The maintainer's tool, loaded from its file: `tools/` is no package."""
    spec = importlib.util.spec_from_file_location("vendor_tool", ROOT / "tools" / "vendor.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[spec.name]


@pytest.fixture
def small_vendor(tmp_path: Path, vendor: ModuleType) -> Path:
    """A vendor folder of two files with its manifest."""
    (tmp_path / "kit-1").mkdir()
    (tmp_path / "kit-1" / "kit.css").write_text("a{}", encoding="utf-8")
    (tmp_path / "kit-1" / "LICENSE").write_text("free", encoding="utf-8")
    listed = "".join(f"{sha}  {path}\n" for path, sha in sorted(vendor.shipped(tmp_path).items()))
    (tmp_path / "MANIFEST.sha256").write_text(listed, encoding="utf-8")
    return tmp_path


def test_a_changed_a_missing_and_an_added_file_are_each_named(vendor: ModuleType, small_vendor: Path) -> None:
    assert vendor.differences(small_vendor) == []
    (small_vendor / "kit-1" / "kit.css").write_text("a{color:red}", encoding="utf-8")
    assert vendor.differences(small_vendor) == ["kit-1/kit.css: changed"]
    (small_vendor / "kit-1" / "LICENSE").rename(small_vendor / "kit-1" / "LICENSE.old")
    assert vendor.differences(small_vendor) == [
        "kit-1/LICENSE: missing",
        "kit-1/LICENSE.old: not in MANIFEST.sha256",
        "kit-1/kit.css: changed",
    ]


def test_a_missing_package_is_named_before_anything_is_removed(
    vendor: ModuleType, small_vendor: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(vendor.VendorError, match=re.escape("@uswds/uswds 3.14.0 is not under")):
        vendor.copy(empty, small_vendor)
    assert (small_vendor / "kit-1" / "kit.css").exists()


def test_another_version_of_a_package_is_refused(vendor: ModuleType, small_vendor: Path, tmp_path: Path) -> None:
    package = tmp_path / "unpacked" / "package"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "@uswds/uswds", "version": "3.13.0"}', encoding="utf-8")
    with pytest.raises(vendor.VendorError, match=r"found version 3\.13\.0"):
        vendor.copy(tmp_path / "unpacked", small_vendor)


def test_every_vendored_file_is_the_published_one(vendor: ModuleType) -> None:
    assert vendor.differences(VENDOR) == [], "run python tools/vendor.py --from FOLDER, and never edit a vendored file"


def test_every_vendored_package_brings_its_license() -> None:
    folders = [path for path in VENDOR.iterdir() if path.is_dir()]
    assert folders
    assert [folder.name for folder in folders if not list(folder.glob("LICENSE*"))] == []


def test_vendored_style_sheets_name_no_file_that_is_not_there(vendor: ModuleType) -> None:
    missing = []
    for sheet in VENDOR.rglob("*.css"):
        package = VENDOR / sheet.relative_to(VENDOR).parts[0]
        for reference in vendor.css_references(sheet.read_text(encoding="utf-8")):
            path = (sheet.parent / reference).resolve()
            if not path.is_file() and path.relative_to(package).as_posix() not in vendor.LEFT_OUT:
                missing.append(f"{sheet.name}: {reference}")
    assert missing == []


def test_s401_no_asset_of_ours_comes_from_another_host() -> None:
    said = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in ours()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if _REFERENCE.search(line)
    ]
    assert said == [], "copy the file into referrals/static/vendor with tools/vendor.py"


@pytest.mark.parametrize(
    "line",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        "body { background: url(http://cdn.example/x.png) }",
        '@import "https://cdn.example/x.css";',
        'fetch("https://cdn.example/x.json")',
    ],
)
def test_the_search_for_foreign_hosts_finds_what_it_should(line: str) -> None:
    assert _REFERENCE.search(line)


def test_our_style_sheet_and_scripts_stay_small() -> None:
    assert lines(STATIC / "css", ".css") <= MAX_CSS_LINES
    assert lines(STATIC / "js", ".js") <= MAX_JS_LINES


def test_s401_our_scripts_need_no_inline_permission() -> None:
    for path in (STATIC / "js").rglob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\beval\(|new Function\(|setAttribute\(\s*[\"'](?:style|on)", text), path.name
