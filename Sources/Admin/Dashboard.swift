// The status page: markup, style and script, all from this file and nothing from elsewhere.
//
// The script asks /api/v1/status every two seconds and shows it. Names come from the configuration and
// are put in as text nodes, never as markup. Rates are differences between two answers.

enum Dashboard {
    static let html = """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Weir</title>
        <link rel="stylesheet" href="/dashboard.css">
        <script src="/dashboard.js" defer></script>
        </head>
        <body>
        <header>
        <h1>Weir</h1>
        <p id="summary">Loading …</p>
        <p id="fault" role="alert" hidden></p>
        <button id="reload" type="button">Reload configuration</button>
        </header>
        <main>
        <section id="tiles" aria-label="Totals"></section>
        <section><h2>Services</h2><div id="services"></div></section>
        <section><h2>Routes</h2><div id="routes"></div></section>
        <section><h2>Listeners</h2><div id="listeners"></div></section>
        <section id="datagrams" hidden><h2>UDP</h2><div id="datagrams-table"></div></section>
        <section><h2>Workers</h2><div id="workers"></div></section>
        <section><h2>Limits</h2><div id="limits"></div></section>
        </main>
        <footer><a href="/api/v1/status">JSON</a> <a href="/metrics">Metrics</a></footer>
        <noscript>This page needs its script; the same facts are at /api/v1/status?format=text.</noscript>
        </body>
        </html>

        """

    static let css = """
        :root { color-scheme: light dark; --back: #f7f8fa; --card: #fff; --ink: #1c2128; --dim: #5b6673;
          --line: #dfe3e8; --good: #1a7f4b; --bad: #c0362c; --warn: #9a6700; --mark: #2463b8; }
        @media (prefers-color-scheme: dark) { :root { --back: #14171b; --card: #1c2026; --ink: #e4e8ec;
          --dim: #97a3b0; --line: #31373f; --good: #56c288; --bad: #f0837a; --warn: #dcae4a; --mark: #7db2f5; } }
        * { box-sizing: border-box; }
        body { margin: 0 auto; max-width: 80rem; padding: 1rem 1.25rem 3rem; background: var(--back);
          color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
        header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .5rem 1.25rem; }
        h1 { font-size: 1.5rem; margin: 0; }
        h2 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; }
        h3 { font-size: .95rem; margin: .9rem 0 .35rem; }
        h3 small, #summary { color: var(--dim); font-weight: normal; margin-block: 0; }
        #fault { color: var(--bad); margin: 0; white-space: pre-wrap; flex-basis: 100%; order: 9; }
        button { margin-left: auto; font: inherit; padding: .3rem .8rem; border: 1px solid var(--line);
          border-radius: .4rem; background: var(--card); color: var(--ink); cursor: pointer; }
        button:hover { border-color: var(--mark); }
        #tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem;
          margin-top: 1rem; }
        .tile { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
        .tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
        .tile span { color: var(--dim); font-size: .85rem; }
        .scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
        table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
        th, td { padding: .35rem .75rem; text-align: right; white-space: nowrap; }
        th { color: var(--dim); font-weight: 500; font-size: .82rem; }
        td { border-top: 1px solid var(--line); }
        .left { text-align: left; }
        .good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); } .dim { color: var(--dim); }
        footer { margin-top: 2rem; } a { color: var(--mark); margin-right: 1rem; }

        """

    static let script = """
        "use strict";
        const bounds = [0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000];
        let before = null, beforeAt = 0;
        const byId = id => document.getElementById(id);

        function element(tag, text, className) {
          const made = document.createElement(tag);
          if (text !== undefined && text !== null) made.textContent = text;
          if (className) made.className = className;
          return made;
        }
        const number = n => n >= 1e9 ? (n / 1e9).toFixed(2) + " G" : n >= 1e6 ? (n / 1e6).toFixed(2) + " M"
          : n >= 1e4 ? (n / 1e3).toFixed(1) + " k" : n >= 100 || Number.isInteger(n) ? Math.round(n).toString() : n.toFixed(1);
        const bytes = n => n >= 1 << 30 ? (n / 2 ** 30).toFixed(1) + " GiB" : n >= 1 << 20 ? (n / 2 ** 20).toFixed(1) + " MiB"
          : n >= 1024 ? (n / 1024).toFixed(1) + " KiB" : Math.round(n) + " B";
        const sum = list => list.reduce((a, b) => a + b, 0);
        const total = object => sum(Object.values(object));
        const failures = object => Object.entries(object).map(([name, n]) => name + " " + number(n)).join(", ") || "–";

        function duration(s) {
          if (s >= 86400) return Math.floor(s / 86400) + " d " + Math.floor(s / 3600 % 24) + " h";
          if (s >= 3600) return Math.floor(s / 3600) + " h " + Math.floor(s / 60 % 60) + " min";
          return s >= 60 ? Math.floor(s / 60) + " min " + s % 60 + " s" : s + " s";
        }
        // The bound of the bucket in which the quantile lies.
        function quantile(histogram, q) {
          if (!histogram.count) return "–";
          let seen = 0;
          for (let i = 0; i < bounds.length; i++) {
            seen += histogram.buckets[i];
            if (seen >= q * histogram.count) return "≤ " + (bounds[i] < 1000 ? bounds[i] + " ms" : bounds[i] / 1000 + " s");
          }
          return "> 60 s";
        }
        // A column is [title, cell(row), class]; a cell is text or [text, class].
        function table(columns, rows) {
          const scroll = element("div", null, "scroll"), made = element("table");
          const head = made.createTHead().insertRow();
          for (const [title, , className] of columns) {
            const cell = element("th", title, className);
            cell.scope = "col";
            head.append(cell);
          }
          const body = made.createTBody();
          for (const row of rows) {
            const line = body.insertRow();
            for (const [, cell, className] of columns) {
              const value = cell(row), isPair = Array.isArray(value);
              line.append(element("td", isPair ? value[0] : value, (className || "") + " " + (isPair ? value[1] : "")));
            }
          }
          if (!rows.length) body.insertRow().append(element("td", "none", "left dim"));
          scroll.append(made);
          return scroll;
        }
        const fill = (id, ...nodes) => byId(id).replaceChildren(...nodes);
        const key = (...parts) => parts.join("\\u0000");
        const index = (list, name) => new Map((list || []).map(x => [name(x), x]));

        function show(now) {
          const at = now.at, seconds = before ? Math.max(0.001, (at - beforeAt) / 1000) : 0;
          const rate = (a, b) => seconds && b !== undefined && a >= b ? (a - b) / seconds : null;
          const shown = (value, form = number) => value === null ? "–" : form(value);
          const c = now.configuration;
          const held = c.held_snapshots.map(h => "generation " + h.generation + " still in use");
          byId("summary").textContent = [now.version + (now.commit === "unknown" ? "" : " (" + now.commit + ")"), now.state, "up " + duration(now.uptime_seconds),
            "configuration " + c.generation + (c.file ? " from " + c.file : ""), ...held].join(" · ");
          byId("summary").className = now.state === "ready" ? "" : "warn";

          const requests = sum(now.routes.map(r => total(r.requests)));
          const failed = sum(now.routes.map(r => total(r.failures)));
          const out = sum(now.routes.map(r => r.bytes_out)) + sum(now.listeners.map(l => l.stream_bytes_out));
          const active = sum(now.listeners.map(l => l.active));
          const inFlight = sum(now.services.flatMap(s => s.endpoints.map(e => e.active)));
          const old = before && before.totals;
          now.totals = { requests, failed, out };
          const tiles = [["requests/s", shown(rate(requests, old ? old.requests : undefined))], ["requests", number(requests)],
            ["failures/s", shown(rate(failed, old ? old.failed : undefined))], ["client connections", number(active)],
            ["in flight upstream", number(inFlight)], ["sent/s", shown(rate(out, old ? old.out : undefined), bytes)]];
          fill("tiles", ...tiles.map(([name, value]) => {
            const tile = element("div", null, "tile");
            tile.append(element("b", value), element("span", name));
            return tile;
          }));

          const oldServices = index(before && before.services, s => s.name);
          fill("services", ...now.services.flatMap(service => {
            const title = element("h3", service.name + " ");
            title.append(element("small", service.balance));
            const oldEndpoints = index((oldServices.get(service.name) || {}).endpoints, e => e.address);
            return [title, table([
              ["Endpoint", e => e.address, "left"],
              ...(service.endpoints.some(e => e.resolved_from) ? [["Name", e => e.resolved_from
                ? [e.resolved_from + (e.stale_since_us ? " (stale)" : ""), e.stale_since_us ? "warn" : "dim"] : "", "left"]] : []),
              ["State", e => [e.state + (e.health == "healthy" ? "" : ", " + e.health),
                e.state == "active" && e.health == "healthy" ? "dim" : "warn"], "left"],
              ["Weight", e => e.weight], ["In flight", e => number(e.active)], ["Idle", e => number(e.idle)],
              ["Attempts/s", e => shown(rate(e.attempts, (oldEndpoints.get(e.address) || {}).attempts))],
              ["Attempts", e => number(e.attempts)],
              ["Reused", e => e.attempts ? Math.round(100 * e.connections_reused / e.attempts) + " %" : "–"],
              ["Connect p99", e => quantile(e.connect, 0.99)],
              ["Failures", e => [failures(e.failures), total(e.failures) ? "bad" : "dim"], "left"],
            ], service.endpoints), ...service.unresolved.map(n => element("p", n.name + " not resolved yet"
              + (n.failures ? ": " + n.last_failure + ", " + n.failures + " times" : ""), "warn"))];
          }));

          const oldRoutes = index(before && before.routes, r => key(r.name, r.service));
          fill("routes", table([
            ["Route", r => r.name, "left"], ["Match", r => [r.match, "dim"], "left"], ["Service", r => r.service, "left"],
            ["Requests/s", r => {
              const old = oldRoutes.get(key(r.name, r.service));
              return shown(rate(total(r.requests), old && total(old.requests)));
            }],
            ["2xx", r => number(r.requests["2xx"])], ["3xx", r => number(r.requests["3xx"])],
            ["4xx", r => [number(r.requests["4xx"]), r.requests["4xx"] ? "warn" : ""]],
            ["5xx", r => [number(r.requests["5xx"]), r.requests["5xx"] ? "bad" : ""]],
            ["p50", r => quantile(r.duration, 0.5)], ["p99", r => quantile(r.duration, 0.99)],
            ["Retries", r => number(r.retries)], ["Out", r => bytes(r.bytes_out)],
            ["Failures", r => [failures(r.failures), total(r.failures) ? "bad" : "dim"], "left"],
          ], now.routes));

          const oldListeners = index(before && before.listeners, l => l.name);
          fill("listeners", table([
            ["Listener", l => l.name, "left"], ["Address", l => l.address, "left"], ["Protocol", l => l.protocol, "left"],
            ["Connections", l => number(l.active)], ["Accepted", l => number(l.accepted)],
            ["Accepted/s", l => shown(rate(l.accepted, (oldListeners.get(l.name) || {}).accepted))],
            ["Requests", l => number(l.requests)], ["L4 ended", l => number(l.streams)],
            ["Rejected", l => [number(l.rejected), l.rejected ? "bad" : ""]],
            ["State", l => l.paused ? ["paused: no file descriptors", "bad"] : ["open", "good"], "left"],
          ], now.listeners));

          const udp = now.listeners.filter(l => l.protocol === "udp");
          byId("datagrams").hidden = !udp.length;
          fill("datagrams-table", table([
            ["Listener", l => l.name, "left"], ["Sessions", l => number(l.active)], ["Ended", l => number(l.streams)],
            ["In/s", l => shown(rate(l.datagrams_in, (oldListeners.get(l.name) || {}).datagrams_in))],
            ["Out/s", l => shown(rate(l.datagrams_out, (oldListeners.get(l.name) || {}).datagrams_out))],
            ["Datagrams in", l => number(l.datagrams_in)], ["Out", l => number(l.datagrams_out)],
            ["Dropped", l => [failures(l.datagrams_dropped), total(l.datagrams_dropped) ? "bad" : "dim"], "left"],
          ], udp));

          const oldWorkers = index(before && before.workers, w => w.worker);
          fill("workers", table([
            ["Worker", w => w.worker, "left"], ["Connections", w => number(w.connections)],
            ["Busy", w => {
              const busy = rate(w.busy_ns, (oldWorkers.get(w.worker) || {}).busy_ns);
              return busy === null ? "–" : Math.min(100, busy / 1e7).toFixed(0) + " %";
            }],
            ["Turns", w => number(w.loop_turns)], ["Buffers", w => number(w.buffers_in_use)],
            ["Timers", w => number(w.timers)], ["Configuration", w => w.snapshot_generation],
          ], now.workers));

          fill("limits", table([
            ["Limit", l => l.name, "left"], ["Used", l => number(l.used)], ["Max", l => l.max > 1e18 ? "none" : number(l.max)],
            ["", l => {
              const share = l.max ? l.used / l.max : 0;
              return [l.max > 1e18 ? "" : Math.round(100 * share) + " %", share > 0.9 ? "bad" : share > 0.7 ? "warn" : ""];
            }],
          ], now.limits));
          before = now;
          beforeAt = at;
        }

        function complain(text) {
          const fault = byId("fault");
          if (fault.textContent !== text) fault.textContent = text;
          fault.hidden = !text;
        }
        function reloadText(result) {
          if (result.ok && !result.warnings.length) return "";
          const head = result.ok ? "Reloaded, with warnings:" : "Reload refused, generation " + result.generation + " still serves:";
          return head + "\\n" + result.problems.concat(result.warnings).map(p =>
            (p.file ? p.file + (p.line ? ":" + p.line + ":" + p.column : "") + ": " : "") + p.message + (p.suggestion ? " (" + p.suggestion + ")" : "")).join("\\n");
        }
        async function turn() {
          try {
            const answer = await fetch("/api/v1/status");
            if (!answer.ok) throw new Error("status " + answer.status);
            const now = await answer.json();
            now.at = performance.now();
            show(now);
            const last = now.configuration.last_reload;
            complain(last ? reloadText(last) : "");
          } catch (error) {
            complain("No answer from Weir (" + error.message + "). What is shown is old.");
          }
          setTimeout(turn, document.hidden ? 10000 : 2000);
        }
        byId("reload").addEventListener("click", async event => {
          event.target.disabled = true;
          try {
            const answer = await fetch("/api/v1/reload", { method: "POST", headers: { "X-Weir-Request": "1" } });
            complain(reloadText(await answer.json()));
          } catch (error) {
            complain("Reload: " + error.message);
          }
          event.target.disabled = false;
        });
        turn();

        """
}
