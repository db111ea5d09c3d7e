"""The tests of pages find what they look for: each fault on a page that has it."""

import pytest

from tests.browser import find_chromium, look_at

pytestmark = pytest.mark.pictures

FAULTS = {
    "the page is": "<p style='width: 50rem'>wide</p>",
    "overflows: p": "<div style='overflow: hidden'><p style='width: 50rem'>wide</p></div>",
    "a picture without a text": "<svg role='img' width='9' height='9'></svg>",
    "a picture without the role img": "<svg aria-label='a' width='9' height='9'></svg>",
    "a figure without a picture": "<figure>empty</figure>",
    "contrast 3.": "<p style='color: #888'>grey</p>",
    "contrast 1.": "<p style='background: #000; color: #222'>dark</p>",
    "contrast 2.": "<svg role='img' aria-label='a'><defs><path id='a' d='M0 0'/></defs>"
    "<g id='p-text_1' style='fill: #aaa'><use href='#a'/></g></svg>",
    "console: oh": "<script>console.error('oh')</script>",
    "script: ": "<script>nothing()</script>",
    "request: http://127.0.0.1:9/a.png": "<img alt='a' src='http://127.0.0.1:9/a.png'>",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault, browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><title>t</title>{FAULTS[fault]}", encoding="utf-8")
    faults, *_ = look_at(browser, page, 390)
    assert any(found.startswith(fault) for found in faults), faults


def test_a_page_without_faults_has_none(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        "<!doctype html><title>t</title><p style='color: #767676'>grey</p>"
        "<div style='overflow-x: auto'><p style='width: 50rem'>wide</p></div>",
        encoding="utf-8",
    )
    assert look_at(browser, page, 390) == ([], 0, 2)


def test_a_browser_may_be_named(monkeypatch):
    monkeypatch.setenv("CHROMIUM", "/opt/mine")
    assert find_chromium() == "/opt/mine"
    monkeypatch.delenv("CHROMIUM")
    monkeypatch.setenv("PATH", "")
    assert find_chromium() is None
