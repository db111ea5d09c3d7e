"""A page in headless Chromium: what a reader, or a screen reader, would stumble over."""

import os
import shutil
from pathlib import Path

#: A phone's and a desktop's.
WIDTHS = (390, 1280)

MISSING = (
    "no Chromium, in which the pages are tested: install it (Debian: apt-get install chromium), "
    "or name one by CHROMIUM=PATH"
)

_NAMES = ("chromium", "chromium-browser", "google-chrome")

# What a page has to fulfil, in the page itself: a line for each fault.
_FAULTS = """() => {
  const faults = [];
  document.querySelectorAll("details").forEach(e => { e.open = true; });
  const shown = e => e.getClientRects().length > 0;
  const named = e => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + " "
    + e.textContent.trim().slice(0, 40);

  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width)
    faults.push("the page is " + document.documentElement.scrollWidth + " pixels wide");
  const moves = e => e && (/auto|scroll/.test(getComputedStyle(e).overflowX)
    || moves(e.parentElement));
  for (const e of document.querySelectorAll("body *:not(svg *)"))
    if (shown(e) && e.getBoundingClientRect().right > width + 1 && !moves(e.parentElement))
      faults.push("overflows: " + named(e));

  const pictures = document.querySelectorAll("body svg:not(svg svg), img");
  for (const e of pictures) {
    const text = e.tagName === "IMG" ? e.alt : e.getAttribute("aria-label");
    if (!(text || "").trim()) faults.push("a picture without a text");
    if (e.tagName !== "IMG" && e.getAttribute("role") !== "img")
      faults.push("a picture without the role img");
  }
  for (const e of document.querySelectorAll("figure"))
    if (!e.querySelector("svg, img")) faults.push("a figure without a picture: " + named(e));

  const rgb = color => color.match(/[0-9.]+/g).map(Number);
  const luminance = color => {
    const [r, g, b] = rgb(color).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = e => {
    for (; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if ((rgb(color)[3] ?? 1) === 1) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const check = (e, color) => {
    const [low, high] = [luminance(color), luminance(ground(e))].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) faults.push("contrast " + contrast.toFixed(2) + ": " + named(e));
  };
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !shown(e)) continue;
    texts += 1;
    check(e, getComputedStyle(e).color);
  }
  // Matplotlib draws letters as paths, in groups of this name.
  for (const e of document.querySelectorAll("svg g[id*='-text_'] use")) {
    texts += 1;
    check(e, getComputedStyle(e).fill);
  }
  return {faults, pictures: pictures.length, texts};
}"""


def find_chromium():
    """The path of a Chromium; None if there is none."""
    if named := os.environ.get("CHROMIUM"):
        return named
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def look_at(browser, page, width):
    """Open a page and look for faults.

    Returns:
        The faults, a line each, and how many pictures and texts were looked at.
    """
    faults = []
    view = browser.new_page(viewport={"width": width, "height": 844})
    view.on("console", lambda message: faults.append(f"console: {message.text}"))
    view.on("pageerror", lambda error: faults.append(f"script: {error}"))
    address = Path(page).resolve().as_uri()
    view.on(
        "request",
        lambda request: (
            request.url == address
            or request.url.startswith("data:")
            or faults.append(f"request: {request.url}")
        ),
    )
    try:
        view.goto(address)
        found = view.evaluate(_FAULTS)
    finally:
        view.close()
    return [*faults, *found["faults"]], found["pictures"], found["texts"]
