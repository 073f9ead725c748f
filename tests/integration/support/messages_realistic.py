"""Messages as people and programs send them: one generator for each family, each yielding (name, bytes)."""

from .message_kit import (
    CRLF, PEOPLE, address, attachment, encoded_word, headers, leaf, mail, multi, noise, number, pick, rng, text, words)


def plain():
    for i, size in enumerate((0, 1, 30, 200, 900, 2500, 6000, 8191, 8192, 8193, 20000, 70000)):
        name = "plain-%d" % size
        yield name, mail(name, leaf("text/plain; charset=us-ascii", text(rng(name), size) if size else b"", "7bit"))
    for i in range(12):
        name = "note-%d" % i
        r = rng(name)
        body = text(r, number(r, 100, 3000))
        quoted = b"".join(b"> " + line + CRLF for line in text(r, 400).split(CRLF))
        entity = leaf("text/plain", body + CRLF + quoted + CRLF + b"-- " + CRLF + b"The signature" + CRLF)
        yield name, mail(name, entity, extra=(("X-Mailer", "Note %d" % i), ("User-Agent", "lbox-test/1")))
    for name, newline in (("unix-lines", "\n"), ("dos-lines", "\r\n")):
        whole = mail(name, leaf("text/plain", text(rng(name), 1500)))
        yield name, whole.replace(b"\r\n", newline.encode())
    yield "flowed", mail("flowed", leaf("text/plain; charset=utf-8; format=flowed; delsp=yes",
                                        text(rng("flowed"), 2000).replace(b"\r\n", b" \r\n"), "8bit"))
    yield "no-mime", headers(("From", "old@example.org"), ("To", "new@example.org"), ("Subject", "Before MIME"),
                             ("Date", "Mon, 6 Jan 97 10:00:00 EST"), ("Message-Id", "<old.1@example.org>")
                             ) + CRLF + text(rng("no-mime"), 500)


def charsets():
    samples = (
        ("utf-8", "Grüße aus Köln, привет, 日本語, عربى, 😀 and naïve café"), ("iso-8859-1", "Grüße aus Köln, naïve café"),
        ("iso-8859-15", "Das kostet 5 €"), ("windows-1252", "“Quoted” — 5 €"), ("koi8-r", "Привет, мир: важное сообщение"),
        ("windows-1251", "Счёт за июль"), ("iso-2022-jp", "会議の予定について"), ("shift_jis", "会議の予定について"),
        ("euc-jp", "会議の予定"), ("gb2312", "会议通知"), ("big5", "會議通知"), ("euc-kr", "회의 안내"), ("utf-16", "wide Grüße"),
        ("utf-7", "Gr\u00fc\u00dfe"),
    )
    for charset, sample in samples:
        raw = (sample + "\r\n").encode(charset)
        for encoding in ("base64", "quoted-printable", "8bit"):
            if charset == "utf-16" and encoding != "base64":
                continue
            name = "charset-%s-%s" % (charset, encoding[:2])
            body = raw * 5 if encoding != "base64" else (sample + "\r\n" + sample).encode(charset)
            yield name, mail(name, leaf("text/plain; charset=%s" % charset, body, encoding),
                             subject=encoded_word(sample[:20], charset, "BQ"[len(encoding) % 2]))


def html_and_alternatives():
    page = b"<html><head><style>p { color: red }</style></head><body><p>%s</p>\r\n<a href=\"https://example.org/\">link</a></body></html>\r\n"
    for i, encoding in enumerate(("7bit", "quoted-printable", "base64")):
        name = "html-%d" % i
        yield name, mail(name, leaf("text/html; charset=utf-8", page % text(rng(name), 3000), encoding))
    for i in range(6):
        name = "alternative-%d" % i
        r = rng(name)
        body = text(r, number(r, 200, 4000))
        yield name, mail(name, multi("alternative", "=_alt_%d" % i, [
            leaf("text/plain; charset=utf-8", body, "quoted-printable"),
            leaf("text/html; charset=utf-8", page % body, ("quoted-printable", "base64", "7bit")[i % 3]),
        ], preamble=b"This is a multi-part message in MIME format.\r\n" if i % 2 else b""))
    name = "related"
    yield name, mail(name, multi("related", "rel", [
        multi("alternative", "rel-alt", [leaf("text/plain", text(rng(name), 300)),
                                         leaf("text/html", b"<img src=\"cid:logo@lbox\">\r\n")]),
        leaf("image/png; name=logo.png", noise(rng("png"), 5000), "base64", ("Content-ID", "<logo@lbox>"),
             ("Content-Disposition", "inline; filename=logo.png"), ("Content-Location", "https://example.org/logo.png")),
    ], params='; type="multipart/alternative"'))
    name = "calendar"
    yield name, mail(name, multi("alternative", "cal", [
        leaf("text/plain", b"Meeting\r\n"),
        leaf("text/calendar; charset=utf-8; method=REQUEST",
             b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1@lbox\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n", "7bit"),
    ]))


def attachments():
    sizes = (1, 1024, 4096, 10_000, 30_000, 65_536, 96_000, 98_304, 131_071, 131_072, 140_000, 200_000, 400_000, 1_048_576, 3_000_000)
    for size in sizes:
        name = "attach-noise-%d" % size
        yield name, mail(name, multi("mixed", "mix-%d" % size, [
            leaf("text/plain", text(rng(name), 300)),
            attachment("data-%d.bin" % size, "application/octet-stream", noise(rng(name), size)),
        ]))
    for size in (1024, 131_072, 700_000, 2_000_000):
        name = "attach-text-%d" % size
        yield name, mail(name, multi("mixed", "mixt-%d" % size, [
            leaf("text/plain", text(rng(name), 200)),
            attachment("report.csv", "text/csv", text(rng(name), size)),
        ]))
    name = "attach-many"
    yield name, mail(name, multi("mixed", "many", [leaf("text/plain", b"Twenty files\r\n")] + [
        attachment("f%d.pdf" % i, "application/pdf", noise(rng(i), 3000 * (i + 1))) for i in range(20)]))
    name = "body-noise-base64"
    yield name, mail(name, leaf("application/zip", noise(rng(name), 250_000), "base64"))
    name = "body-text-big"
    yield name, mail(name, leaf("text/plain", text(rng(name), 600_000)))
    name = "attach-binary-cte"
    yield name, mail(name, multi("mixed", "bin", [
        leaf("text/plain", b"binary below\r\n"),
        leaf("application/octet-stream", noise(rng(name), 20_000), "binary"),
    ]))
    name = "attach-uuencoded"
    yield name, mail(name, leaf("text/plain", b"begin 644 x.txt\r\n#0V%T\r\n`\r\nend\r\n", "x-uuencode"))


def nested():
    inner = mail("inner", leaf("text/plain", text(rng("inner"), 400)), subject="The inner one")
    for depth in (1, 2, 3, 6):
        name = "forward-%d" % depth
        message = inner
        for level in range(depth):
            message = mail("%s-%d" % (name, level), multi("mixed", "fwd%d" % level, [
                leaf("text/plain", b"See below, level %d\r\n" % level), leaf("message/rfc822", message)]),
                subject="Fwd: level %d" % level)
        yield name, message
    yield "rfc822-only", mail("rfc822-only", leaf("message/rfc822", inner))
    yield "rfc822-multipart", mail("rfc822-multipart", leaf("message/rfc822", mail(
        "inner-multi", multi("mixed", "im", [leaf("text/plain", b"one\r\n"), leaf("text/html", b"<b>two</b>\r\n")]))))
    yield "rfc822-base64", mail("rfc822-base64", leaf("message/rfc822", inner, "base64"))
    digest = [b"\r\n" + mail("digest-%d" % i, leaf("text/plain", text(rng(i), 150))) for i in range(15)]
    yield "digest", mail("digest", multi("digest", "dig", digest))
    yield "digest-in-mixed", mail("digest-in-mixed", multi("mixed", "dm", [
        leaf("text/plain", b"Digest\r\n"), multi("digest", "dm2", digest[:4]), leaf("text/plain", b"Footer\r\n")]))
    yield "dsn", mail("dsn", multi("report", "dsn", [
        leaf("text/plain", b"Your message could not be delivered.\r\n"),
        leaf("message/delivery-status", b"Reporting-MTA: dns; mx.example.org\r\n\r\nFinal-Recipient: rfc822; x@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n"),
        leaf("message/rfc822", inner)], params="; report-type=delivery-status"), from_="MAILER-DAEMON@example.org",
        extra=(("Return-Path", "<>"), ("Auto-Submitted", "auto-replied")))
    yield "dsn-headers-only", mail("dsn-headers-only", multi("report", "dsn2", [
        leaf("text/plain", b"Delayed.\r\n"), leaf("text/rfc822-headers", inner.split(b"\r\n\r\n")[0] + CRLF)]))
    yield "signed", mail("signed", multi("signed", "sig", [
        leaf("text/plain; charset=utf-8", text(rng("signed"), 500)),
        leaf("application/pgp-signature; name=signature.asc", b"-----BEGIN PGP SIGNATURE-----\r\n\r\niQEz\r\n-----END PGP SIGNATURE-----\r\n"),
    ], params='; micalg=pgp-sha512; protocol="application/pgp-signature"'))
    yield "external-body", mail("external-body", leaf(
        'message/external-body; access-type=local-file; name="/u/x"', b"Content-Type: image/gif\r\nContent-ID: <x@y>\r\n\r\n"))
    yield "partial", mail("partial", leaf('message/partial; id="a@b"; number=1; total=2', inner))
    yield "global", mail("global", leaf("message/global", inner.replace(b"inner one", "innerste Größe".encode()), "8bit"))


def header_forms():
    r = rng("header-forms")
    body = leaf("text/plain", b"A short body.\r\n")
    people = ", ".join(address(p) for p in PEOPLE)
    forms = {
        "many-recipients": dict(to=",\r\n\t".join("u%d@example.org" % i for i in range(300))),
        "all-people": dict(to=people, cc=people, extra=(("Bcc", people), ("Reply-To", people), ("Sender", PEOPLE[0][1]))),
        "groups": dict(to='Team: a@example.org, "B, C" <bc@example.org>;, Empty:;', cc="undisclosed-recipients:;"),
        "comments": dict(from_="(first) Joe (the one (nested)) <joe(x)@(y)example.org> (last)"),
        "route-address": dict(to="<@relay.example.org,@b.example.org:joe@example.org>"),
        "quoted-local": dict(from_='"odd \\" local"@example.org', to='"@"@example.org'),
        "domain-literal": dict(to="root@[127.0.0.1], x@[IPv6:::1]"),
        "utf8-raw": dict(from_="Jörg Müller <jörg@müller.example>", subject="Größe und Maß – 日本語 😀"),
        "q-words": dict(subject="=?utf-8?Q?Gr=C3=B6=C3=9Fe?= plain =?iso-8859-1?q?na=EFve_caf=E9?="),
        "b-words-adjacent": dict(subject="=?utf-8?B?R3LDtg==?=\r\n =?utf-8?B?w59l?="),
        "word-split-char": dict(subject="=?utf-8?B?R3LD?= =?utf-8?B?tsOfZQ==?="),
        "word-lang": dict(subject="=?utf-8*de?Q?Stra=C3=9Fe?="),
        "folded-subject": dict(subject="One\r\n two\r\n\tthree\r\n    four"),
        "long-subject": dict(subject=words(r, 400)),
        "tabs-subject": dict(subject="\ttabs\tin\tthe\tsubject\t"),
        "empty-subject": dict(subject=""),
        "list-headers": dict(extra=(("List-Id", "The list <list.example.org>"), ("List-Unsubscribe", "<mailto:u@example.org>"),
                                    ("Precedence", "bulk"), ("X-Spam-Flag", "NO"), ("X-Spam-Score", "-1.9"))),
        "received-chain": dict(extra=tuple(("Received", "from h%d.example.org by h%d.example.org with ESMTP id X%d;\r\n\tMon, 2 Mar 2020 10:%02d:00 +0000"
                                            % (i, i + 1, i, i)) for i in range(30))),
        "dkim": dict(extra=(("DKIM-Signature", "v=1; a=rsa-sha256; d=example.org; s=s1;\r\n\tbh=" + "A" * 44 + "=;\r\n\tb=" + "B" * 300),)),
        "upper-case": dict(extra=(("X-UPPER", "VALUE"), ("x-lower", "value"), ("X-MiXeD", "VaLuE"))),
        "resent": dict(extra=(("Resent-From", "r@example.org"), ("Resent-To", "s@example.org"), ("Resent-Date", "Tue, 3 Mar 2020 10:00:00 +0000"))),
    }
    for form, args in forms.items():
        name = "header-" + form
        yield name, mail(name, body, **args)
    parameters = {
        "rfc2231": "attachment; filename*=utf-8'de'Gr%C3%B6%C3%9Fe.txt",
        "rfc2231-continued": "attachment; filename*0*=iso-8859-1''Gr%F6; filename*1=sse; filename*2*=%20.txt",
        "rfc2231-plain": 'attachment; filename*0="one-"; filename*1="two.txt"',
        "rfc2047-in-parameter": 'attachment; filename="=?utf-8?B?R3LDtsOfZS50eHQ=?="',
        "raw-8bit": 'attachment; filename="Größe.txt"',
        "quoted-pairs": 'attachment; filename="a\\"b\\\\c.txt"; size=12; creation-date="Wed, 12 Feb 1997 16:29:51 -0500"',
        "unquoted-space": "attachment; filename=my file.txt",
    }
    for form, value in parameters.items():
        name = "param-" + form
        yield name, mail(name, multi("mixed", "p", [leaf("text/plain", b"x\r\n"), leaf(
            "application/octet-stream", b"data\r\n", "base64", ("Content-Disposition", value),
            ("Content-Description", "Größe"), ("Content-Language", "de, en"), ("Content-MD5", "Q2hlY2sgSW50ZWdyaXR5IQ=="))]))


def threads():
    """Conversations: replies, lost parents, subjects that only look alike, loops and duplicate ids."""
    def message(name, subject, refs=None, reply_to=None, **extra):
        more = []
        if reply_to:
            more.append(("In-Reply-To", reply_to))
        if refs:
            more.append(("References", refs))
        return name, mail(name, leaf("text/plain", text(rng(name), 300)), subject=subject, extra=tuple(more), **extra)

    chain = []
    for i in range(12):
        name = "thread-a%d" % i
        yield message(name, "Re: " * min(i, 3) + "Harbour lantern", " ".join(chain) or None, chain[-1] if chain else None,
                      date="Tue, %d Mar 2022 1%d:00:00 +0000" % (number(rng(name), 1, 28), i % 10))
        chain.append("<%s@lbox.example>" % name)
    yield message("thread-b0", "Lost parent", "<never-seen-1@lbox.example> <never-seen-2@lbox.example>")
    yield message("thread-b1", "Re: Lost parent", "<never-seen-1@lbox.example>")
    yield message("thread-b2", "Re: lost   PARENT", None, "<never-seen-2@lbox.example>")
    yield message("thread-c0", "[list] Winter schedule")
    yield message("thread-c1", "Re: [list] Winter schedule")
    yield message("thread-c2", "Fwd: Winter schedule (fwd)")
    yield message("thread-c3", "RE[2]: [list] re: Winter schedule")
    yield message("thread-c4", "=?utf-8?Q?AW:_Winter_schedule?=")
    yield message("thread-loop0", "Loop", "<thread-loop1@lbox.example>")
    yield message("thread-loop1", "Loop", "<thread-loop0@lbox.example>")
    yield message("thread-self", "Self", "<thread-self@lbox.example>", "<thread-self@lbox.example>")
    yield message("thread-dup0", "Twice", message_id="<twice@lbox.example>")
    yield message("thread-dup1", "Re: Twice", "<twice@lbox.example>", message_id="<twice@lbox.example>")
    yield message("thread-noid0", "No id at all", message_id=None)
    yield message("thread-noid1", "Re: No id at all", "<harbour@lbox.example>", message_id=None)
    yield message("thread-badref", "Broken references", "no brackets <<double@x>> <unterminated <ok@lbox.example>, \"q\"")
    yield message("thread-longref", "Long references", "\r\n ".join("<r%d@lbox.example>" % i for i in range(800)))
    yield message("thread-replytext", "Old style", None, "Your message of Tuesday <thread-a0@lbox.example> \"hi\"")
    yield message("thread-quotedid", "Quoted id", None, None, message_id='<"quoted id"@lbox.example>')


def realistic():
    for family in (plain, charsets, html_and_alternatives, attachments, nested, header_forms, threads):
        yield from family()
