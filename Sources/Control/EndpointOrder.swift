// The operator's word about endpoints: whether they get anything, and how much.

import Proxy
import WeirBalancing

/// What an operator wants of endpoints; nil: as it is.
public struct EndpointOrder: Sendable, Equatable, CustomStringConvertible {
    public enum Weight: Sendable, Equatable {
        /// As the configuration says.
        case configured
        case value(UInt32)
    }
    /// `.draining`, `.down`, or nothing: active.
    public var standing: Standing?
    public var weight: Weight?

    public init(standing: Standing? = nil, weight: Weight? = nil) {
        self.standing = standing
        self.weight = weight
    }

    public var description: String {
        var words: [String] = []
        if let standing { words.append(standing.operatorWord) }
        switch weight {
        case nil: break
        case .configured?: words.append("weight configured")
        case .value(let weight)?: words.append("weight \(weight)")
        }
        return words.joined(separator: ", ")
    }
}

extension Standing {
    /// The operator's words, in the admin API and in the status.
    public static let operatorWords: [(word: String, standing: Standing)] = [
        ("active", []), ("drain", .draining), ("down", .down),
    ]

    /// What the operator has said.
    public var operatorWord: String {
        let said = intersection(.byOperator)
        return Self.operatorWords.first { $0.standing == said }?.word ?? ""
    }

    /// What else is known of the endpoint: by its source, its checks, by observation.
    public var healthWord: String {
        contains(.failing) ? "failing" : contains(.resting) ? "resting" : "healthy"
    }
}

extension ControlPlane {
    /// Puts the operator's word about endpoints into effect: at once, in every worker, without a snapshot.
    /// - Parameter name: an endpoint's as the status has it, or the configured name of all that came of it.
    /// - Returns: the endpoints it is about; none when there is no such service or endpoint.
    public func administer(service: String, endpoint name: String, _ order: EndpointOrder) -> [Proxy.Endpoint]
    {
        guard
            let plan = state.withLock({ $0.snapshot.services }).lazy.compactMap({ $0 }).first(where: {
                "\($0.name)" == service
            })
        else { return [] }
        let meant = plan.endpoints.filter { endpoint in
            let full = "\(endpoint.name)"
            return full == name || full.hasPrefix("\(name)/")
        }
        for endpoint in meant {
            if let standing = order.standing { endpoint.administer(standing) }
            switch order.weight {
            case nil: break
            case .configured?: endpoint.set(weight: endpoint.configuredWeight)
            case .value(let weight)?: endpoint.set(weight: weight)
            }
        }
        guard !meant.isEmpty else { return [] }
        if order.weight != nil {
            for worker in workers { worker.mailbox.send(.reweigh(serviceID: plan.id)) }
        }
        log.info("endpoint administered", ["service": service, "endpoint": name, "order": "\(order)"])
        return meant
    }
}
