// When a request is tried again.

extension Route {
    public struct Retry: Sendable, Equatable {
        public enum Condition: Hashable, Sendable {
            /// No connection could be made.
            case connect
            /// The connection was closed or reset before a response head.
            case reset
            /// No response head within `timeout.head`.
            case timeout
            /// The endpoint answered with this status, 500…599.
            case status(Int)
        }
        /// Tries in total, the first included, 1…10; 1 is no retry.
        public var attempts = 2
        /// In file order, without duplicates.
        public var on: [Condition] = [.connect, .reset]

        public init() {}
    }
}

extension Route.Retry {
    static let section = Section("retry", { _ in Route.Retry() }, later: ["backoff", "hedge"]) {
        Key(
            "attempts", Whole(1...10), \.attempts,
            "Tries in total; 1 is no retry.",
            example: "attempts: 3")
        Key(
            "on", OneOrMany(RetryCondition()).unique, \.on,
            "What is tried again: `connect` (no connection), `reset` (connection closed before a response), `timeout` (no response head in time), or a status.",
            example: "on: [connect, reset, 502, 503]")
    }
}

/// A reason to try again.
private struct RetryCondition: ScalarForm {
    typealias Value = Route.Retry.Condition

    let syntax = "CONDITION"
    let expectation = "connect, reset, timeout or a status from 500 to 599"
    var schema: [JSONMember] {
        [
            (
                "anyOf",
                "[{ \"enum\": [\"connect\", \"reset\", \"timeout\"] }, { \"type\": \"integer\", \"minimum\": 500, \"maximum\": 599 }]"
            )
        ]
    }

    func parse(_ scalar: Scalar) throws(ValueProblem) -> Route.Retry.Condition {
        switch scalar.value {
        case "connect": return .connect
        case "reset": return .reset
        case "timeout": return .timeout
        case let text:
            guard text.utf8.count == 3, let status = Int(text), (500...599).contains(status) else {
                throw ValueProblem(
                    message: "\"\(text.clipped(60))\" is not a reason to retry",
                    expectation: "expected \(expectation)",
                    suggestion: Suggestion.nearest(to: text, in: ["connect", "reset", "timeout"]))
            }
            return .status(status)
        }
    }

    func print(_ value: Route.Retry.Condition) -> Node? {
        switch value {
        case .connect: .plain("connect")
        case .reset: .plain("reset")
        case .timeout: .plain("timeout")
        case .status(let status): .plain("\(status)")
        }
    }
}
