"""Copy the third-party files that our pages load into the repository, and prove that they are unchanged.

A maintainer's tool. Nobody needs it to run Throughgate: the files it copies are in the repository, so that no page ever
loads from another host and an installation without a network works. Get the packages in a folder of your own
(`npm pack @uswds/uswds@3.14.0 swagger-ui-dist@5.35.0`, then unpack each archive in a folder of its own) and run::

    python tools/vendor.py --from FOLDER_WITH_UNPACKED_PACKAGES
    python tools/vendor.py --check

`MANIFEST.sha256` has the form that `sha256sum --check` reads, one line for each file, sorted by path.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
VENDOR = TOOLS.parent / "referrals" / "static" / "vendor"
MANIFEST = VENDOR / "MANIFEST.sha256"

#: Files that the vendored CSS names and that we leave out, because no page of ours uses the class that loads them.
#: `.usa-hero` is the banner of a public home page; its photograph alone is 147 kB.
LEFT_OUT = frozenset({"img/hero.jpg"})

_CSS_URL = re.compile(r"url\(\s*[\"']?([^\"')]+?)[\"']?\s*\)")


class VendorError(Exception):
    """A package or a file is not as it should be; the text says which one and what to do."""


@dataclass(frozen=True)
class Package:
    """One npm package in one exact version, and what we take from it.

    `files` maps paths inside the package to paths inside its folder here. What a style sheet among them loads
    (fonts, images) comes along, at the same place relative to the style sheet. `licenses` are texts beside this tool
    that the package only names, though its files must be given on together with them.
    """

    npm: str
    version: str
    folder: str
    files: dict[str, str]
    licenses: tuple[str, ...] = ()


PACKAGES = (
    Package(
        npm="@uswds/uswds",
        version="3.14.0",
        folder="uswds-3.14.0",
        files={
            "LICENSE.md": "LICENSE.md",
            "dist/css/uswds.min.css": "css/uswds.min.css",
            "dist/js/uswds-init.min.js": "js/uswds-init.min.js",
            "dist/js/uswds.min.js": "js/uswds.min.js",
        },
        licenses=("OFL-1.1.txt",),  # Source Sans Pro, Merriweather; Roboto Mono and the icons: LICENSE of swagger-ui
    ),
    Package(
        npm="swagger-ui-dist",
        version="5.35.0",
        folder="swagger-ui-5.35.0",
        files={
            "LICENSE": "LICENSE",
            "NOTICE": "NOTICE",
            "swagger-ui-bundle.js": "swagger-ui-bundle.js",
            "swagger-ui-bundle.js.LICENSE.txt": "swagger-ui-bundle.js.LICENSE.txt",
            "swagger-ui.css": "swagger-ui.css",
        },
    ),
)


def css_references(css: str) -> set[str]:
    """Give the relative addresses a style sheet loads; `data:` images and an empty `url()` load nothing."""
    return {found for found in _CSS_URL.findall(css) if not found.startswith(("data:", "#"))}


def unpacked(folder: Path, package: Package) -> Path:
    """Find the package under `folder` by its name and version, however deep its archive put it.

    Raises `VendorError` when it is missing or has another version.
    """
    seen = []
    for pattern in ("package.json", "*/package.json", "*/*/package.json", "*/*/*/package.json"):
        for path in sorted(folder.glob(pattern)):
            described = json.loads(path.read_text(encoding="utf-8"))
            if described.get("name") != package.npm:
                continue
            if described.get("version") == package.version:
                return path.parent
            seen.append(str(described.get("version")))
    found = f" (found version {', '.join(seen)})" if seen else ""
    msg = f"{package.npm} {package.version} is not under {folder}{found}. Run: npm pack {package.npm}@{package.version}"
    raise VendorError(msg)


def wanted(source: Path, package: Package) -> dict[str, Path]:
    """List what to copy: path inside the package's folder here -> file to copy from.

    Raises `VendorError` when the package lacks a file that we or its style sheets name.
    """
    copies = {name: TOOLS / "licenses" / name for name in package.licenses}
    for inside, here in package.files.items():
        copies[here] = source / inside
        if here.endswith(".css"):
            for reference in css_references((source / inside).read_text(encoding="utf-8")):
                place = _joined(Path(here).parent, reference)
                if place not in LEFT_OUT:
                    copies[place] = (source / inside).parent / reference
    for here, origin in copies.items():
        if not origin.is_file():
            msg = f"{package.npm} {package.version} has no file for {here}"
            raise VendorError(msg)
    return copies


def _joined(folder: Path, reference: str) -> str:
    """Resolve `../img/x.svg` against the folder of the style sheet, without touching the disk."""
    parts = list(folder.parts)
    for part in reference.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def digest(path: Path) -> str:
    """Give the SHA-256 of a file's bytes in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def shipped(vendor: Path) -> dict[str, str]:
    """Give path (relative, with `/`) -> SHA-256 of every file in the vendor folder except the manifest itself."""
    return {
        path.relative_to(vendor).as_posix(): digest(path)
        for path in sorted(vendor.rglob("*"))
        if path.is_file() and path.name != MANIFEST.name
    }


def differences(vendor: Path) -> list[str]:
    """Hold the vendor folder against its manifest: one sentence for each file changed, missing or not listed."""
    listed: dict[str, str] = {}
    for line in (vendor / MANIFEST.name).read_text(encoding="utf-8").splitlines():
        sha, _, path = line.partition("  ")
        listed[path] = sha
    present = shipped(vendor)
    said = [f"{path}: missing" for path in sorted(listed.keys() - present.keys())]
    said += [f"{path}: not in {MANIFEST.name}" for path in sorted(present.keys() - listed.keys())]
    said += [f"{path}: changed" for path in sorted(listed.keys() & present.keys()) if listed[path] != present[path]]
    return said


def copy(folder: Path, vendor: Path) -> int:
    """Replace the vendor folder by what the unpacked packages under `folder` hold; gives the number of files.

    Raises `VendorError` before anything is removed when a package or a file is missing.
    """
    plan = {package.folder: wanted(unpacked(folder, package), package) for package in PACKAGES}
    shutil.rmtree(vendor, ignore_errors=True)
    for name, copies in plan.items():
        for here, origin in copies.items():
            target = vendor / name / here
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin, target)
    lines = [f"{sha}  {path}\n" for path, sha in sorted(shipped(vendor).items())]
    (vendor / MANIFEST.name).write_text("".join(lines), encoding="utf-8")
    return len(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 0 when all is well, 1 when a file differs, 2 when a package is missing."""
    parser = argparse.ArgumentParser(description="Copy or check the third-party files that our pages load.")
    todo = parser.add_mutually_exclusive_group(required=True)
    todo.add_argument("--from", dest="source", type=Path, metavar="FOLDER", help="folder with the unpacked packages")
    todo.add_argument("--check", action="store_true", help="compare the files with the manifest")
    chosen = parser.parse_args(arguments)
    if chosen.check:
        said = differences(VENDOR)
        for sentence in said:
            print(sentence, file=sys.stderr)
        return 1 if said else 0
    try:
        count = copy(chosen.source, VENDOR)
    except VendorError as refused:
        print(refused, file=sys.stderr)
        return 2
    print(f"{count} files in {VENDOR}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
