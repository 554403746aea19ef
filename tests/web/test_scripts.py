"""The page's plain logic, run by Node's own test runner; and what the daemon is given to serve."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from assistant import web

HERE = Path(__file__).resolve().parent
PAGE = web.STATIC_DIR / "index.html"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_logic_of_the_page() -> None:
    files = sorted(str(path) for path in HERE.glob("*.test.mjs"))
    result = subprocess.run(
        ["node", "--test", *files], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout[-6_000:]


def test_every_file_has_a_type_and_is_served() -> None:
    for path in web.STATIC_DIR.iterdir():
        asset = web.asset(f"/{path.name}?v=1")
        assert asset is not None, path.name
        assert asset.body == path.read_bytes()
    page = web.asset("/")
    assert page is not None
    assert page.content_type.startswith("text/html")


@pytest.mark.parametrize(
    "path",
    ["/../__init__.py", "/..%2f__init__.py", "//etc/passwd", "/index.html/", "/nothing.js", "/static", "/."],
)
def test_no_path_leads_out(path: str) -> None:
    assert web.asset(path) is None


def test_nothing_is_fetched_from_elsewhere_and_nothing_is_inline() -> None:
    for path in web.STATIC_DIR.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://", text), path.name
    page = PAGE.read_text()
    assert not re.search(r"<script(?![^>]*src=)", page)
    assert not re.search(r"\s(style|on\w+)=", page)
    assert "<style" not in page


def test_the_policy_names_the_page_s_own_host() -> None:
    policy = web.headers("example.org:8443")["Content-Security-Policy"]
    assert "connect-src 'self' ws://example.org:8443 wss://example.org:8443;" in policy
    for strange in ("", "a b", "x;script-src *", "x'"):
        policy = web.headers(strange)["Content-Security-Policy"]
        assert "connect-src 'self';" in policy
    assert "unsafe" not in policy


def test_every_control_has_a_name() -> None:
    page = PAGE.read_text()
    for button in re.findall(r"<button[^>]*>.*?</button>", page, re.DOTALL):
        words = re.sub(r"<[^>]+>", "", button).strip()
        assert words or "aria-label=" in button or 'id="latency"' in button, button
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for reference in re.findall(r'(?:aria-\w+by|aria-controls|for)="([^"]+)"', page):
        assert reference in ids
