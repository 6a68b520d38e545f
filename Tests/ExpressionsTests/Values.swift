// A request made of a dictionary, and expressions asked about it.

import Testing
import WeirHTTPModel

@testable import WeirExpressions

/// Values by property and name: "request.header.x-a", "client.ip".
struct Values: PropertySource {
    enum Content: Equatable {
        case text(String)
        case number(Int64)
        case boolean(Bool)
        case address(String)
    }

    /// Texts need memory that lives as long as the values.
    private final class Memory {
        private var blocks: [UnsafeMutableBufferPointer<UInt8>] = []

        func keep(_ text: String) -> UnsafeBufferPointer<UInt8> {
            let bytes = Array(text.utf8)
            let block = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(1, bytes.count))
            _ = block.update(fromContentsOf: bytes)
            blocks.append(block)
            return UnsafeBufferPointer(rebasing: block[..<bytes.count])
        }

        deinit { for block in blocks { block.deallocate() } }
    }

    private let memory = Memory()
    private var known: [String: PropertyValue] = [:]
    /// "x" stands for an expression that finds an x; "limit" reaches its limits.
    var patterns: [ExpressionPattern] = []
    /// Properties asked for, in order.
    private(set) var asked: [String] = []

    init(_ contents: [String: Content]) {
        for (name, content) in contents {
            known[name] =
                switch content {
                case .text(let text): .text(memory.keep(text))
                case .number(let number): .number(number)
                case .boolean(let value): .boolean(value)
                case .address(let text):
                    AddressText.parse(Array(text.utf8)).map { .address(high: $0.high, low: $0.low) }
                        ?? .missing
                }
        }
    }

    mutating func value(
        of property: Property, named name: UnsafeBufferPointer<UInt8>, field: FieldID, side: Int
    ) -> PropertyValue {
        let name = property.definition.name + String(decoding: name, as: UTF8.self)
        asked.append(name)
        return known[name] ?? .missing
    }

    mutating func matches(pattern: Int, _ text: UnsafeBufferPointer<UInt8>) -> Bool? {
        let pattern = patterns[pattern].text
        return pattern == "limit" ? nil : String(decoding: text, as: UTF8.self).contains(pattern)
    }
}

/// What a request of the tests has.
let usual: [String: Values.Content] = [
    "request.method": .text("GET"), "request.path": .text("/Admin/x"), "request.host": .text("a.example"),
    "request.header.x-tenant": .text("Blue"), "request.header.content-length": .text("1200"),
    "request.header.empty": .text(""), "request.header.x-real-ip": .text("10.1.2.3"),
    "client.ip": .address("10.0.0.7"), "client.port": .number(50_000),
    "client.certificate.verified": .boolean(true),
    "client.certificate.san": .text("DNS:a.example, URI:spiffe://b/c"),
    "response.status": .number(502), "request.duration": .number(1_500_000), "response.bytes": .number(2_048),
    "error.reason": .text("connect-refused"),
]

func outcome(_ text: String, _ contents: [String: Values.Content] = usual) throws -> ConditionOutcome {
    let condition = try ConditionExpression(text, known: .end)
    var values = Values(contents)
    values.patterns = condition.patterns
    return condition.evaluate(&values)
}

func problem(_ text: String, known: Known = .end) -> ExpressionError? {
    do throws(ExpressionError) {
        _ = try ConditionExpression(text, known: known)
        return nil
    } catch {
        return error
    }
}
