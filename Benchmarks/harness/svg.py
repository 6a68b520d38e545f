"""Horizontal bar charts as SVG, written by hand: no dependency, readable on light and dark pages."""

from xml.sax.saxutils import escape

COLOURS = {"weir": "#2f6fde", "nginx": "#5fa777", "haproxy": "#d98b5f", "haproxy-splice": "#b9a04c",
           "haproxy28": "#b5713f", "envoy": "#a06fb5", "caddy": "#5ba3a8"}
NAMES = {"weir": "Weir", "nginx": "nginx", "haproxy": "HAProxy", "haproxy-splice": "HAProxy, splicing",
         "haproxy28": "HAProxy 2.8", "envoy": "Envoy", "caddy": "Caddy"}

WIDTH, LEFT, RIGHT, BAR, GAP, GROUP_GAP, TOP = 780, 210, 140, 14, 3, 14, 90

STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .soft { fill: #57606a }
  .rule { stroke: #8c959f; stroke-width: 1; stroke-dasharray: 3 3 }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .soft { fill: #9da7b3 } .rule { stroke: #6e7681 } }
"""


def bars(title, subtitle, groups, base=None):
    """`groups`: list of (label, [(peer, length, label of the bar)]); `base`: (length, label) of a vertical rule."""
    peers = []
    for _, entries in groups:
        peers += [peer for peer, _, _ in entries if peer not in peers]
    longest = max([length for _, entries in groups for _, length, _ in entries] + [base[0] if base else 0])
    scale = (WIDTH - LEFT - RIGHT) / longest if longest else 0
    height = TOP + sum(len(entries) * (BAR + GAP) + GROUP_GAP for _, entries in groups) + 6
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">', f"<style>{STYLE}</style>",
        f'<text class="title" x="12" y="22">{escape(title)}</text>',
        f'<text class="soft" x="12" y="40">{escape(subtitle)}</text>']
    x = 12.0
    for peer in peers:
        out.append(f'<rect x="{x:.0f}" y="50" width="11" height="11" rx="2" fill="{COLOURS[peer]}"/>')
        out.append(f'<text x="{x + 16:.0f}" y="60">{escape(NAMES[peer])}</text>')
        x += 34 + 7 * len(NAMES[peer])
    y = TOP
    if base:
        at = LEFT + base[0] * scale
        out.append(f'<line class="rule" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 4}" y2="{height - 8}"/>')
        out.append(f'<text class="soft" x="{at:.1f}" y="{TOP - 8}" text-anchor="middle">{escape(base[1])}</text>')
    for label, entries in groups:
        middle = y + len(entries) * (BAR + GAP) / 2 + 3
        out.append(f'<text x="{LEFT - 10}" y="{middle:.1f}" text-anchor="end">{escape(label)}</text>')
        for peer, length, text in entries:
            width = max(1.0, length * scale)
            out.append(f'<rect x="{LEFT}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" rx="2" fill="{COLOURS[peer]}"/>')
            out.append(f'<text class="soft" x="{LEFT + width + 6:.1f}" y="{y + BAR - 3:.1f}">{escape(text)}</text>')
            y += BAR + GAP
        y += GROUP_GAP
    out.append("</svg>")
    return "\n".join(out) + "\n"
