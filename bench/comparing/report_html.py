"""The report as one HTML file that needs nothing else: ratios as bars with their intervals, then the tables."""

import html

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1d2733; max-width: 1080px; margin: 32px auto; padding: 0 20px }
h1 { font-size: 23px } h2 { font-size: 18px; margin-top: 36px }
table { border-collapse: collapse; width: 100%; font-size: 13px } td, th { padding: 4px 8px; border-bottom: 1px solid #e3e8ee; text-align: right }
td:first-child, th:first-child { text-align: left } .met { color: #12733a } .missed { color: #a1260d }
small { color: #5c6b7a } svg text { font: 12px system-ui, sans-serif; fill: #1d2733 }
"""
_LEFT, _WIDTH, _ROW, _MOST = 380, 560, 26, 2.0  # pixels; a ratio above _MOST is cut off


def as_html(report):
    machine = report["machine"]
    return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>lbox compared</title><style>%s</style></head><body>%s</body></html>\n" % (
        _STYLE, "".join([
            "<h1>lbox against Dovecot's own mail formats</h1><p><small>%s</small></p>" % html.escape(
                "%s; Dovecot %s; commit %s; %s, %s cores, Linux %s, load %.1f; %s; scale %s, %d repeats" % (
                    report["date"], report["dovecot"], report["commit"], machine["cpu"], machine["cores"], machine["kernel"], machine["load"],
                    report["command"], report["scale"]["name"], report["repeats"])),
            "<h2>Ratio of wall clock to the peer named (left of the line: lbox is faster)</h2>", _ratios(report),
            "<h2>Seconds, median</h2>", _seconds(report),
            _figures("Counts for each LMTP delivery", report["counts"]), _figures("Disk, bytes", report["disk"]),
            _figures("Memory of an imap process, bytes", report["memory"])]))


def _x(ratio):
    return _LEFT + min(ratio, _MOST) / _MOST * _WIDTH


def _ratios(report):
    rows = [row for row in report["operations"] if "ratio" in row]
    height = _ROW * len(rows) + 30
    out = ['<svg width="%d" height="%d" role="img" aria-label="ratios">' % (_LEFT + _WIDTH + 90, height)]
    for tick in (0, 0.5, 1, 1.5, 2):
        out.append('<line x1="%d" x2="%d" y1="0" y2="%d" stroke="%s"/><text x="%d" y="%d" text-anchor="middle">%g</text>' % (
            _x(tick), _x(tick), height - 22, "#5c6b7a" if tick == 1 else "#e3e8ee", _x(tick), height - 6, tick))
    for i, row in enumerate(rows):
        y = i * _ROW + 5
        colour = {True: "#2f9e5b", False: "#d2603a", None: "#6c8ebf"}[row["met"]]
        out.append('<text x="0" y="%d">%s</text>' % (y + 12, html.escape("%s (%s)" % (row["text"][:44], row["against"]))))
        out.append('<rect x="%d" y="%d" width="%.1f" height="14" fill="%s"/>' % (_LEFT, y, _x(row["ratio"]) - _LEFT, colour))
        out.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#1d2733"/>' % (_x(row["low"]), _x(row["high"]), y + 7, y + 7))
        if row["limit"] is not None:
            out.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#1d2733" stroke-width="2" stroke-dasharray="2 2"/>' % (
                _x(row["limit"]), _x(row["limit"]), y - 3, y + 17))
        out.append('<text x="%.1f" y="%d">%.2f</text>' % (max(_x(row["ratio"]), _x(row["high"])) + 6, y + 12, row["ratio"]))
    return "".join(out) + "</svg><p><small>Bar: median of the paired ratios; line: its 95 % bootstrap interval; dashes: what is to be reached.</small></p>"


def _seconds(report):
    names = report["formats"]
    rows = []
    for row in report["operations"]:
        cells = "".join("<td>%s</td>" % ("%.3f &plusmn; %.0f %%" % (row["formats"][n]["median"], 100 * row["formats"][n]["spread"])
                                         if n in row["formats"] else "") for n in names)
        met = row.get("met")
        rows.append('<tr><td>%s</td><td class="%s">%s</td>%s</tr>' % (
            html.escape(row["text"]), {True: "met", False: "missed"}.get(met, ""), "%.2f" % row["ratio"] if "ratio" in row else "", cells))
    return "<table><tr><th>operation</th><th>ratio</th>%s</tr>%s</table>" % ("".join("<th>%s</th>" % html.escape(n) for n in names), "".join(rows))


def _figures(title, data):
    if not data:
        return ""
    names = list(data)
    rows = "".join("<tr><td>%s</td>%s</tr>" % (html.escape(figure), "".join("<td>%s</td>" % f"{data[n][figure]:,.1f}" for n in names))
                   for figure in data[names[0]])
    return "<h2>%s</h2><table><tr><th></th>%s</tr>%s</table>" % (html.escape(title), "".join("<th>%s</th>" % html.escape(n) for n in names), rows)
