"""Building blocks for the test messages: words, dates, headers, MIME entities.

Everything is deterministic: randomness comes from rng(name), and nothing depends
on the Python version, the clock or the machine. Sizes are bytes as on the wire (CRLF).
"""

import base64
import binascii
import random

CRLF = b"\r\n"

WORDS = (
    "account agenda alpha answer april archive attached bandwidth because before between billing board budget "
    "calendar change client contract customer database deadline december delivery department detail discount "
    "document domain draft engine estimate evening feedback figure final folder forward friday handbook harbour "
    "hosting hundred invoice island journal july kernel kitchen latency lantern ledger letter library machine "
    "mailbox meeting message migration monday morning network notice number october offer office order package "
    "paper payment people planet printer problem process project quarter question receipt record release report "
    "request result review river sample schedule server session signal silver solution storage summary sunday "
    "support system ticket tomorrow travel tuesday update upgrade village volume warning website window winter"
).split()

PEOPLE = (
    ("Anna Berg", "anna.berg@example.org"), ("Bo Lind", "bo@example.net"), ("Carla Núñez", "carla@example.com"),
    ("Dmitri Orlov", "d.orlov@example.org"), ("Eve Ng", "eve.ng@mail.example.com"), ("Fatima Zahra", "fz@example.net"),
    ("Günther Groß", "g.gross@example.de"), ("Hana Suzuki", "hana@example.jp"),
    ("Ilse \"Il\" Mayer", "ilse@example.at"), ("", "noreply@service.example.com"),
)

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def rng(name):
    """A generator of its own for each name, the same everywhere."""
    return random.Random("lbox-test-message:" + str(name))


def pick(r, items):
    return items[r.getrandbits(30) % len(items)]


def number(r, low, high):
    """low <= result <= high."""
    return low + r.getrandbits(40) % (high - low + 1)


def words(r, count):
    return " ".join(pick(r, WORDS) for _ in range(count))


def text(r, size, newline="\r\n"):
    """Sentences of readable words in lines of some 70 characters, about size bytes."""
    lines, have = [], 0
    while have < size:
        line = words(r, number(r, 4, 10)).capitalize() + pick(r, (".", ".", ",", "?", " -"))
        if number(r, 0, 9) == 0:
            line = ""
        lines.append(line)
        have += len(line) + len(newline)
    return (newline.join(lines) + newline).encode()


def noise(r, size):
    """Incompressible bytes."""
    return r.getrandbits(8 * size).to_bytes(size, "big") if size else b""


def date(r, year=None):
    """An RFC 5322 date between 2015 and 2024 with a valid weekday."""
    year = year or number(r, 2015, 2024)
    month, day = number(r, 1, 12), number(r, 1, 28)
    zone = pick(r, ("+0000", "+0100", "-0500", "+0530", "-0800", "+0900", "+0000 (UTC)"))
    return "%s, %d %s %d %02d:%02d:%02d %s" % (
        weekday(year, month, day), day, MONTHS[month - 1], year,
        number(r, 0, 23), number(r, 0, 59), number(r, 0, 59), zone)


def weekday(year, month, day):
    """Sakamoto's rule."""
    shift = (0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4)[month - 1]
    year -= month < 3
    return DAYS[(year + year // 4 - year // 100 + year // 400 + shift + day - 1) % 7]


def encoded_word(string, charset="utf-8", kind="B"):
    raw = string.encode(charset)
    if kind == "B":
        return "=?%s?B?%s?=" % (charset, base64.b64encode(raw).decode())
    return "=?%s?Q?%s?=" % (charset, "".join(
        chr(c) if chr(c).isalnum() and c < 128 else "=%02X" % c for c in raw))


def address(person):
    name, addr = person
    if not name:
        return addr
    if any(ord(c) > 127 for c in name):
        name = encoded_word(name)
    elif any(c in name for c in '".,@'):
        name = '"%s"' % name.replace('"', '\\"')
    return "%s <%s>" % (name, addr)


def as_bytes(value):
    return value if isinstance(value, bytes) else value.encode()


def headers(*pairs):
    """Header lines, in order; values are str (encoded as utf-8) or bytes."""
    return b"".join(as_bytes(k) + b": " + as_bytes(v) + CRLF for k, v in pairs)


def base64_lines(data, width=76):
    encoded = base64.b64encode(data)
    return b"".join(encoded[i:i + width] + CRLF for i in range(0, len(encoded), width))


def quoted_printable(data):
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    return b"\r\n".join(binascii.b2a_qp(line, quotetabs=False).replace(b"=\n", b"=\r\n") for line in lines)


def leaf(content_type, body, encoding=None, *extra):
    """A MIME entity: its headers, the blank line, and the body, encoded for base64 and quoted-printable."""
    pairs = [("Content-Type", content_type)] if content_type else []
    if encoding:
        pairs.append(("Content-Transfer-Encoding", encoding))
    pairs.extend(extra)
    if encoding == "base64":
        body = base64_lines(body)
    elif encoding == "quoted-printable":
        body = quoted_printable(body)
    return headers(*pairs) + CRLF + body


def attachment(name, content_type, data):
    return leaf('%s; name="%s"' % (content_type, name), data, "base64",
                ("Content-Disposition", 'attachment; filename="%s"' % name))


def multi(subtype, boundary, parts, preamble=b"", epilogue=b"", params=""):
    """A multipart entity, headers included."""
    out = [headers(("Content-Type", 'multipart/%s; boundary="%s"%s' % (subtype, boundary, params))), CRLF, preamble]
    for part in parts:
        out += [b"--", boundary.encode(), CRLF, part, CRLF]
    out += [b"--", boundary.encode(), b"--", CRLF, epilogue]
    return b"".join(out)


def mail(name, entity, subject=None, extra=(), **replace):
    """A whole message: usual headers made from the name, then the entity (which brings its Content-* headers).

    Keyword arguments replace a usual header (from_, to, date, message_id, cc); None leaves it out.
    """
    r = rng("mail:" + name)
    usual = {
        "from_": address(pick(r, PEOPLE)),
        "to": address(pick(r, PEOPLE)),
        "cc": address(pick(r, PEOPLE)) if number(r, 0, 3) == 0 else None,
        "subject": words(r, number(r, 2, 7)).capitalize() if subject is None else subject,
        "date": date(r),
        "message_id": "<%s@lbox.example>" % name,
    }
    usual.update(replace)
    pairs = [(key.rstrip("_").replace("_", "-").title().replace("-Id", "-ID"), value)
             for key, value in usual.items() if value is not None]
    return headers(*pairs, *extra, ("MIME-Version", "1.0")) + entity
