// Expressions: the first byte says what is known, the rest is the text. What is refused is refused at a place within it.
// What compiles is judged the same each time and by whoever looks on, its negation is its opposite, and its tests
// lead forward only.

import WeirExpressions
import WeirHTTPModel

/// A request that has half of everything, made of the text itself.
private struct Request: PropertySource {
    let text: UnsafeBufferPointer<UInt8>
    let salt: Int
    var asked = 0

    mutating func value(
        of property: Property, named name: UnsafeBufferPointer<UInt8>, field: FieldID, side: Int
    ) -> PropertyValue {
        asked += 1
        let hash = Int(property.rawValue) &* 7 &+ salt &+ name.count
        if hash & 1 == 0 { return .missing }
        switch property.definition.kind {
        case .text, .list:
            let from = min(text.count, hash % 16)
            return .text(UnsafeBufferPointer(rebasing: text[from...]))
        case .integer, .duration, .size: return .number(Int64(hash % 600))
        case .boolean: return .boolean(hash & 2 == 0)
        case .address: return .address(high: 0, low: 0xffff_0a00_0000 | UInt64(hash % 4))
        }
    }

    mutating func matches(pattern: Int, _ text: UnsafeBufferPointer<UInt8>) -> Bool? {
        asked += 1
        switch (pattern &+ text.count &+ salt) % 3 {
        case 0: return true
        case 1: return false
        default: return nil
        }
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count > 0 else { return 0 }
    let known = [Known.request, .route, .error, .end][Int(bytes[0] & 3)]
    let text = String(decoding: UnsafeBufferPointer(start: bytes + 1, count: count - 1), as: UTF8.self)
    let length = text.utf8.count
    withExact(bytes, count) { exact in
        let material = UnsafeBufferPointer(start: exact, count: count)
        do throws(ExpressionError) {
            let condition = try ConditionExpression(text, known: known)
            require(condition.properties.allSatisfy { known.contains($0) }, "it asks what is not known")
            let negated =
                length + 3 <= ExpressionLimits.bytes
                ? try? ConditionExpression("!(\(text))", known: known) : nil
            for salt in 0..<4 {
                var request = Request(text: material, salt: salt)
                let outcome = condition.evaluate(&request)
                require(request.asked <= 4_096, "more was asked than is written")
                var same = Request(text: material, salt: salt)
                require(condition.trace(&same).outcome == outcome, "somebody looked, and it was otherwise")
                require(same.asked == request.asked, "somebody looked, and more was asked")
                guard let negated else { continue }
                var other = Request(text: material, salt: salt)
                let opposite = negated.evaluate(&other)
                require(
                    outcome == .unknown ? opposite == .unknown : opposite != outcome && opposite != .unknown,
                    "both hold, or neither")
            }
        } catch {
            require(error.position >= 0 && error.position <= length, "an error outside of the text")
            require(!error.message.isEmpty, "an error without words")
        }
        if let key = try? KeyExpression(text, known: known) {
            var request = Request(text: material, salt: 1)
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { room in
                guard let start = room.baseAddress else { return }
                var writer = ByteWriter(start, capacity: room.count)
                _ = key.write(&request, to: &writer)
            }
        }
    }
    return 0
}
