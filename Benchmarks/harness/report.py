"""Medians, lowest values and ratios out of the raw samples; shared by run (table) and plot (charts, page)."""

import statistics

from .rows import BY_NAME, OWN_RATIOS, Start


def used(samples):
    """The undisturbed samples, or all of them when every one was disturbed."""
    return [sample for sample in samples if not sample.get("disturbed")] or samples


def values(results, row, peer, key=None):
    key = key or BY_NAME[row].metric
    samples = used(results["rows"].get(row, {}).get(peer, []))
    return [sample[key] for sample in samples if sample.get(key) is not None]


def median(results, row, peer, key=None):
    found = values(results, row, peer, key)
    return statistics.median(found) if found else None


def lowest(results, row, peer, key=None):
    found = values(results, row, peer, key)
    return min(found) if found else None


def verdict(ratio, ratio_lowest, limit):
    """A claim must hold in the medians and in the lowest rounds."""
    if ratio <= limit and ratio_lowest <= limit:
        return "pass"
    if ratio <= limit:
        return "pass (not in the lowest rounds)"
    return "miss"


def judgements(results):
    """Every promise that the results can judge: dictionaries with row, against, ratios, limit and verdict."""
    found = []
    for name in results["rows"]:
        row = BY_NAME[name]
        for peer in row.peers:
            if peer == "weir" or not values(results, name, peer) or not values(results, name, "weir"):
                continue
            ratio = median(results, name, "weir") / max(1e-9, median(results, name, peer))
            low = lowest(results, name, "weir") / max(1e-9, lowest(results, name, peer))
            limit = row.targets.get(peer)
            found.append({
                "row": name, "against": peer, "ratio": ratio, "ratio_lowest": low, "limit": limit,
                "verdict": verdict(ratio, low, limit) + doubt(results, name, "weir", peer) if limit else ""})
        if isinstance(row, Start) and values(results, name, "weir"):
            ms = median(results, name, "weir")
            found.append({
                "row": name, "against": f"{row.limit_ms:.0f} ms", "ratio": ms / row.limit_ms,
                "ratio_lowest": lowest(results, name, "weir") / row.limit_ms, "limit": 1.0,
                "verdict": verdict(ms, lowest(results, name, "weir"), row.limit_ms)})
    for name, base, limit in OWN_RATIOS:
        for peer in ("weir", "nginx", "haproxy"):
            if values(results, name, peer) and values(results, base, peer):
                ratio = median(results, name, peer) / median(results, base, peer)
                low = lowest(results, name, peer) / lowest(results, base, peer)
                own = peer == "weir"
                found.append({
                    "row": name, "against": base + ("" if own else f" (both {peer})"), "ratio": ratio,
                    "ratio_lowest": low, "limit": limit if own else None,
                    "verdict": verdict(ratio, low, limit) + doubt(results, name, peer) if own else ""})
    return found


def doubt(results, row, *peers):
    """A remark for verdicts that rest on nothing but disturbed rounds."""
    for peer in peers:
        if all(sample.get("disturbed") for sample in results["rows"][row][peer]):
            return ", but every round was disturbed"
    return ""


def _number(value, digits):
    return "–" if value is None else f"{value:,.{digits}f}"


def table(results):
    """The figures of each row and peer as lines of text."""
    lines = [f"{'row':15} {'peer':15} {'unit':24} {'median':>9} {'lowest':>9} {'user':>6} {'req/s':>9} {'p50 µs':>9} "
             f"{'p99 µs':>9} {'core':>5} {'rounds':>7}"]
    for name, peers in results["rows"].items():
        row = BY_NAME[name]
        for peer, samples in peers.items():
            good = len([sample for sample in samples if not sample.get("disturbed")])
            busy = median(results, name, peer, "busy")
            rate = median(results, name, peer, "requests_per_s")
            lines.append(
                f"{name:15} {peer:15} {row.unit:24} {_number(median(results, name, peer), row.digits):>9} "
                f"{_number(lowest(results, name, peer), row.digits):>9} "
                f"{_number(median(results, name, peer, 'user_us'), 1):>6} "
                f"{_number(rate, 0):>9} {_number(median(results, name, peer, 'p50_us'), 0):>9} "
                f"{_number(median(results, name, peer, 'p99_us'), 0):>9} "
                f"{'–' if busy is None else f'{busy:.0%}':>5} {f'{good}/{len(samples)}':>7}")
    return lines


def verdict_lines(results):
    lines = [f"{'row':15} {'weir against':26} {'ratio':>7} {'lowest':>7} {'limit':>6}  verdict"]
    for each in judgements(results):
        limit = f"{each['limit']:.2f}" if each["limit"] else "–"
        lines.append(f"{each['row']:15} {each['against']:26} {each['ratio']:7.2f} {each['ratio_lowest']:7.2f} "
                     f"{limit:>6}  {each['verdict']}")
    return lines
