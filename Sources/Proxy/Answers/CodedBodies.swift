// A fixed response in the codings its route offers.
//
// Its bytes never change while a configuration lives, so they are coded once, when it is loaded: a request
// pays for the choice and no more, and the length is known.

import WeirCompression
import WeirHTTPModel

/// A body of the configuration and what it is in each coding. Immutable.
public final class CodedBodies: Sendable {
    let rule: CompressionRule
    /// By raw value of the coding; nil where coding does not make it smaller.
    private let bodies: [StaticBytes?]

    public init(_ body: StaticBytes, rule: CompressionRule, pool: EncoderPool) {
        self.rule = rule
        var bodies = [StaticBytes?](repeating: nil, count: ContentCoding.allCases.count + 1)
        for place in 0..<rule.order.count where UInt64(body.count) >= rule.bytesMin {
            let coding = rule.order[place]
            if let coded = pool.encode(body.bytes, coding, level: rule.level(of: coding)),
                coded.count < body.count
            {
                bodies[Int(coding.rawValue)] = StaticBytes(coded)
            }
        }
        self.bodies = bodies
    }

    func body(in coding: ContentCoding) -> StaticBytes? { bodies[Int(coding.rawValue)] }
}
