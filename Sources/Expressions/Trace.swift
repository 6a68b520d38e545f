// Why a condition holds or does not, for people: every comparison that was looked at, and what it saw.

/// How one condition was judged for one request.
public struct ConditionTrace: Sendable, Equatable {
    /// One comparison that was looked at. Those that could change nothing any more are not.
    public struct Step: Sendable, Equatable {
        /// The comparison as it is written, without a `!` before it.
        public var text: String
        /// nil: a regular expression reached its limits.
        public var holds: Bool?
        /// What it asked for, as written, and what that was; nil: missing.
        public var values: [Seen]
    }

    public struct Seen: Sendable, Equatable {
        public var name: String
        public var value: String?
    }

    public var outcome: ConditionOutcome
    public var steps: [Step]

    /// In one line: `client.ip in ["10.0.0.0/8"] is false (client.ip is 192.0.2.1)`.
    public var text: String {
        steps.map { step in
            let seen = step.values.map { "\($0.name) is \($0.value.map(Self.quoted) ?? "missing")" }
            return step.text + (step.holds.map { $0 ? " is true" : " is false" } ?? " reached its limits")
                + (seen.isEmpty ? "" : " (\(seen.joined(separator: ", ")))")
        }.joined(separator: "; ")
    }

    private static func quoted(_ text: String) -> String {
        let short = text.count > 80 ? text.prefix(80) + "…" : text
        return short.isEmpty ? "empty" : "\"\(short)\""
    }
}

private struct Recorder: TestObserver {
    let program: Program
    let source: [UInt8]
    var steps: [ConditionTrace.Step] = []

    mutating func tested(_ test: Test, _ outcome: Bool?, _ left: Value, _ right: Value) {
        // Values are looked at now: a source may write over them.
        var seen: [ConditionTrace.Seen] = []
        if test.kind != .always, test.kind != .never, test.kind != .present { see(test.left, left, &seen) }
        switch test.kind {
        case .equal, .less, .lessOrEqual, .contains, .startsWith, .endsWith, .oneEqual, .oneStartsWith,
            .oneEndsWith:
            see(test.right, right, &seen)
        default: break
        }
        steps.append(
            ConditionTrace.Step(text: written(test.start, test.end), holds: outcome, values: seen))
    }

    private func written(_ start: UInt16, _ end: UInt16) -> String {
        String(decoding: source[Int(start)..<Int(end)], as: UTF8.self)
    }

    private func see(_ index: Int16, _ value: Value, _ seen: inout [ConditionTrace.Seen]) {
        let operand = program.operands[Int(index)]
        guard operand.source == .property else { return }
        var end = operand.end
        var next = operand.otherwise
        while next >= 0 {
            end = max(end, program.operands[Int(next)].end)
            next = program.operands[Int(next)].otherwise
        }
        let text: String? =
            switch value.content {
            case .missing: nil
            case .boolean(let value): value ? "true" : "false"
            case .number(let number): "\(number)"
            case .address(let high, let low): AddressText.text(high, low)
            case .text(let text): printable(text, value.folds)
            }
        seen.append(ConditionTrace.Seen(name: written(operand.start, end), value: text))
    }

    /// The client's words: nothing in them moves a cursor.
    private func printable(_ text: UnsafeBufferPointer<UInt8>, _ folds: Bool) -> String {
        let plain = String(decoding: text, as: UTF8.self).unicodeScalars.map {
            $0.value < 0x20 || (0x7f..<0xa0).contains($0.value) ? "?" : String($0)
        }.joined()
        return folds ? plain.lowercased() : plain
    }
}

extension ConditionExpression {
    /// How it is judged: the code of live requests, with somebody who looks. Allocates.
    public func trace(_ source: inout some PropertySource) -> ConditionTrace {
        var recorder = Recorder(program: program, source: Array(text.utf8))
        let outcome = program.run(&source, &recorder)
        return ConditionTrace(outcome: outcome, steps: recorder.steps)
    }
}
