// StatusSnapshot and ReloadResult as JSON: the contract of /api/v1.
//
// Durations end in _us, _ns or _seconds, moments in _us since 1970. Counters never fall while their
// object lives. Members are only ever added within v1.

import WeirJSON
import Telemetry

extension StatusSnapshot {
    /// The body of GET /api/v1/status. `service` limits the services to the one of that name.
    public func json(service wanted: String? = nil) -> [UInt8] {
        var json = JSONWriter()
        json.object {
            $0.member("version", version)
            $0.member("commit", commit)
            $0.member("pid", pid)
            $0.member("state", state.rawValue)
            $0.member("started_us", startedUs)
            $0.member("uptime_seconds", uptimeSeconds)
            $0.key("configuration")
            configuration.write(&$0)
            $0.member("workers", workers) { $1.write(&$0) }
            $0.member("listeners", listeners) { $1.write(&$0) }
            $0.member("routes", routes) { $1.write(&$0) }
            $0.member("services", services.filter { wanted == nil || wanted == $0.name }) { $1.write(&$0) }
            $0.member("limits", limits) { json, limit in
                json.object {
                    $0.member("name", limit.name)
                    $0.member("used", limit.used)
                    $0.member("max", limit.max)
                }
            }
        }
        return json.bytes
    }
}

extension ReloadResult {
    /// The body of POST /api/v1/reload.
    public func json() -> [UInt8] {
        var json = JSONWriter()
        write(&json)
        return json.bytes
    }

    func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("ok", ok)
            $0.member("generation", generation)
            $0.member("at_us", atUs)
            for (name, list) in [("problems", problems), ("warnings", warnings)] {
                $0.member(name, list) { json, problem in
                    json.object {
                        $0.member("message", problem.message)
                        $0.member("file", problem.file)
                        $0.member("line", problem.line)
                        $0.member("column", problem.column)
                        $0.member("suggestion", problem.suggestion)
                    }
                }
            }
        }
    }
}

extension EndpointStatus {
    /// The body of POST /api/v1/endpoints.
    static func json(_ endpoints: [EndpointStatus]) -> [UInt8] {
        var json = JSONWriter()
        json.object { $0.member("endpoints", endpoints) { $1.write(&$0) } }
        return json.bytes
    }
}

extension ConfigurationStatus {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("file", file)
            $0.member("generation", generation)
            $0.member("loaded_us", loadedUs)
            $0.member("held_snapshots", held) { json, held in
                json.object {
                    $0.member("generation", held.generation)
                }
            }
            $0.key("last_reload")
            if let lastReload { lastReload.write(&$0) } else { $0.null() }
            if let snapshots {
                $0.key("snapshots")
                snapshots.write(&$0)
            }
        }
    }
}

extension ControlValues {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.key("published")
            $0.object {
                for (cause, count) in zip(PublishCause.allCases, publishes) {
                    $0.member(cause.rawValue, count)
                }
            }
            $0.member("age_seconds", ageMs / 1_000)
            $0.member("last_build_us", lastBuildUs)
            $0.key("build")
            builds.write(&$0)
            $0.key("last_plans")
            lastPlans.write(&$0)
            $0.key("plans")
            plans.write(&$0)
        }
    }
}

extension PlanCounts {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            for (kind, count) in byKind {
                $0.key(kind)
                $0.object {
                    $0.member("built", count.built)
                    $0.member("reused", count.reused)
                }
            }
        }
    }
}

extension WorkerStatus {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("worker", metrics.worker)
            $0.member("connections", connections)
            $0.member("loop_turns", metrics.loopTurns)
            $0.member("busy_ns", metrics.busyNs)
            $0.member("buffers_in_use", metrics.buffersInUse)
            $0.member("timers", metrics.timers)
            $0.member("snapshot_generation", metrics.snapshotGeneration)
        }
    }
}

extension ListenerStatus {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("name", metrics.listener)
            $0.member("address", address)
            $0.member("protocol", `protocol`)
            $0.member("paused", isPaused)
            $0.member("active", metrics.active)
            $0.member("accepted", metrics.accepted)
            $0.member("handed_off", metrics.handedOff)
            $0.member("rejected", metrics.rejected)
            $0.member("accept_pauses", metrics.acceptPauses)
            $0.member("requests", metrics.requests)
            $0.member("streams", metrics.streams)
            $0.member("stream_bytes_in", metrics.streamBytesIn)
            $0.member("stream_bytes_out", metrics.streamBytesOut)
            $0.member("datagrams_in", metrics.datagramsIn)
            $0.member("datagrams_out", metrics.datagramsOut)
            $0.key("datagrams_dropped")
            $0.object {
                for drop in metrics.drops { $0.member(drop.reason.name.description, drop.count) }
            }
        }
    }
}

extension RouteStatus {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("name", metrics.route)
            $0.member("service", metrics.service)
            $0.member("match", match)
            $0.key("requests")
            $0.object {
                for (name, count) in zip(StatusClass.names, metrics.requestsByClass) {
                    $0.member(name, count)
                }
            }
            $0.member("bytes_in", metrics.bytesIn)
            $0.member("bytes_out", metrics.bytesOut)
            $0.member("retries", metrics.retries)
            $0.member("websockets", metrics.webSockets)
            $0.member("websockets_open", metrics.webSocketsOpen)
            $0.key("failures")
            metrics.failures.write(&$0)
            $0.key("duration")
            metrics.duration.write(&$0)
            $0.key("time_to_first_byte")
            metrics.timeToFirstByte.write(&$0)
        }
    }
}

extension ServiceStatus {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("name", name)
            $0.member("balance", balance)
            $0.member("endpoints", endpoints) { $1.write(&$0) }
            $0.member("unresolved", unresolved) { json, name in
                json.object {
                    $0.member("name", name.name)
                    $0.member("failures", name.failures)
                    $0.member("last_failure", name.lastFailure)
                }
            }
        }
    }
}

extension EndpointStatus {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("address", metrics.endpoint)
            $0.member("weight", weight)
            $0.member("configured_weight", configuredWeight)
            $0.member("state", state)
            $0.member("health", health)
            $0.member("resolved_from", resolvedFrom)
            $0.member("stale_since_us", staleSinceUs)
            $0.member("active", metrics.active)
            $0.member("idle", metrics.idle)
            $0.member("attempts", metrics.attempts)
            $0.member("connections_opened", metrics.connectionsOpened)
            $0.member("connections_closed", metrics.connectionsClosed)
            $0.member("connections_reused", metrics.connectionsReused)
            $0.member("bytes_sent", metrics.bytesSent)
            $0.member("bytes_received", metrics.bytesReceived)
            $0.key("failures")
            metrics.failures.write(&$0)
            $0.key("connect")
            metrics.connect.write(&$0)
        }
    }
}

extension [FailureCount] {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            for failure in self { $0.member(failure.reason.name.description, failure.count) }
        }
    }
}

extension HistogramValues {
    /// Counts per bucket in the order of LatencyBuckets.boundsUs, then above.
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("count", count)
            $0.member("sum_us", sumUs)
            $0.member("buckets", buckets) { $0.value($1) }
        }
    }
}
