"""The archive of the site: the same each time, whole, and its sum is its own."""

import hashlib
import os
import zipfile

from tools.archive import pack


def test_archive_is_the_same_each_time_and_whole(tmp_path):
    site = tmp_path / "html"
    (site / "book").mkdir(parents=True)
    (site / "index.html").write_text("one")
    (site / "book" / "a.html").write_text("two")
    sums = [pack(site, tmp_path / "book.zip", 1_700_000_000)]
    os.utime(site / "index.html", (0, 0))
    (site / "index.html").chmod(0o600)
    sums.append(pack(site, tmp_path / "book.zip", 1_700_000_000))
    assert sums[0] == sums[1] == hashlib.sha256((tmp_path / "book.zip").read_bytes()).hexdigest()
    assert (tmp_path / "book.zip.sha256").read_text() == f"{sums[0]}  book.zip\n"
    with zipfile.ZipFile(tmp_path / "book.zip") as archive:
        assert archive.namelist() == ["book/book/a.html", "book/index.html"]
        assert archive.read("book/index.html") == b"one"
    (site / "index.html").write_text("other")
    assert pack(site, tmp_path / "book.zip", 1_700_000_000) != sums[0]
