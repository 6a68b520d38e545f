// client-address: the client's address is computed once and used by everything after (law 9). Where nobody is trusted,
// it is the peer's, and there is nothing to do.

import Reactor

public final class ClientAddressPolicy: Policy, @unchecked Sendable {
    private let trusted: [AddressBlock]

    /// - Parameter trusted: the proxies whose word is taken; at least one.
    public init(trusted: [AddressBlock]) {
        self.trusted = trusted
        super.init(
            "client-address", "trusted=\(trusted.map { "\($0)" }.joined(separator: ","))", .admit)
    }

    override func admit(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        identifyClient(of: exchange, worker)
        return .pass
    }

    /// Where conditions of routes ask who the client is, it is known before there is a route, and found the same again
    /// in *admit*: nothing it is made of changes between.
    func identifyClient(of exchange: ExchangePointer, _ worker: Worker) {
        guard let view = worker.view(exchange) else { return }
        let peer = exchange.pointee.client.pointee.peer
        let found = ClientAddress(peer: peer, request: view, trusted: trusted)
        exchange.pointee.clientAddress = found.address
        exchange.pointee.peerIsTrusted = found.end != .peerNotTrusted
        exchange.pointee.origin = found.origin(of: view, isSecure: exchange.pointee.origin.isSecure)
    }
}
