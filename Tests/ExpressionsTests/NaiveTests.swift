// Random expressions, compiled and judged, against an evaluator that walks the tree and knows nothing of
// compilation: three-valued only where something is missing, in the plainest way.

import WeirBalancing
import Testing

@testable import WeirExpressions

/// A value as the naive evaluator has it: nil is missing.
private enum Plain: Equatable {
    case text(String)
    case number(Int64)
}

private indirect enum Sketch {
    case text(String), number(Int64), property(String, isText: Bool)
    case lower(Sketch), length(Sketch), int(Sketch), first(Sketch, Sketch)
    case compare(String, Sketch, Sketch), search(String, Sketch, String), among(Sketch, [Sketch]), has(String)
    case not(Sketch), all([Sketch]), any([Sketch]), truth(Bool)

    var text: String {
        switch self {
        case .text(let text): "\"\(text)\""
        case .number(let number): "\(number)"
        case .property(let name, _): name
        case .lower(let inner): "lower(\(inner.text))"
        case .length(let inner): "length(\(inner.text))"
        case .int(let inner): "int(\(inner.text))"
        case .first(let a, let b): "(\(a.text) ?? \(b.text))"
        case .compare(let sign, let a, let b): "\(a.text) \(sign) \(b.text)"
        case .search(let word, let a, let b): "\(a.text) \(word) \"\(b)\""
        case .among(let a, let elements): "\(a.text) in [\(elements.map(\.text).joined(separator: ", "))]"
        case .has(let name): "has(\(name))"
        case .not(let inner): "!(\(inner.text))"
        case .all(let parts): parts.map { "(\($0.text))" }.joined(separator: " && ")
        case .any(let parts): parts.map { "(\($0.text))" }.joined(separator: "||")
        case .truth(let value): value ? "true" : "false"
        }
    }

    func value(_ request: [String: Plain]) -> Plain? {
        switch self {
        case .text(let text): return .text(text)
        case .number(let number): return .number(number)
        case .property(let name, _): return request[name]
        case .lower(let inner):
            guard case .text(let text)? = inner.value(request) else { return nil }
            return .text(text.lowercased())
        case .length(let inner):
            guard case .text(let text)? = inner.value(request) else { return nil }
            return .number(Int64(text.utf8.count))
        case .int(let inner):
            guard case .text(let text)? = inner.value(request), !text.hasPrefix("-"), !text.hasPrefix("+")
            else { return nil }
            return Int64(text).map { .number($0) }
        case .first(let a, let b): return a.value(request) ?? b.value(request)
        default: return nil
        }
    }

    func holds(_ request: [String: Plain]) -> Bool {
        switch self {
        case .truth(let value): return value
        case .not(let inner): return !inner.holds(request)
        case .all(let parts): return parts.allSatisfy { $0.holds(request) }
        case .any(let parts): return parts.contains { $0.holds(request) }
        case .has(let name): return request[name] != nil
        case .among(let a, let elements):
            guard let value = a.value(request) else { return false }
            return elements.contains { $0.value(request) == value }
        case .search(let word, let a, let b):
            guard case .text(let text)? = a.value(request) else { return false }
            return word == "startsWith"
                ? text.hasPrefix(b) : word == "endsWith" ? text.hasSuffix(b) : text.contains(b)
        case .compare(let sign, let a, let b):
            guard let a = a.value(request), let b = b.value(request) else { return sign == "!=" }
            let order: Int
            switch (a, b) {
            case (.text(let a), .text(let b)):
                order = a == b ? 0 : Array(a.utf8).lexicographicallyPrecedes(Array(b.utf8)) ? -1 : 1
            case (.number(let a), .number(let b)): order = a == b ? 0 : a < b ? -1 : 1
            default: return sign == "!="
            }
            switch sign {
            case "==": return order == 0
            case "!=": return order != 0
            case "<": return order < 0
            case "<=": return order <= 0
            case ">": return order > 0
            default: return order >= 0
            }
        default: return false
        }
    }
}

private struct Maker {
    var random: SeededRandom
    static let texts = ["request.header.a", "request.header.b", "request.query.c", "request.path", "service"]
    static let numbers = ["client.port", "response.status", "attempts"]
    // Few, so that comparisons hold now and then.
    static let words = ["a", "b", "ab", "ba", "aab", "7", "12", "", "x y"]

    mutating func pick<T>(_ all: [T]) -> T { all[Int.random(in: 0..<all.count, using: &random)] }
    mutating func chance(_ of: Int) -> Bool { Int.random(in: 0..<of, using: &random) == 0 }

    mutating func request() -> [String: Plain] {
        var request: [String: Plain] = [:]
        for name in Self.texts where !chance(3) {
            let word = pick(Self.words)
            request[name] = .text(chance(3) ? word.uppercased() : word)
        }
        for name in Self.numbers where !chance(3) {
            request[name] = .number(Int64.random(in: 0...3, using: &random))
        }
        return request
    }

    mutating func textProperty() -> Sketch {
        let property = Sketch.property(pick(Self.texts), isText: true)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: return .lower(property)
        case 1: return .first(property, textProperty())
        case 2: return .first(property, .text(pick(Self.words)))
        default: return property
        }
    }

    /// The texts of a chain may stop being reached behind a fixed one.
    private func endsFixed(_ sketch: Sketch) -> Bool {
        switch sketch {
        case .text: true
        case .first(_, let b): endsFixed(b)
        default: false
        }
    }

    mutating func number() -> Sketch {
        switch Int.random(in: 0..<4, using: &random) {
        case 0: return .length(.property(pick(Self.texts), isText: true))
        case 1: return .int(.property(pick(Self.texts), isText: true))
        case 2:
            return .first(
                .property(pick(Self.numbers), isText: false), .int(.property(pick(Self.texts), isText: true)))
        default: return .property(pick(Self.numbers), isText: false)
        }
    }

    mutating func condition(_ depth: Int) -> Sketch {
        if depth > 0, !chance(3) {
            let parts = (0..<Int.random(in: 2...3, using: &random)).map { _ in condition(depth - 1) }
            switch Int.random(in: 0..<3, using: &random) {
            case 0: return .all(parts)
            case 1: return .any(parts)
            default: return .not(parts[0])
            }
        }
        let signs = ["==", "!=", "<", "<=", ">", ">="]
        switch Int.random(in: 0..<9, using: &random) {
        case 0: return .compare(pick(signs), textProperty(), .text(pick(Self.words)))
        case 1: return .compare(pick(signs), .text(pick(Self.words)), textProperty())
        case 2: return .compare(pick(signs), textProperty(), textProperty())
        case 3: return .compare(pick(signs), number(), .number(Int64.random(in: 0...3, using: &random)))
        case 4: return .compare(pick(signs), number(), number())
        case 5:
            return .search(
                pick(["startsWith", "endsWith", "contains"]), textProperty(),
                pick(Self.words.filter { !$0.isEmpty }))
        case 6: return .among(textProperty(), [.text(pick(Self.words)), .text(pick(Self.words))])
        case 7: return .has(pick(Self.texts + Self.numbers))
        default:
            return chance(4) ? .truth(chance(2)) : .among(number(), [.number(0), .number(2), .number(12)])
        }
    }
}

@Suite struct NaiveTests {
    @Test(arguments: 1...40) func theCompiledMeansTheSame(seed: UInt64) throws {
        var maker = Maker(random: SeededRandom(seed: seed))
        var held = 0
        for _ in 0..<100 {
            let sketch = maker.condition(3)
            let condition: ConditionExpression
            do throws(ExpressionError) {
                condition = try ConditionExpression(sketch.text, known: .end)
            } catch {
                #expect(
                    error.message.contains("comparisons") || error.message.contains("costs"),
                    "\(sketch.text): \(error)")
                continue
            }
            for _ in 0..<20 {
                let request = maker.request()
                var values = Values(
                    request.mapValues {
                        switch $0 {
                        case .text(let text): .text(text)
                        case .number(let number): .number(number)
                        }
                    })
                let expected = sketch.holds(request)
                #expect(
                    condition.evaluate(&values) == (expected ? .holds : .fails),
                    "seed \(seed): \(sketch.text) for \(request)")
                #expect(condition.trace(&values).outcome == (expected ? .holds : .fails))
                if expected { held += 1 }
            }
        }
        // Both happen.
        #expect((200...1_800).contains(held), "\(held)")
    }
}
