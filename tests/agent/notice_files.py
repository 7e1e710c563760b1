#!/usr/bin/env python3
"""Reads the golden notices as those who get them do: mail with a MIME parser, HTML with an HTML parser, XARF by its JSON schema.

notice_files.py ROOT
"""
import base64
import email.parser
import email.policy
import hashlib
import html.parser
import json
import pathlib
import sys

import jsonschema

root = pathlib.Path(sys.argv[1])
folder = root / "tests/golden/notices"
failures = 0


def check(name, holds, what):
    global failures
    if not holds:
        failures += 1
        print(f"{name}: {what}")


class Text(html.parser.HTMLParser):
    """The text of a page, and whether its elements are closed in order."""

    VOID = {"meta", "br", "hr", "link"}

    def __init__(self):
        super().__init__()
        self.open, self.text, self.wrong, self.attributes = [], [], [], {}

    def handle_starttag(self, tag, attrs):
        if tag == "html":
            self.attributes = dict(attrs)
        if tag in ("script", "img", "iframe", "form"):
            self.wrong.append(f"<{tag}>")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def words(text):
    return "".join(text.split())


def read_html(name, text, code):
    page = Text()
    page.feed(text)
    page.close()
    check(name, not page.open and not page.wrong, f"not well formed: {page.open} {page.wrong}")
    check(name, page.attributes.get("lang") == code, "its language is not said")
    check(name, page.attributes.get("dir") == ("rtl" if code == "ar" else "ltr"), "its direction is not said")
    return page


def read_mail(path):
    raw = path.read_bytes()
    name = path.name
    codes = path.stem.split(",")
    check(name, raw.count(b"\n") == raw.count(b"\r\n"), "a line without CRLF")
    check(name, all(byte < 128 for byte in raw), "not 7-bit clean")
    check(name, max(len(line) for line in raw.split(b"\r\n")) <= 78, "a line over 78 characters (RFC 5322 2.1.1)")
    message = email.parser.BytesParser(policy=email.policy.default).parsebytes(raw)
    check(name, not message.defects, f"{message.defects}")
    check(name, message["From"].addresses[0].addr_spec == "sre@example.net", "From")
    check(name, message["To"].addresses[0].addr_spec == "mail@example.org", "To")
    check(name, message["Date"].datetime is not None and message["Message-ID"] is not None, "Date, Message-ID")
    check(name, message.get_content_type() == "multipart/alternative", "not multipart/alternative")
    parts = list(message.iter_parts())
    check(name, [part.get_content_type() for part in parts] == ["text/plain", "text/html"], "its parts")
    for part in parts:
        check(name, not part.defects, f"{part.defects}")
        check(name, part["Content-Language"] == ", ".join(codes), "Content-Language")
    plain, rich = (part.get_content() for part in parts)
    texts = [(folder / f"{code}.txt").read_text(encoding="utf-8") for code in codes]
    subject = texts[0].split("\n\n")[0]
    check(name, words(message["Subject"]) == words(subject), f"its subject: {message['Subject']}")
    for code, text in zip(codes, texts):
        check(name, text.strip() in plain.replace("\r\n", "\n"), f"the text in {code} is not in it whole")
    page = read_html(name, rich, codes[0])
    for code, text in zip(codes, texts):
        shown = words("".join(page.text))
        for paragraph in text.split("\n\n"):
            # Code and lists are marked otherwise; what is between backticks loses them.
            piece = words(paragraph.lstrip("* ").replace("`", "").split("\n---")[0])
            check(name, piece in shown or set(piece) <= {"-"}, f"in {code} not in the HTML: {paragraph[:60]}")


def read_xarf(path, schema):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        report = json.loads(line)
        for error in jsonschema.Draft202012Validator(schema).iter_errors(report):
            check(f"{path.name}:{number}", False, error.message)
        for item in report.get("evidence", []):
            payload = base64.b64decode(item["payload"], validate=True)
            check(path.name, item["hash"] == "sha256:" + hashlib.sha256(payload).hexdigest(), "the hash of its evidence")
            check(path.name, item["size"] == len(payload), "the size of its evidence")
            check(path.name, b"S: 220 mx1.example.org" in payload, "the conversation is not its evidence")


mails = sorted(folder.glob("*.eml"))
check("golden", len(mails) >= 29, f"only {len(mails)} mails")
for mail in mails:
    read_mail(mail)
pages = sorted(path for path in folder.glob("*.html") if "proxies" not in path.name)
check("golden", len(pages) >= 28, f"only {len(pages)} pages")
for page in pages:
    read_html(page.name, page.read_text(encoding="utf-8"), page.stem)
schema = json.loads((root / "tests/golden/xarf_4_2.schema.json").read_text())
jsonschema.Draft202012Validator.check_schema(schema)
reports = sorted(folder.glob("*.xarf"))
check("golden", len(reports) >= 2, "no XARF")
for report in reports:
    read_xarf(report, schema)
# A report that lacks something is refused, or the schema says nothing.
sample = json.loads(reports[-1].read_text().splitlines()[0])
for key in ("service", "sender", "xarf_version", "category"):
    broken = {name: value for name, value in sample.items() if name != key}
    check("schema", list(jsonschema.Draft202012Validator(schema).iter_errors(broken)), f"takes a report without {key}")
print(f"{len(mails)} mails, {len(pages)} pages, {len(reports)} files of XARF: {failures} failures")
sys.exit(1 if failures else 0)
