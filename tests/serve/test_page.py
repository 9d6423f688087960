"""The page in a real Chromium whose microphone is a file: talking, being answered, breaking in, by mouse and keys."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from most.generate.engine import SpeakSettings

playwright = pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright and a Chromium")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")
SHOTS = os.environ.get("MOST_TEST_SHOTS")
"""A folder for pictures, for whoever wants to look."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory, spoken_digits):
    """Its microphone says the digits, then is silent for three seconds, over and over."""
    file = tmp_path_factory.mktemp("microphone") / "says.wav"
    soundfile.write(
        file, np.concatenate([np.zeros(8000, np.float32), spoken_digits, np.zeros(48000, np.float32)]), 16000
    )
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--no-sandbox",
             f"--use-file-for-fake-audio-capture={file}", "--autoplay-policy=no-user-gesture-required"]  # fmt: skip
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, address):
    """A page of the server, in which nothing may go wrong."""
    context = browser.new_context(viewport={"width": 900, "height": 1100}, permissions=["microphone"])
    page, errors = context.new_page(), []
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.goto(address)
    playwright.expect(page.locator("#state")).to_have_text("ready")
    yield page
    if SHOTS:
        name = os.environ["PYTEST_CURRENT_TEST"].split("::")[-1].split(" ")[0]
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)
    context.close()
    assert errors == []


def lines(page, role: str):
    return page.locator(f"#talk li.{role}")


def test_a_typed_turn_is_answered_with_text_sound_and_routing(opened):
    opened.locator("#text").fill("one two")
    opened.keyboard.press("Enter")
    answer = lines(opened, "assistant")
    playwright.expect(answer.locator("small")).to_contain_text("first sound after", timeout=20000)
    playwright.expect(lines(opened, "user").locator("span").first).to_have_text("one two")
    assert answer.locator("span").first.text_content()
    opened.wait_for_function("mostTalk.player.chunks.length > 0 && mostTalk.response === null")
    playwright.expect(opened.locator("#routing-words")).to_contain_text("100 % of their picks text experts")
    drawn = opened.evaluate("""() => {
        const c = document.getElementById("routing"), p = c.getContext("2d").getImageData(0, 0, c.width, c.height);
        return new Set(new Uint32Array(p.data.buffer)).size;
    }""")
    assert drawn > 4


def test_holding_the_space_key_records_a_turn(opened):
    opened.keyboard.down("Space")
    playwright.expect(opened.locator("#state")).to_have_text("listening…")
    opened.wait_for_function("Number(document.getElementById('level').value) > 0.05", timeout=10000)
    opened.wait_for_timeout(1500)
    opened.keyboard.up("Space")
    playwright.expect(lines(opened, "user").locator("small")).to_have_text("spoken")
    playwright.expect(lines(opened, "user").locator("span").first).not_to_have_text("…", timeout=20000)
    playwright.expect(lines(opened, "assistant").locator("small")).to_contain_text("first sound", timeout=20000)


def test_an_open_microphone_needs_no_hands_and_breaks_in(slow, running, browser):
    """Answers go on for a minute; the microphone's next turn breaks into each, and what was not heard is struck out."""
    long = SpeakSettings(max_seconds=60.0, temperature=2.0, top_p=1.0)
    with running(slow, speech=long) as url:
        context = browser.new_context(viewport={"width": 390, "height": 844}, permissions=["microphone"])
        page = context.new_page()
        page.goto(url)
        playwright.expect(page.locator("#state")).to_have_text("ready")
        page.keyboard.press("m")
        playwright.expect(page.locator("#open")).to_have_attribute("aria-pressed", "true")
        playwright.expect(lines(page, "user")).to_have_count(2, timeout=60000)
        first = lines(page, "assistant").first
        playwright.expect(first.locator("small")).to_have_text("interrupted", timeout=20000)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
            "a phone need not scroll sideways"
        )
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / "phone.png", full_page=True)
        page.keyboard.press("m")
        page.keyboard.press("Escape")
        playwright.expect(page.locator("#open")).to_have_attribute("aria-pressed", "false")
        context.close()


def test_a_recording_is_sent(opened, tmp_path, spoken_digits):
    soundfile.write(tmp_path / "a.flac", np.stack([spoken_digits, spoken_digits], axis=1), 16000)
    opened.locator("#file").set_input_files(tmp_path / "a.flac")
    playwright.expect(lines(opened, "user").locator("small")).to_have_text("spoken", timeout=10000)
    playwright.expect(lines(opened, "assistant").locator("small")).to_contain_text("first sound", timeout=20000)
    (tmp_path / "b.wav").write_bytes(b"no sound at all")
    opened.locator("#file").set_input_files(tmp_path / "b.wav")
    playwright.expect(opened.locator("#state")).to_contain_text("b.wav cannot be decoded")


def test_all_is_reached_by_keys_and_named(opened):
    assert opened.evaluate(
        "[...document.querySelectorAll('button, input, select')].every(e => e.textContent.trim() || e.labels?.length"
        " || e.ariaLabel || e.getAttribute('aria-label'))"
    )
    opened.keyboard.press("t")
    assert opened.evaluate("document.activeElement.id") == "text"
    opened.keyboard.type("one")
    opened.keyboard.press("Escape")
    assert opened.evaluate("document.activeElement.id") != "text"
    opened.locator("#aloud").focus()
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.id") == "text"


def test_a_key_comes_with_the_address(browser, engine, running):
    with running(engine, api_key="s3cret") as url:
        page = browser.new_page()
        page.goto(url)
        playwright.expect(page.locator("#state")).to_contain_text("asks for a key")
        page.goto(f"{url}/#key=s3cret")
        page.reload()
        playwright.expect(page.locator("#state")).to_have_text("ready")
        page.close()
