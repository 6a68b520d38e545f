// The connection an attempt gets: an idle one, a stream of one that carries many, or a new one.

import Reactor
import WeirResilience
import Telemetry

/// What an attempt gets to work with.
enum ConnectionTaken {
    /// One that has served before.
    case reused(UpstreamPointer)
    /// A new one, connected or on its way.
    case fresh(UpstreamPointer)
    case failed(Failure)
}

extension Worker {
    /// A connection for this attempt: an idle one, a stream of a session, or a new one.
    func takeConnection(_ attempt: AttemptPointer, _ endpoint: Endpoint, _ service: ServicePlan)
        -> ConnectionTaken
    {
        let exchange = attempt.exchange
        // A tunnel gets a connection of its own, whatever the service speaks otherwise.
        let isTunnel = exchange.pointee.upgrade == .connecting
        if let version = service.streams, !isTunnel { return takeStream(endpoint, service, version) }
        if !attempt.pointee.needsFreshConnection && !isTunnel {
            while let idle = takeIdle(endpoint) {
                // A request that must not be repeated is worth asking the kernel first.
                if !exchange.pointee.request.method.isIdempotent && !idle.pointee.transport.isQuiet() {
                    close(idle)
                    continue
                }
                return .reused(idle)
            }
        }
        if service.connectionsMax > 0, pools[poolIndex(endpoint)].connectionCount >= service.connectionsMax {
            return .failed(Failure(.connectionLimit, phase: .forward))
        }
        switch connect(endpoint, service) {
        case .failure(let error): return .failed(connectFailure(error.code))
        case .success(let upstream): return .fresh(upstream)
        }
    }
}
