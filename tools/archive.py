"""Pack the built site into one file that can be kept and checked: the same site gives the same file, byte for byte.

Use it through `make archive`.
"""

import argparse
import hashlib
import os
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def pack(site: Path, target: Path, seconds: int) -> str:
    """Write a folder into a zip file with one date for all, and its SHA-256 beside it, which is returned.

    Arguments:
        site: the folder; it is the only one at the top of the archive.
        target: the zip file; the sum goes into a file of that name and `.sha256`, as `sha256sum --check` reads it.
        seconds: the date, since 1970; zip files know none before 1980.
    """
    date = time.gmtime(max(seconds, 315532800))[:6]
    files = sorted((path.relative_to(site).as_posix(), path) for path in site.rglob("*") if path.is_file())
    with zipfile.ZipFile(target, "w") as archive:
        for name, path in files:
            entry = zipfile.ZipInfo(f"{target.stem}/{name}", date)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            archive.writestr(entry, path.read_bytes(), compresslevel=9)
    found = hashlib.sha256(target.read_bytes()).hexdigest()
    target.with_name(f"{target.name}.sha256").write_text(f"{found}  {target.name}\n", encoding="utf-8")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--to", type=Path, default=ROOT / "_build" / "icl-nb-book.zip")
    options = parser.parse_args()
    found = pack(options.site, options.to, int(os.environ.get("SOURCE_DATE_EPOCH", 0)))
    print(f"{options.to}: {options.to.stat().st_size / 1e6:.1f} MB, sha256 {found}")


if __name__ == "__main__":
    main()
