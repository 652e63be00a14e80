from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import httpx
import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.stores import archive

URL = "https://ci:s3cret-word@files.example/main/baselines?signature=abcdef"
SHOWN = r"--llm-baseline: https://files\.example/main/baselines "
RUN = "test-router-1234/openai-5678/20260501-abc.json"


def zipped(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return packed.getvalue()


def tarred(files, mode="w:gz"):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as made:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def fetched(respx_mock, tmp_path):
    """Fetch what is served; the files that came, by path."""

    def fetched(served):
        answer = {"content": served} if isinstance(served, bytes) else {"status_code": served}
        respx_mock.get(URL.replace("ci:s3cret-word@", "")).respond(**answer)
        root = tmp_path / "baselines"
        archive.fetch(URL, root)
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    return fetched


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("folder", ["", "./", "baselines/", "repository-3f2c1a9/.llmperf/baselines/"])
def test_runs_are_found_in_any_folder_of_an_archive(fetched, kind, folder):
    files = {f"{folder}{RUN}": b"{}", "README.md": b"about", "slo.json": b"{}"}
    packed = zipped(files) if kind == "zip" else tarred(files, f"w:{kind[4:]}")
    assert fetched(packed) == {RUN: b"{}"}


def test_the_user_and_password_of_the_url_are_sent(fetched, respx_mock):
    fetched(zipped({RUN: b"{}"}))
    sent = respx_mock.calls.last.request.headers["authorization"]
    assert sent == httpx.BasicAuth("ci", "s3cret-word")._auth_header


@pytest.mark.parametrize(
    "name",
    [
        *("../../a/b/c.json", "a/../../c.json", "/a/../c.json", "a/b/.."),
        *("/no-such-folder/b.json", "C:/a/b.json", "a/b\\..\\..\\c/d.json"),
    ],
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_no_file_is_written_outside(fetched, pack, name, tmp_path):
    assert fetched(pack({RUN: b"{}", name: b"bad"})) == {RUN: b"{}"}
    assert [path.name for path in tmp_path.iterdir()] == ["baselines"]
    assert not Path(name).exists()


def test_links_are_left_out(fetched):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        link = tarfile.TarInfo("a/b/c.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        made.addfile(link)
        made.addfile(tarfile.TarInfo(RUN))
    assert fetched(packed.getvalue()) == {RUN: b""}


@pytest.mark.parametrize(
    ("served", "said"),
    [
        (404, r"answered with 404\."),
        (b"<html>log in</html>", r"cannot be unpacked: .* Expected a \.zip or \.tar\.gz"),
        (zipped({RUN: b"{}" * 999})[:-30], r"cannot be unpacked: "),
        (tarred({RUN: bytes(range(256)) * 99})[:-60], r"cannot be unpacked: "),
        (zipped({"README.md": b"about"}), r"holds no baseline\. Expected"),
    ],
    ids=["status", "page", "cut zip", "cut tar", "no run"],
)
def test_what_is_no_archive_of_baselines_is_said_without_the_secrets(fetched, served, said):
    with pytest.raises(LlmPerfUsageError, match=SHOWN + said) as raised:
        fetched(served)
    assert "s3cret" not in str(raised.value)
    assert "signature" not in str(raised.value)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_that_grows_too_large_is_refused(fetched, pack, monkeypatch):
    monkeypatch.setattr(archive, "MOST_BYTES", 1 << 20)
    with pytest.raises(LlmPerfUsageError, match="it is larger than 1 MiB"):
        fetched(pack({RUN: b" " * (2 << 20)}))


def test_a_download_that_grows_too_large_is_refused(fetched, monkeypatch):
    monkeypatch.setattr(archive, "MOST_BYTES", 1 << 20)
    with pytest.raises(LlmPerfUsageError, match="it is larger than 1 MiB"):
        fetched(bytes(2 << 20))


def test_a_server_that_cannot_be_reached_is_said(respx_mock, tmp_path):
    respx_mock.get().mock(side_effect=httpx.ConnectError("no route"))
    with pytest.raises(LlmPerfUsageError, match=SHOWN + r"cannot be fetched: ConnectError\."):
        archive.fetch(URL, tmp_path)
