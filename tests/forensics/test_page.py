"""The page of an incident, as text and as a real browser shows it."""

import base64
import hashlib
import html
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from msgspec import structs
from support import browser, cases, logs
from support.browser import Browser

from replguard.alerts import clauses
from replguard.forensics import incident, page, proof

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "</style></pre></code><script src=http://203.0.113.1/x></script>",
    "{{ 7*7 }}{% raw %}",
    '" onmouseover="alert(1)" x="',
    "javascript:alert(1)",
    "&lt;b&gt;&#x3c;script&#62;",
    "\x1b[2J\u202egnp.exe\u2066\u200b\r\n\x00\x85",
    "<svg onload=alert(1)><style>*{display:none}</style>",
)
ALL = " ".join(HOSTILE)
OPEN_IN = 20.0
"""Seconds in which a page of 10,000 events is drawn by a busy machine of two cores: 3 to 4 where it is not busy."""
SEARCHED_IN, MOVED_IN = 30_000, 5_000
"""Milliseconds in which all of it is searched through, folded parts too, and in which it is moved."""
needs_browser = pytest.mark.skipif(browser.FOUND is None, reason="no Chromium here")


def rendered(tmp_path, told=None):
    folder = cases.made(tmp_path / "log", tmp_path / "state", told)
    found = incident.gather(folder, cases.INCIDENT)
    return page.render(found, proof.prove(folder, [entry.at for entry in found.entries]), clauses)


def hostile():
    return cases.records(text=f"cp {ALL}", path=f"/tmp/{ALL}", model=ALL)


class Parsed(HTMLParser):
    """What a page consists of: elements with their attributes, and the text that is shown."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_it_tells_everything_that_is_asked_of_it(tmp_path):
    """The sentence, level and state; what to do; stages; processes; things; evidence with proofs; host and versions."""
    text = Parsed(rendered(tmp_path)).text
    for told in (
        "critical", "firing, as far as this log says", "Agent ag copied llama, then served it.",
        "kill -STOP 40", f"replguard report {cases.INCIDENT} --bundle", "runbook.md#self-replication",
        "serves the model", "copied model llama: /models/a → /tmp/b (1.0 GiB)",
        "pid 20", "ab" * 32, "HF_TOKEN",
        "/models/a", "copy, 100% of it, known by content",
        "203.0.113.9:443", "6.0 GiB", "H100", "5.0 GiB",
        "17 records, of which 17 are proven to stand in the signed log.", '"@timestamp":"2026-01-01T00:00:03Z"',
        hashlib.sha256(cases.RULE.encode()).hexdigest(), "gpu1",
        "file lost 4 events", "replguard/evidence/", "replguard 0.",
        "of 1 of its rules the text as it was then is not in the evidence",
    ):  # fmt: skip
        assert told in text, told


def test_a_server_that_ended_is_told_with_what_it_leaves(tmp_path):
    """It is no "no server", and its copy may lie there; one that goes on is alive."""
    assert "A copy may be alive:" in Parsed(rendered(tmp_path / "a")).text
    began = next(each for each in cases.records() if each.event.id == "ev-8")
    about = structs.replace(began.replguard, status="ended")
    meta = structs.replace(began.event, id="ev-9", sequence=9)
    ended = structs.replace(began, timestamp=cases.at(27), event=meta, replguard=about)
    text = Parsed(rendered(tmp_path / "b", [*cases.records(), ended])).text
    said = (
        "The server that was told of (pid 40, 0.0.0.0:8000) ended at 00:00:27 UTC; its copy /tmp/b may still lie there."
    )
    assert said in text
    assert "No live server" not in text
    assert "A copy may be alive" not in text


def test_things_are_said_once_and_as_they_are(tmp_path):
    """Paths each on a line, commands and entries without repeats, numbers with their plural, where to read on."""
    began = next(each for each in cases.records() if each.event.id == "ev-8")
    held = structs.replace(began.replguard.instance, weights=("/tmp/b", "/tmp/c"))
    told = [
        structs.replace(each, replguard=structs.replace(each.replguard, instance=held))
        if each.event.id == "ev-8"
        else each
        for each in cases.records()
    ]
    again = [
        cases.alert(
            id_,
            "x",
            "critical",
            "sv",
            25,
            (8,),
            contain=("kill -STOP 40", "kill -STOP 40"),
            allow="allow: x",
            drill="d1",
        )
        for id_ in ("d4", "d5")
    ]
    page_ = rendered(tmp_path, [*told, *again])
    text = Parsed(page_).text
    assert r"\n" not in text.split("Servers", 1)[1].split("Destinations", 1)[0]
    assert "<div>/tmp/b</div><div>/tmp/c</div>" in page_
    for paste in ("kill -STOP 40", "allow: x"):
        assert page_.count(f'<code class="paste">{paste}') == 1, paste
    assert "under the heading self-replication: runbook.md" in text
    early, late = (f"test 17{n} -le 1 && kill -STOP 40" for n in (1, 2))
    both = [
        cases.alert(id_, "x", "critical", "sv", 25, (8,), contain=(each,))
        for id_, each in (("d6", late), ("d7", early))
    ]
    shown_ = html.unescape(rendered(tmp_path / "more", [*told, *both])).split('id="evidence"')[0]
    assert (shown_.count(early), shown_.count(late)) == (0, 1), "the same command up to a later time is enough"
    assert text.count("This was a drill (d1)") == 1
    assert "drill d1" in text
    assert not re.search(r"\b1 (alerts|records|blocks|events|processes)\b", text)


def test_a_log_that_is_not_whole_is_told_first(tmp_path):
    """In red, above all else, with the line; and the record is told from those beside it."""
    folder = cases.made(tmp_path / "log", tmp_path / "state")
    logs.plain(folder)
    path = next(path for path in logs.segments(folder, "evidence") if b"weights_copy" in path.read_bytes())
    path.write_bytes(path.read_bytes().replace(b'"size":1073741824', b'"size":1073741825'))
    found = incident.gather(folder, cases.INCIDENT)
    text = page.render(found, proof.prove(folder, [entry.at for entry in found.entries]), clauses)
    banner = text.split('<ul class="alarm', 1)[1].split("</ul>", 1)[0]
    assert re.search(rf"{path.name}:\d+: this line is not what was written", banner)
    assert text.index('<ul class="alarm') < text.index("<nav")
    assert text.count(">not what was sealed</span>") == 1
    assert re.search(r'class="state-of broken">in a block that was changed at line \d+<', text)


def test_a_sentence_that_nothing_proves_is_told_so(tmp_path):
    """Its alert was not sealed yet."""
    folder = cases.made(tmp_path / "log", tmp_path / "state")
    found = incident.gather(folder, cases.INCIDENT)
    last = [entry.at for entry in found.entries]
    proofs = proof.prove(folder, last)
    assert "was not sealed yet" not in page.render(found, proofs, clauses)
    place = next((each.at.segment, each.at.line) for each in found.alerts if each.what is found.lead)
    proofs.blocks = [b for b in proofs.blocks if not (b.segment == place[0] and b.first <= place[1] < b.end)]
    proofs.unproven = {place: proof.OPEN}
    assert "The alert behind this sentence was not sealed yet" in page.render(found, proofs, clauses)
    proofs.unproven = {place: proof.OLD}
    text = page.render(found, proofs, clauses)
    assert "The alert behind this sentence is not proven: older than the chain." in text.split('class="alarm', 1)[1]


def test_it_asks_for_nothing_and_runs_nothing(tmp_path):
    """Its policy allows one style sheet by its hash; there is no script, link or handler to be stopped."""
    text = rendered(tmp_path, hostile())
    found = Parsed(text)
    policy = next(
        attrs["content"] for tag, attrs in found.elements if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    (styles,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not {"script", "img", "link", "iframe", "object", "form", "base"} & {tag for tag, _ in found.elements}
    assert {
        name for _, attrs in found.elements for name in attrs if name.startswith("on") or name in ("src", "style")
    } == set()
    assert all(attrs["href"].startswith("#") for _, attrs in found.elements if "href" in attrs)


def test_what_an_attacker_wrote_is_text(tmp_path):
    """Elements are as many as with harmless text, and control characters are shown as escapes."""
    harmless = Parsed(rendered(tmp_path / "a", cases.records()))
    nasty = Parsed(rendered(tmp_path / "b", hostile()))
    assert [tag for tag, _ in nasty.elements] == [tag for tag, _ in harmless.elements]
    for each in HOSTILE[:7]:
        assert each in nasty.text, each
    assert r"\x1b[2J\u202egnp.exe" in nasty.text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e\u2066]", html.unescape(nasty.text))


def test_the_same_incident_gives_the_same_page(tmp_path):
    """No time, no place and no chance is in it."""
    folder = cases.made(tmp_path / "log", tmp_path / "state")
    pages = set()
    for _ in range(2):
        found = incident.gather(folder, cases.INCIDENT)
        pages.add(page.render(found, proof.prove(folder, [entry.at for entry in found.entries]), clauses))
    assert len(pages) == 1


def test_an_older_log_gives_a_page_that_says_what_is_missing(tmp_path):
    """Without lineage, snapshots, rule texts and raw events."""
    told = [each for each in cases.records() if getattr(each.event, "kind", "") not in ("state", "event")]
    text = Parsed(rendered(tmp_path, told)).text
    for says in ("1 of the 5 events", "no lineage", "no snapshot", "text not kept"):
        assert says in text


def test_of_very_many_records_some_text_is_left_out(tmp_path, monkeypatch):
    """For a page that can be opened; each is in the table all the same, and it is said."""
    monkeypatch.setattr(page, "RAW", 4000)
    text = rendered(tmp_path)
    assert len(re.findall('class="record(?: told)?"', text)) == 17
    assert re.search(r"The text of \d+ records is left out here", text)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "+0.000 s"),
        (-3, "−3.000 s"),
        (42.25, "+42.2 s"),
        (61, "+1 min 1 s"),
        (7300, "+2 h 1 min"),
        (9e5, "+10 d 10 h"),
    ],
)
def test_a_time_is_said_as_short_as_it_can_be(seconds, said):
    """From the first act on."""
    assert page.span(cases.at(seconds) - cases.at(0)) == said


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """Give one browser for all pages."""
    with Browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


def shown(one, tmp_path, told=None, width=360, height=800):
    """Open a page as a phone does; return the seconds that it took."""
    path = tmp_path / "page.html"
    path.write_text(rendered(tmp_path, told))
    one.complaints.clear()
    one.requests.clear()
    one.size(width, height)
    seconds = one.open(path)
    assert one.requests == [path.as_uri()], "it asks for nothing but itself"
    return seconds


SEEN = "(s => { const b = document.querySelector(s).getBoundingClientRect(); return b.width > 50 && b.height > 10; })"


@needs_browser
@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_a_browser_shows_it_on_every_screen(chromium, tmp_path, width):
    """Nothing is complained of, timeline and tree are seen, and nothing has to be moved sideways."""
    shown(chromium, tmp_path, hostile(), width)
    assert chromium.complaints == []
    for part in (".lanes svg", ".times > li", ".tree > li", ".steps > li", ".record"):
        assert chromium.look(f"{SEEN}({part!r})"), part
    assert chromium.look("document.documentElement.scrollWidth") <= width
    assert chromium.look("document.querySelector('h1').getBoundingClientRect().top") < 200


@needs_browser
def test_nothing_that_was_injected_runs(chromium, tmp_path):
    """It is seen as text; and the policy is in force: what is put in afterwards does nothing either."""
    shown(chromium, tmp_path, hostile())
    assert chromium.look("document.scripts.length + document.images.length") == 0
    assert all(each in chromium.look("document.body.textContent") for each in HOSTILE[:7])
    chromium.complaints.clear()
    chromium.look(
        "document.body.insertAdjacentHTML('beforeend', '<img src=http://203.0.113.1/x onerror=\"window.ran=1\">');"
        "const s = document.createElement('script'); s.textContent = 'window.ran=1'; document.body.append(s);"
        "const t = document.createElement('style'); t.textContent = 'h1 { display: none }'; document.body.append(t);"
    )
    chromium.drawn()
    assert chromium.look("window.ran") is None
    assert chromium.look(f"{SEEN}('h1')")
    assert len([each for each in chromium.complaints if "Content Security Policy" in each]) >= 3


@needs_browser
def test_ten_thousand_events_stay_usable(chromium, tmp_path):
    """The page is drawn, jumped through, searched, and its parts are opened, within stated times."""
    seconds = shown(chromium, tmp_path, cases.many(10_000))
    assert seconds < OPEN_IN
    assert chromium.complaints == []
    assert chromium.look("document.querySelectorAll('.record').length") > 10_000
    assert chromium.look("document.documentElement.scrollWidth") <= 360
    took = "(f => { const t = performance.now(); f(); document.body.offsetHeight; return performance.now() - t; })"
    assert chromium.look(f"{took}(() => window.scrollTo(0, document.body.scrollHeight))") < MOVED_IN
    assert chromium.look(f"{took}(() => document.querySelector('#evidence').scrollIntoView())") < MOVED_IN
    assert chromium.look(f"{took}(() => {{ document.querySelector('.record').open = true; }})") < MOVED_IN
    assert chromium.look(f"{SEEN}('.record pre')")
    assert chromium.look(f"{took}(() => {{ window.found = window.find('tool-10900 ') }})") < SEARCHED_IN
    assert chromium.look("window.found")


FOLDED = "(s => [...document.querySelectorAll(s)].filter(e => e.checkVisibility()).length)"


@needs_browser
def test_what_is_folded_is_printed(chromium, tmp_path):
    """Paper cannot be opened: how a process was, other commands, allow entries, the text of the alerts."""
    more = cases.alert("d4", "x", "low", "cp", 25, (1,), contain=("kill -STOP 30",), allow="allow: folded")
    shown(chromium, tmp_path, [*cases.records(), more])
    parts = (".tree .fold dl", "#first .fold .paste", ".record.told pre")
    assert [chromium.look(f"{FOLDED}({part!r})") for part in parts] == [0, 0, 0]
    chromium.ask("Emulation.setEmulatedMedia", media="print")
    try:
        assert [chromium.look(f"{FOLDED}({part!r})") for part in parts] == [5, 2, 3]
        assert chromium.look(f"{FOLDED}('.record:not(.told) pre')") == 0
        assert chromium.look(f"{FOLDED}('.record > summary')") == 18
    finally:
        chromium.ask("Emulation.setEmulatedMedia", media="")
    (tmp_path / "page.pdf").write_bytes(chromium.printed())
    if shutil.which("pdftotext"):
        text = subprocess.run(
            ["pdftotext", tmp_path / "page.pdf", "-"], capture_output=True, text=True, check=True
        ).stdout
        for told in ("ab" * 32, "kill -STOP 30", "allow: folded", '"kind":"alert"'):
            assert re.sub(r"\s", "", told) in re.sub(r"\s", "", text), told


@needs_browser
def test_it_can_be_printed(chromium, tmp_path):
    """On paper, in whichever colours the screen has."""
    shown(chromium, tmp_path)
    chromium.dark()
    assert chromium.printed().startswith(b"%PDF-")
    assert chromium.look("getComputedStyle(document.body).backgroundColor") != "rgb(251, 251, 249)"
    chromium.dark(is_dark=False)
