"""Messages that break a rule or lean on a limit: one generator for each family, each yielding (name, bytes)."""

from .message_kit import CRLF, headers, leaf, mail, multi, noise, rng, text

HEAD = headers(("From", "odd@example.org"), ("To", "user@example.org"), ("Subject", "Odd one"),
               ("Date", "Wed, 1 Apr 2020 12:00:00 +0000"))


def scraps():
    """What is hardly a message at all."""
    yield "empty", b""
    for name, data in (
            ("one-byte", b"x"), ("one-lf", b"\n"), ("one-cr", b"\r"), ("one-nul", b"\0"), ("one-dot", b"."), ("one-colon", b":"),
            ("crlf", b"\r\n"), ("two-crlf", b"\r\n\r\n"), ("crlf-body", b"\r\nonly a body\r\n"), ("lf-body", b"\nonly a body\n"),
            ("spaces", b"   \r\n \t \r\n"), ("body-no-header", b"This is just text.\r\nIt has two lines.\r\n"),
            ("header-no-end", b"Subject: no end of line"), ("header-name-only", b"Subject"), ("header-colon-end", b"Subject:"),
            ("headers-only", HEAD), ("headers-and-blank", HEAD + CRLF), ("headers-cut", HEAD[:-9]),
            ("no-blank-line", HEAD + b"This line is no header at all\r\nnor is this\r\n"),
            ("blank-with-space", HEAD + b" \r\nIs this body or header?\r\n"), ("two-blank-lines", HEAD + CRLF * 2 + b"body\r\n"),
            ("no-final-newline", HEAD + CRLF + b"The last line ends here"), ("final-cr", HEAD + CRLF + b"ends with CR\r"),
            ("final-lf", HEAD + CRLF + b"ends with LF\n"), ("only-newlines", HEAD + CRLF * 500)):
        yield name, data


def line_ends():
    body = HEAD + CRLF + text(rng("line-ends"), 800)
    yield "lf-only", body.replace(b"\r\n", b"\n")
    yield "cr-only", body.replace(b"\r\n", b"\r")
    yield "lfcr", body.replace(b"\r\n", b"\n\r")
    yield "crcrlf", body.replace(b"\r\n", b"\r\r\n")
    yield "mixed-head-lf-body-crlf", HEAD.replace(b"\r\n", b"\n") + b"\n" + b"a\r\nb\r\nc\r\n"
    yield "mixed-head-crlf-body-lf", HEAD + CRLF + b"a\nb\nc\n"
    parts = body.split(CRLF)
    yield "mixed-all", b"".join(part + (b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r")[i % 5] for i, part in enumerate(parts))
    yield "cr-in-lines", HEAD + CRLF + b"carriage\rreturn\rinside\r\nand\r\r\rmore\r\n\r\r"
    yield "cr-in-header", b"From: a\rb@example.org\r\nSubject: one\rtwo\r\n\r\nbody\r\n"
    yield "crlf-at-8k", HEAD + CRLF + b"x" * (8191 - len(HEAD) - 2) + b"\r\n" + b"y\r\n"
    yield "cr-at-8k-lf-after", HEAD + CRLF + b"x" * (8190 - len(HEAD) - 2) + b"\r\n" + b"z"
    yield "many-bare-cr", HEAD + CRLF + b"\r" * 20_000 + CRLF


def bytes_and_nuls():
    yield "nul-in-body", HEAD + CRLF + b"before\0after\r\n\0\0\0\r\nend\r\n"
    yield "nul-in-header", b"From: a\0b@example.org\r\nSubject: nul \0 here\r\nX-\0: y\r\n\r\nbody\r\n"
    yield "nul-block", HEAD + CRLF + b"\0" * 20_000
    yield "nul-start", b"\0" + HEAD + CRLF + b"body\r\n"
    yield "all-bytes", HEAD + CRLF + bytes(range(256)) * 8 + CRLF
    yield "all-bytes-header", HEAD + b"X-All: " + bytes(c for c in range(256) if c not in (10, 13)) + CRLF + CRLF + b"body\r\n"
    yield "garbage", noise(rng("garbage"), 5000)
    yield "garbage-200k", noise(rng("garbage-200k"), 200_000)
    yield "garbage-after-header", HEAD + CRLF + noise(rng("garbage2"), 70_000)
    yield "garbage-high", HEAD + CRLF + bytes(b | 0x80 for b in noise(rng("high"), 3000))
    yield "bad-utf8-subject", HEAD.replace(b"Odd one", b"bad \xc3\x28 \xff\xfe \xed\xa0\x80 utf8") + CRLF + b"body\r\n"
    yield "latin1-header", HEAD.replace(b"Odd one", b"Gr\xfc\xdfe") + CRLF + b"Gr\xfc\xdfe\r\n"
    yield "control-characters", HEAD + CRLF + b"\x01\x02\x07\x08\x0b\x0c\x1b[31m red \x7f\r\n"
    yield "utf8-bom", b"\xef\xbb\xbf" + HEAD + CRLF + b"body\r\n"
    yield "utf16-whole", (HEAD + CRLF + b"body\r\n").decode().encode("utf-16")


def headers_odd():
    yield "header-line-70k", HEAD + b"X-Long: " + b"l" * 70_000 + CRLF + CRLF + b"body\r\n"
    yield "header-line-1m", HEAD + b"X-Long: " + b"word " * 200_000 + CRLF + CRLF + b"body\r\n"
    yield "subject-200k", headers(("From", "a@b"), ("Subject", "long " * 40_000)) + CRLF + b"body\r\n"
    yield "header-name-2k", HEAD + b"X" * 2000 + b": value\r\n\r\nbody\r\n"
    yield "headers-3000", HEAD + b"".join(b"X-Header-%d: value %d\r\n" % (i, i) for i in range(3000)) + CRLF + b"body\r\n"
    yield "same-header-5000", HEAD + b"X-Same: value\r\n" * 5000 + CRLF + b"body\r\n"
    yield "folded-5000", HEAD + b"X-Folded: start" + b"\r\n more" * 5000 + CRLF + CRLF + b"body\r\n"
    yield "recipients-20000", HEAD + b"Cc: " + b",\r\n ".join(b"user%d@example.org" % i for i in range(20_000)) + CRLF + CRLF + b"x\r\n"
    yield "fold-first", b" folded: before any header\r\n" + HEAD + CRLF + b"body\r\n"
    yield "fold-empty", HEAD + b"X-A: one\r\n \r\n \t\r\n two\r\nX-B: three\r\n\r\nbody\r\n"
    yield "fold-at-end", HEAD + b"X-A: one\r\n \r\n\r\nbody\r\n"
    yield "fold-only-tail", HEAD + b"X-A:\r\n\r\nbody\r\n"
    yield "colon-space", HEAD + b"X-Space : value\r\nX-Tab\t: value\r\nX-None:value\r\n: no name\r\n::\r\n\r\nbody\r\n"
    yield "header-with-space", HEAD + b"X Header Name: value\r\n\r\nbody\r\n"
    yield "header-8bit-name", HEAD + "X-Größe: 1\r\n\r\nbody\r\n".encode()
    yield "duplicates", HEAD + HEAD.replace(b"Odd", b"Second") + HEAD.replace(b"Odd", b"Third") + CRLF + b"body\r\n"
    yield "duplicate-mime", HEAD + b"Content-Type: text/html\r\nContent-Type: multipart/mixed; boundary=x\r\nMIME-Version: 1.0\r\n\r\n--x\r\n\r\nhi\r\n--x--\r\n"
    for i, value in enumerate((b"", b"yesterday", b"32 Foo 2020 25:61:61 +9999", b"Wed, 1 Apr 2020", b"1 Apr 20 1:2 PST",
                               b"Sat, 30 Feb 2021 12:00:00 +0000", b"Thu, 1 Jan 1970 00:00:00 +0000", b"Fri, 31 Dec 1999 23:59:60 -1200",
                               b"Tue, 19 Jan 2038 03:14:08 +0000", b"Mon, 1 Jan 9999 00:00:00 +0000", b"Wed,01 Apr 2020 12:00:00+0000",
                               b"2020-04-01T12:00:00Z", b"Wed, 1 (c) Apr\r\n 2020 12:00:00 +0000 (x (y))")):
        yield "date-%d" % i, HEAD.replace(b"Wed, 1 Apr 2020 12:00:00 +0000", value) + CRLF + b"body\r\n"
    for i, value in enumerate((b"", b",,,;", b"<", b"<>", b"a@", b"@b", b"no at sign", b'"unterminated <a@b>', b"(unterminated a@b",
                               b"a@b>, <c@d", b"Group: a@b", b"a b c <d@e> f", b"\\\\\"<a@b>", b"a@b c@d e@f", b"<a@[1.2.3>",
                               b"=?utf-8?B?broken", b"=?nosuch?Q?=41?= <a@b>", b"=?utf-8?X?abc?= <a@b>", b"=?utf-8?B?!!!?= <a@b>")):
        yield "address-%d" % i, HEAD.replace(b"odd@example.org", value) + CRLF + b"body\r\n"
    yield "message-id-odd", HEAD + b"Message-ID: no brackets\r\nIn-Reply-To: <<>>\r\nReferences: <a@b\r\n\r\nbody\r\n"


def lines_odd():
    yield "line-100k", HEAD + CRLF + b"L" * 100_000 + b"\r\nshort\r\n"
    yield "line-1m-spaces", HEAD + CRLF + b"word " * 200_000
    yield "first-line-100k", b"F" * 100_000 + CRLF + HEAD + CRLF + b"body\r\n"
    yield "from-first", b"From someone@example.org Wed Apr  1 12:00:00 2020\r\n" + HEAD + CRLF + b"body\r\n"
    yield "from-escaped-first", b">From someone@example.org Wed Apr  1 12:00:00 2020\r\n" + HEAD + CRLF + b"body\r\n"
    yield "from-lines", HEAD + CRLF + b"From here on\r\n\r\nFrom a@b Wed Apr  1 12:00:00 2020\r\nSubject: not new\r\n\r\n>From x\r\n>>From y\r\n"
    yield "dots", HEAD + CRLF + b".\r\n..\r\n...\r\n.text\r\n..text\r\n. \r\n.\r\n"
    yield "dots-lf", HEAD.replace(b"\r\n", b"\n") + b"\n.\n..\n.text\n.\n"
    yield "dot-first", b".leading: dot\r\n" + HEAD + CRLF + b".body\r\n"
    yield "dot-cr", HEAD + CRLF + b"a\r\n.\rb\r\n.\r\r\nc\r\n"
    yield "imap-like", HEAD + CRLF + b"* 1 FETCH (FLAGS ())\r\n) {10}\r\na1 OK done\r\n{5}\r\n~{3+}\r\n\"quote\\\r\n"
    yield "pop3-like", HEAD + CRLF + b"+OK\r\n-ERR\r\n.\r\nQUIT\r\n"
    yield "trailing-blank", HEAD + CRLF + b"text \t \r\n\r\n\r\n\t\r\n"


def multipart_odd():
    part = leaf("text/plain", b"part\r\n")
    good = multi("mixed", "b", [part, part])
    yield "no-end-boundary", mail("no-end-boundary", good.replace(b"--b--", b""))
    yield "cut-in-part", mail("cut-in-part", good)[:-12]
    yield "cut-in-boundary", mail("cut-in-boundary", good)[:-4]
    yield "no-boundary-param", mail("no-boundary-param", leaf("multipart/mixed", b"--b\r\n\r\npart\r\n--b--\r\n"))
    yield "empty-boundary", mail("empty-boundary", multi("mixed", "", [part]))
    yield "boundary-never", mail("boundary-never", leaf("multipart/mixed; boundary=zzz", b"no parts here\r\n"))
    yield "boundary-unclosed-quote", mail("boundary-unclosed-quote", leaf('multipart/mixed; boundary="b', b"--b\r\n\r\npart\r\n--b--\r\n"))
    yield "boundary-long", mail("boundary-long", multi("mixed", "B" * 300, [part, part]))
    yield "boundary-spaces", mail("boundary-spaces", multi("mixed", "b c", [part, part]).replace(b"--b c\r\n", b"--b c  \t\r\n"))
    yield "boundary-prefix", mail("boundary-prefix", multi("mixed", "b", [part, multi("mixed", "bb", [part, part]), part]))
    yield "boundary-prefix-reverse", mail("boundary-prefix-reverse", multi("mixed", "bb", [part, multi("mixed", "b", [part]), part]))
    yield "boundary-same-nested", mail("boundary-same-nested", multi("mixed", "b", [part, multi("mixed", "b", [part]), part]))
    yield "boundary-in-header", mail("boundary-in-header", multi("mixed", "b", [b"Content-Type: text/plain\r\n--b\r\n\r\npart\r\n"]))
    yield "boundary-in-preamble", mail("boundary-in-preamble", multi("mixed", "b", [part], preamble=b"text --b text\r\n --b\r\n"))
    yield "boundary-dashes", mail("boundary-dashes", multi("mixed", "--", [part, part]))
    yield "boundary-8bit", mail("boundary-8bit", multi("mixed", "grüße", [part]))
    yield "boundary-case", mail("boundary-case", good.replace(b'"b"', b'"B"'))
    yield "boundary-first-line", b"--b\r\n" + mail("boundary-first-line", good)
    yield "boundary-lf", mail("boundary-lf", good).replace(b"\r\n--b", b"\n--b").replace(b"--b\r\n", b"--b\n")
    yield "boundary-after-end", mail("boundary-after-end", good + b"--b\r\n\r\nafter the end\r\n--b--\r\n")
    yield "outer-boundary-in-inner", mail("outer-boundary-in-inner", multi("mixed", "o", [
        leaf("multipart/mixed; boundary=i", b"--i\r\n\r\none\r\n--o\r\n\r\ntwo\r\n--i--\r\n")]))
    yield "parts-empty", mail("parts-empty", multi("mixed", "b", [b"", b"\r\n", b"\r\n\r\n", CRLF + b"x"]))
    yield "part-no-blank", mail("part-no-blank", multi("mixed", "b", [b"Content-Type: text/html", b"no header here"]))
    yield "parts-2000", mail("parts-2000", multi("mixed", "b", [part] * 2000))
    # Not more: for 11,000 parts, 2.4's imap takes 230 MB with Maildir already, and has 256.
    yield "parts-5000", mail("parts-5000", multi("mixed", "b", [b"\r\nx"] * 5000))
    yield "rfc822-empty", mail("rfc822-empty", leaf("message/rfc822", b""))
    yield "rfc822-no-header", mail("rfc822-no-header", leaf("message/rfc822", b"\r\njust a body\r\n"))
    yield "rfc822-headers-only", mail("rfc822-headers-only", multi("mixed", "b", [leaf("message/rfc822", b"Subject: x\r\n")]))
    for depth in (20, 90, 150):
        entity = part
        for level in range(depth):
            entity = multi("mixed", "level-%d" % level, [entity])
        yield "nested-%d" % depth, mail("nested-%d" % depth, entity)
    message = HEAD + CRLF + b"the innermost\r\n"
    for level in range(120):
        message = HEAD + leaf("message/rfc822", message)
    yield "rfc822-nested-120", message


def mime_odd():
    data = b"Some data here\r\n"
    for i, value in enumerate(("", "text", "/", "text/", "/plain", "text/plain;", "text/plain; charset", 'text/plain; charset="utf-8',
                               "text/plain; charset=nosuch", "text/plain; =x; ;; a=b=c", "text plain", "multipart", "TEXT/HTML; CHARSET=UTF-8",
                               "text/plain (comment); (c) charset (d) = (e) utf-8", "text/plain; name=" + "n" * 9000)):
        yield "content-type-%d" % i, mail("content-type-%d" % i, headers(("Content-Type", value)) + CRLF + data)
    for i, (encoding, body) in enumerate((
            ("nosuch", data), ("", data), ("base64", b"!!!! not base64 ????\r\n"), ("base64", b"QUJD\r\nREV"), ("base64", b"QUJD=QUJD==\r\n"),
            ("base64", b"\r\n\r\nQ U J D\r\n"), ("base64", b"QUJD" * 30_000), ("quoted-printable", b"=ZZ =3 = =\r\n=\r\n==41=\r\n"),
            ("quoted-printable", b"trailing spaces   \r\nsoft=  \r\nend="), ("quoted-printable", b"a" * 5000 + b"=C3=BC" * 500),
            ("BASE64", b"QUJD\r\n"), (" base64 (c)", b"QUJD\r\n"), ("base64; x", b"QUJD\r\n"), ("7bit", b"high \xff bytes\r\n"),
            ("binary", b"nul \0 and cr \r alone\r\n"))):
        name = "encoding-%d" % i
        yield name, mail(name, headers(("Content-Type", "text/plain"), ("Content-Transfer-Encoding", encoding)) + CRLF + body)
    yield "encoded-multipart", mail("encoded-multipart", leaf(None, multi("mixed", "b", [data]), None,
                                                              ("Content-Transfer-Encoding", "base64")))
    yield "multipart-base64-cte", mail("multipart-base64-cte", headers(("Content-Transfer-Encoding", "base64")) + multi(
        "mixed", "b", [leaf("text/plain", data), leaf("text/plain", data, "base64")]))
    yield "part-unknown-cte", mail("part-unknown-cte", multi("mixed", "b", [leaf("text/plain", data, "x-nosuch"), leaf("text/plain", data)]))
    yield "mime-version-missing", mail("mime-version-missing", leaf("text/html", data)).replace(b"MIME-Version: 1.0\r\n", b"")
    yield "mime-version-odd", mail("mime-version-odd", leaf("text/html", data)).replace(b"MIME-Version: 1.0", b"MIME-Version: (x) 9.9")
    yield "params-3000", mail("params-3000", headers(("Content-Type", "text/plain" + "".join(
        ";\r\n p%d=v%d" % (i, i) for i in range(3000)))) + CRLF + data)
    yield "disposition-odd", mail("disposition-odd", headers(("Content-Disposition", ";;filename"), ("Content-ID", "no brackets"),
                                                             ("Content-Language", ",,de,"), ("Content-Location", "")) + CRLF + data)


def malformed():
    for family in (scraps, line_ends, bytes_and_nuls, headers_odd, lines_odd, multipart_odd, mime_odd):
        yield from family()
