// upgrades: which protocols a client may change to, and whether it may open a tunnel with CONNECT. What follows is in
// the room Upgrades.

import WeirHTTPModel
import WeirResilience

public final class UpgradesPolicy: Policy, @unchecked Sendable {
    private let protocols: [StaticBytes]
    private let refusesOthers: Bool

    /// - Parameters:
    ///   - protocols: names, lower case; "connect" stands for CONNECT.
    ///   - refusesOthers: a request for any other is refused instead of served without the change.
    public init(_ protocols: [String], refusesOthers: Bool) {
        self.protocols = protocols.map { StaticBytes($0) }
        self.refusesOthers = refusesOthers
        super.init(
            "upgrades",
            (protocols.isEmpty ? "none" : protocols.joined(separator: ","))
                + (refusesOthers ? ", others refused" : ""), .select, for: .upgrade)
    }

    /// Whether a client may change to this protocol; case does not matter (RFC 9110 §7.8).
    func allows(_ token: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let base = token.baseAddress else { return false }
        return protocols.contains { equalIgnoringASCIICase(base, token.count, $0.base, $0.count) }
    }

    override func select(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        guard let view = worker.view(exchange) else { return .pass }
        // An offer to go on in HTTP/2 may be ignored, and is not for the endpoint to hear. So may any that
        // comes with a body to be decoded first (RFC 9110 §7.8).
        if view.asksForH2C || exchange.pointee.isDecoded { return .pass }
        if let token = view.field(named: "upgrade"), allows(token) {
            exchange.pointee.upgrade = .asked
            return .pass
        }
        // Any other may be ignored too: the request is served, and the fields that asked end here. Not so an
        // extended CONNECT, which is nothing but the question.
        if !refusesOthers && !worker.sharesConnection(exchange.pointee.client) { return .pass }
        return .refuse(Failure(.upgradeNotAllowed, phase: .lookup))
    }
}

extension Worker {
    /// Whether this CONNECT may open a tunnel. False: refused.
    func prepareConnect(_ exchange: ExchangePointer) -> Bool {
        let client = exchange.pointee.client
        let word: StaticString = "connect"
        let token = UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
        if let route = exchange.route, exchange.service != nil,
            route.policies.first(UpgradesPolicy.self)?.allows(token) ?? false
        {
            exchange.pointee.upgrade = .connecting
            return true
        }
        // Whoever gets no answer is not told that this one is refused either.
        if case .close? = exchange.route?.action { return true }
        // What follows was meant for the tunnel, not for us.
        client.pointee.closeAfterResponse = true
        client.pointee.mustLinger = true
        exchange.fail(Failure(.connectNotAllowed, phase: .route))
        return false
    }
}
