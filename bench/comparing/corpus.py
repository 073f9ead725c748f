"""The messages: generated from a fixed seed, with sizes and contents as mail has them, or those of a Maildir.

Sizes follow what mail servers see: half of the messages are a few kB of text, a quarter HTML newsletters, the rest carry attachments, a few of
megabytes; the mean is some 45 kB. Text is made of a vocabulary with Zipf's frequencies, so that it compresses as text does (about 3:1);
attachments are base64 of random bytes (photos, archives) or of repetitive ones (office documents).
"""

import base64
import os
import random

SEED = 20220225
_CRLF = b"\r\n"


class Corpus:
    """messages: endless, deterministic: message(i) is the same in every run and for every format."""

    def __init__(self, seed=SEED):
        r = random.Random(seed)
        letters = "etaoinshrdlcumwfgypbvk"
        words = ["".join(r.choices(letters, weights=range(len(letters), 0, -1), k=r.choice((2, 3, 4, 5, 5, 6, 7, 9)))) for _ in range(8000)]
        weights = [1 / (rank + 2) for rank in range(len(words))]
        # Pieces that messages are put together from: making each of 20,000 messages word by word would take minutes.
        self._lines = [_line(r, words, weights) for _ in range(6000)]
        self._random = base64.encodebytes(r.randbytes(6 << 20)).replace(b"\n", _CRLF)
        rows = b"".join(b"<row id='%d'><cell>%d</cell><cell>%s</cell></row>" % (i, r.randrange(10**6), r.choice(words).encode())
                        for i in range(40000))
        self._document = base64.encodebytes(rows).replace(b"\n", _CRLF)
        self._names = [r.choice(words).capitalize() for _ in range(400)]
        self._seed = seed

    def message(self, number):
        r = random.Random("%d %d" % (self._seed, number))
        kind = r.random()
        parts = [(b"text/plain; charset=utf-8", b"7bit", self._text(r, _size(r, 1.5, 0.9)))]
        if kind > 0.55:
            parts.append((b"text/html; charset=utf-8", b"7bit", self._html(r, _size(r, 14, 0.8))))
        if kind > 0.84:
            for _ in range(r.choice((1, 1, 1, 2, 3))):
                parts.append(self._attachment(r))
        boundary = b"=_%d_%d" % (number, r.getrandbits(40))
        head = self._headers(r, number)
        if len(parts) == 1:
            return head + b"Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n" % parts[0][:2] + parts[0][2]
        pieces = [head, b'Content-Type: multipart/%s; boundary="%s"\r\n\r\n' % (b"mixed" if kind > 0.84 else b"alternative", boundary)]
        for kind_, encoding, data in parts:
            pieces += [b"--", boundary, b"\r\nContent-Type: ", kind_, b"\r\nContent-Transfer-Encoding: ", encoding, b"\r\n\r\n", data, _CRLF]
        return b"".join(pieces + [b"--", boundary, b"--\r\n"])

    def messages(self, count, first=0):
        return [self.message(number) for number in range(first, first + count)]

    def large(self, number, size=600_000):
        """A message with one attachment of that size that does not compress."""
        r = random.Random("large %d" % number)
        at = r.randrange(0, len(self._random) - size) // 78 * 78
        return self._headers(r, number) + b"Content-Type: image/jpeg\r\nContent-Transfer-Encoding: base64\r\n\r\n" + self._random[at:at + size] + _CRLF

    def _headers(self, r, number):
        sender, to = r.choice(self._names), r.choice(self._names)
        received = b"".join(
            b"Received: from mx%d.%s.example (mx%d.%s.example [192.0.2.%d])\r\n\tby mail.example.com (Postfix) with ESMTPS id %011X\r\n"
            b"\tfor <%s@example.com>; Mon, 14 Mar 2022 10:%02d:%02d +0200 (SAST)\r\n" % (
                i, sender.lower().encode(), i, sender.lower().encode(), r.randrange(256), r.getrandbits(44), to.lower().encode(),
                r.randrange(60), r.randrange(60)) for i in range(r.choice((1, 2, 3, 4))))
        signature = base64.b64encode(r.randbytes(192))
        dkim = b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=%s.example;\r\n\ts=mail; h=from:to:subject:date; b=%s\r\n" % (
            sender.lower().encode(), _CRLF.join(b"\t " + signature[i:i + 70] for i in range(0, len(signature), 70)).lstrip())
        return received + dkim + (
            b"Message-ID: <%d.%x@%s.example>\r\nFrom: %s %s <%s@%s.example>\r\nTo: %s <%s@example.com>\r\nSubject: %s\r\n"
            b"Date: Mon, 14 Mar 2022 10:%02d:00 +0200\r\nX-Campaign: c%d\r\nMIME-Version: 1.0\r\n" % (
                number, r.getrandbits(60), sender.lower().encode(), sender.encode(), r.choice(self._names).encode(), sender.lower().encode(),
                sender.lower().encode(), to.encode(), to.lower().encode(), r.choice(self._lines)[:48].strip(), r.randrange(60), number % 50))

    def _text(self, r, size):
        return b"".join(self._some(r, size))

    def _html(self, r, size):
        style = b'<td style="font-family:Arial,sans-serif;font-size:14px;color:#333333;padding:0 12px">'
        lines = [b"<!DOCTYPE html><html><body><table>\r\n"]
        for line in self._some(r, size * 3 // 5):
            lines += [b"<tr>", style, b"\r\n", line, b"</td></tr>\r\n"]
        return b"".join(lines + [b"</table></body></html>\r\n"])

    def _some(self, r, size):
        lines, at = [], r.randrange(len(self._lines))
        while size > 0:
            lines.append(self._lines[at % len(self._lines)])
            size -= len(lines[-1])
            at += r.choice((1, 7, 31))
        return lines

    def _attachment(self, r):
        size = min(4 << 20, _size(r, 110, 1.2))
        source, kind = (self._random, b"image/jpeg") if r.random() < 0.7 else (self._document, b"application/vnd.ms-excel")
        size = min(size, len(source) // 2)
        at = r.randrange(0, len(source) - size) // 78 * 78
        return kind + b'; name="%s"' % r.choice(self._names).encode(), b"base64", source[at:at + size] + _CRLF


class MaildirCorpus:
    """The messages of a Maildir and its folders, read only, each as often as needed. Line ends as mail travels."""

    def __init__(self, folder):
        self._paths = sorted(os.path.join(where, file) for where, _, files in os.walk(folder) for file in files
                             if os.path.basename(where) in ("cur", "new"))
        if not self._paths:
            raise SystemExit("bench/compare: no message below %s: a Maildir has folders cur/ and new/" % folder)
        self._generated = Corpus()

    def message(self, number):
        with open(self._paths[number % len(self._paths)], "rb") as file:
            data = file.read()
        return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + (b"" if data.endswith(b"\n") else b"\r\n")

    def messages(self, count, first=0):
        return [self.message(number) for number in range(first, first + count)]

    def large(self, number, size=600_000):
        return self._generated.large(number, size)


def _size(r, median_kb, sigma):
    return int(median_kb * 1000 * r.lognormvariate(0, sigma))


def _line(r, words, weights):
    return " ".join(r.choices(words, weights, k=r.choice((6, 9, 11, 12, 13)))).encode()[:76] + _CRLF
