-- Appended to every wrk run: one line of JSON instead of wrk's table, latencies in microseconds.
function done(summary, latency, requests)
    io.write(string.format(
        'JSON {"requests": %d, "duration_us": %d, "bytes": %d, "errors": %d, "p50_us": %.1f, "p99_us": %.1f, "max_us": %.1f}\n',
        summary.requests, summary.duration, summary.bytes,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout,
        latency:percentile(50), latency:percentile(99), latency.max))
end
