// From the tree to the program, with types: whatever could only ever hold, or never, or means something else
// than it looks, is refused here, with its place and what was probably meant.

import WeirHTTPModel

struct Compiler {
    private var program = Program()
    private let source: [UInt8]
    /// Tests that labels stand for; -1 as long as they stand for none.
    private var labels: [Int16] = []

    private init(_ source: [UInt8]) { self.source = source }

    static func condition(_ text: String, _ known: Known) throws(ExpressionError) -> Program {
        let source = Array(text.utf8)
        var parser = try Parser(source, known: known)
        let tree = try parser.parse()
        var compiler = Compiler(source)
        try compiler.condition(tree, onTrue: .accept, onFalse: .reject)
        compiler.resolveLabels()
        return try compiler.finish(tree)
    }

    static func key(_ text: String, _ known: Known) throws(ExpressionError) -> Program {
        let source = Array(text.utf8)
        var parser = try Parser(source, known: known)
        let tree = try parser.parse()
        var compiler = Compiler(source)
        let value = try compiler.value(tree)
        if value.isFixed {
            throw ExpressionError(tree.span, "the key is the same for every request", expected: "a property")
        }
        compiler.program.key = value.index
        return try compiler.finish(tree)
    }

    private func finish(_ tree: Tree) throws(ExpressionError) -> Program {
        guard program.tests.count <= ExpressionLimits.tests else {
            throw ExpressionError(
                tree.span, "the expression has \(program.tests.count) comparisons",
                expected: "at most \(ExpressionLimits.tests)")
        }
        guard program.cost <= ExpressionLimits.cost else {
            throw ExpressionError(
                tree.span, "the expression costs \(program.cost) steps for each request at worst",
                expected:
                    "at most \(ExpressionLimits.cost): a comparison is 1, an element of a list 1, a field 8, a parameter or cookie 16, a regular expression 64"
            )
        }
        return program
    }

    // MARK: where tests lead to

    private enum Target {
        case accept, reject
        case label(Int)

        var code: Int16 {
            switch self {
            case .accept: Test.accept
            case .reject: Test.reject
            case .label(let label): Int16(1_000 + label)
            }
        }
    }

    private mutating func label() -> Target {
        labels.append(-1)
        return .label(labels.count - 1)
    }

    /// The next test is what the label stands for.
    private mutating func place(_ target: Target) {
        if case .label(let label) = target { labels[label] = Int16(truncatingIfNeeded: program.tests.count) }
    }

    private mutating func resolveLabels() {
        func resolved(_ code: Int16) -> Int16 { code >= 1_000 ? labels[Int(code) - 1_000] : code }
        for index in program.tests.indices {
            program.tests[index].onTrue = resolved(program.tests[index].onTrue)
            program.tests[index].onFalse = resolved(program.tests[index].onFalse)
        }
    }

    private mutating func add(
        _ test: Test, _ span: Range<Int>, _ onTrue: Target, _ onFalse: Target, cost: Int = 0
    ) {
        var test = test
        test.onTrue = onTrue.code
        test.onFalse = onFalse.code
        test.start = UInt16(span.lowerBound)
        test.end = UInt16(span.upperBound)
        program.tests.append(test)
        program.cost += Cost.test + cost
    }

    // MARK: conditions

    private mutating func condition(
        _ tree: Tree, onTrue: Target, onFalse: Target
    ) throws(ExpressionError) {
        switch tree.kind {
        case .not(let inner): try condition(inner, onTrue: onFalse, onFalse: onTrue)
        case .all(let parts):
            for (index, part) in parts.enumerated() {
                let next = index == parts.count - 1 ? onTrue : label()
                try condition(part, onTrue: next, onFalse: onFalse)
                if index < parts.count - 1 { place(next) }
            }
        case .any(let parts):
            for (index, part) in parts.enumerated() {
                let next = index == parts.count - 1 ? onFalse : label()
                try condition(part, onTrue: onTrue, onFalse: next)
                if index < parts.count - 1 { place(next) }
            }
        case .boolean(let value): add(Test(kind: value ? .always : .never), tree.span, onTrue, onFalse)
        case .call(.has, let inner):
            guard case .property = inner.kind else {
                throw ExpressionError(
                    inner.span, "has(…) asks whether a property is there", expected: "a property")
            }
            add(Test(kind: .present, left: try value(inner).index), tree.span, onTrue, onFalse)
        case .relation(let relation, let left, let right):
            try self.relation(relation, left, right, tree.span, onTrue, onFalse)
        case .among(let left, let elements): try among(left, elements, tree.span, onTrue, onFalse)
        default:
            let value = try value(tree)
            if value.kind == .boolean {
                add(Test(kind: .isTrue, left: value.index), tree.span, onTrue, onFalse)
                return
            }
            var meant: String?
            if case .property = tree.kind { meant = "has(\(text(tree)))" }
            throw ExpressionError(
                tree.span, "\(quoted(tree)) is \(value.kind.name), and no condition",
                expected: value.isFixed
                    ? "a condition such as request.path == \"/\""
                    : "a comparison such as \(example(tree, value.kind))", meant: meant)
        }
    }

    private func text(_ tree: Tree) -> String { String(decoding: source[tree.span], as: UTF8.self) }

    /// As messages show it.
    private func quoted(_ tree: Tree) -> String {
        if case .text = tree.kind { text(tree) } else { "\"\(text(tree))\"" }
    }

    private func example(_ tree: Tree, _ kind: Property.Kind) -> String {
        switch kind {
        case .text: "\(text(tree)) == \"…\""
        case .list: "\(text(tree)) contains \"…\""
        case .integer: "\(text(tree)) >= 1"
        case .duration: "\(text(tree)) > 1s"
        case .size: "\(text(tree)) > 1MiB"
        case .address: "\(text(tree)) in [\"10.0.0.0/8\"]"
        case .boolean: text(tree)
        }
    }

    // MARK: comparisons

    private mutating func relation(
        _ relation: Tree.Relation, _ left: Tree, _ right: Tree, _ span: Range<Int>, _ onTrue: Target,
        _ onFalse: Target
    ) throws(ExpressionError) {
        switch relation {
        case .matches: return try matches(left, right, span, onTrue, onFalse)
        case .isIn: return try isIn(left, right, span, onTrue, onFalse)
        case .contains, .startsWith, .endsWith:
            return try search(relation, left, right, span, onTrue, onFalse)
        case .equal, .unequal, .less, .lessOrEqual, .greater, .greaterOrEqual: break
        }
        if try compareWithTruth(relation, left, right, onTrue, onFalse) { return }
        let firstOperand = program.operands.count
        var a = try value(left)
        var b = try value(right)
        try reconcile(&a, &b, left, right)
        guard !a.isFixed || !b.isFixed else {
            throw ExpressionError(span, "both sides are fixed", expected: "a property on one side")
        }
        let isOrder = relation != .equal && relation != .unequal
        for (side, value) in [(left, a), (right, b)]
        where value.kind == .list || value.kind == .boolean || (isOrder && value.kind == .address) {
            throw ExpressionError(
                side.span, "\(value.kind.name) cannot be compared with \"\(relation.rawValue)\"",
                expected: example(side, value.kind))
        }
        guard a.kind == b.kind else { throw mismatch(a, b, left, right, span) }
        if !isOrder { try checkCase(from: firstOperand) }
        switch relation {
        case .equal: add(Test(kind: .equal, left: a.index, right: b.index), span, onTrue, onFalse)
        case .unequal: add(Test(kind: .equal, left: a.index, right: b.index), span, onFalse, onTrue)
        case .less: add(Test(kind: .less, left: a.index, right: b.index), span, onTrue, onFalse)
        case .lessOrEqual: add(Test(kind: .lessOrEqual, left: a.index, right: b.index), span, onTrue, onFalse)
        case .greater: add(Test(kind: .less, left: b.index, right: a.index), span, onTrue, onFalse)
        default: add(Test(kind: .lessOrEqual, left: b.index, right: a.index), span, onTrue, onFalse)
        }
    }

    /// `PROPERTY == true` is the property, or not the property.
    private mutating func compareWithTruth(
        _ relation: Tree.Relation, _ left: Tree, _ right: Tree, _ onTrue: Target, _ onFalse: Target
    ) throws(ExpressionError) -> Bool {
        let (truth, other): (Bool, Tree)
        if case .boolean(let value) = right.kind {
            (truth, other) = (value, left)
        } else if case .boolean(let value) = left.kind {
            (truth, other) = (value, right)
        } else {
            return false
        }
        guard relation == .equal || relation == .unequal else {
            throw ExpressionError(other.span, "true and false have no order", expected: "== or !=")
        }
        let isItself = truth == (relation == .equal)
        try condition(other, onTrue: isItself ? onTrue : onFalse, onFalse: isItself ? onFalse : onTrue)
        return true
    }

    private mutating func matches(
        _ left: Tree, _ right: Tree, _ span: Range<Int>, _ onTrue: Target, _ onFalse: Target
    ) throws(ExpressionError) {
        guard case .text(let pattern) = right.kind, !pattern.isEmpty else {
            throw ExpressionError(
                right.span, "no regular expression behind \"matches\"", expected: "one in quotes")
        }
        let value = try value(left)
        try mustBeText(value, left, "matches")
        if program.operands[Int(value.index)].folds {
            throw ExpressionError(
                left.span, "lower(…) before \"matches\"",
                expected: "an expression that ignores case: \"(?i)…\"")
        }
        program.patterns.append(
            ExpressionPattern(
                text: String(decoding: pattern, as: UTF8.self), position: right.span.lowerBound + 1))
        add(
            Test(
                kind: value.kind == .list ? .oneMatches : .matches, left: value.index,
                right: Int16(program.patterns.count - 1)),
            span, onTrue, onFalse, cost: Cost.pattern)
    }

    /// `"x" in PROPERTY`, where the property is a list.
    private mutating func isIn(
        _ left: Tree, _ right: Tree, _ span: Range<Int>, _ onTrue: Target, _ onFalse: Target
    ) throws(ExpressionError) {
        let list = try value(right)
        guard list.kind == .list else {
            // `client.ip in "10.0.0.0/8"`
            var meant: String?
            if case .text = right.kind { meant = "[\(text(right))]" }
            throw ExpressionError(
                right.span, "\"in\" needs a list", expected: "a list such as [\"a\", \"b\"]", meant: meant)
        }
        let element = try value(left)
        guard element.kind == .text else {
            throw ExpressionError(left.span, "\(element.kind.name) is no text", expected: "a text in quotes")
        }
        add(
            Test(kind: .oneEqual, left: list.index, right: element.index), span, onTrue, onFalse,
            cost: Cost.search)
    }

    private mutating func search(
        _ relation: Tree.Relation, _ left: Tree, _ right: Tree, _ span: Range<Int>, _ onTrue: Target,
        _ onFalse: Target
    ) throws(ExpressionError) {
        let whole = try value(left)
        try mustBeText(whole, left, relation.rawValue)
        let part = try value(right)
        guard part.kind == .text else {
            throw ExpressionError(
                right.span, "\(part.kind.name) behind \"\(relation.rawValue)\"", expected: "a text in quotes")
        }
        if whole.isFixed, part.isFixed {
            throw ExpressionError(span, "both sides are fixed", expected: "a property on one side")
        }
        // Time for a search grows with both; whoever sends both could make it long.
        if relation == .contains, whole.kind == .text {
            guard part.isFixed else {
                throw ExpressionError(
                    right.span, "a text of the request behind \"contains\"", expected: "a text in quotes")
            }
            guard program.operands[Int(part.index)].text.count <= ExpressionLimits.searchBytes else {
                throw ExpressionError(
                    right.span, "the text is too long to look for",
                    expected: "at most \(ExpressionLimits.searchBytes) bytes")
            }
        }
        if part.isFixed, program.operands[Int(part.index)].text.isEmpty {
            throw ExpressionError(
                right.span, "every text has an empty one in it", expected: "a text, or has(…)")
        }
        if part.isFixed { try checkCase(whole.index, part.index) }
        let isList = whole.kind == .list
        let kind: Test.Kind =
            switch relation {
            case .contains: isList ? .oneEqual : .contains
            case .startsWith: isList ? .oneStartsWith : .startsWith
            default: isList ? .oneEndsWith : .endsWith
            }
        add(
            Test(kind: kind, left: whole.index, right: part.index), span, onTrue, onFalse,
            cost: kind == .startsWith || kind == .endsWith ? 0 : Cost.search)
    }

    private func mustBeText(_ value: Value, _ tree: Tree, _ name: String) throws(ExpressionError) {
        guard value.kind == .text || value.kind == .list else {
            throw ExpressionError(
                tree.span, "\(value.kind.name) before \"\(name)\"",
                expected: value.kind == .address
                    ? "a text; addresses are compared with in: \(example(tree, .address))" : "a text")
        }
    }

    private mutating func among(
        _ left: Tree, _ elements: [Tree], _ span: Range<Int>, _ onTrue: Target, _ onFalse: Target
    ) throws(ExpressionError) {
        let value = try value(left)
        if value.isFixed {
            throw ExpressionError(left.span, "both sides are fixed", expected: "a property before \"in\"")
        }
        var test = Test(
            kind: .amongTexts, left: value.index, count: Int16(truncatingIfNeeded: elements.count))
        let folds = program.operands[Int(value.index)].folds
        switch value.kind {
        case .text:
            test.right = Int16(truncatingIfNeeded: program.texts.count)
            for element in elements {
                guard case .text(let bytes) = element.kind else { throw elementError(element, value, left) }
                if folds || isLowerCase(value.index) { try mustBeLowerCase(bytes, element.span) }
                if isMethod(value.index) { try mustBeMethod(bytes, element.span) }
                program.texts.append(store(bytes))
            }
        case .integer, .duration, .size:
            test.kind = .amongNumbers
            test.right = Int16(truncatingIfNeeded: program.numbers.count)
            for element in elements {
                switch element.kind {
                case .number(let number) where value.kind == .integer: program.numbers.append(number)
                case .quantity(let number, let kind) where kind == value.kind: program.numbers.append(number)
                default: throw elementError(element, value, left)
                }
            }
        case .address:
            test.kind = .amongBlocks
            test.right = Int16(truncatingIfNeeded: program.blocks.count)
            for element in elements {
                guard case .text(let bytes) = element.kind else { throw elementError(element, value, left) }
                program.blocks.append(try AddressText.block(bytes, at: element.span))
            }
        case .list, .boolean:
            throw ExpressionError(
                left.span, "\(value.kind.name) before \"in\"",
                expected: value.kind == .list ? "\(text(left)) contains \"…\"" : "a condition")
        }
        add(test, span, onTrue, onFalse, cost: elements.count * Cost.listElement)
    }

    private func elementError(_ element: Tree, _ value: Value, _ left: Tree) -> ExpressionError {
        var meant: String?
        if case .number(let number) = element.kind {
            switch value.kind {
            case .text: meant = "\"\(number)\""
            case .duration, .size: meant = Units.meant(number, value.kind)
            default: break
            }
        } else if case .text(let bytes) = element.kind, value.kind == .integer,
            let number = Int64(String(decoding: bytes, as: UTF8.self))
        {
            meant = "\(number)"
        }
        return ExpressionError(
            element.span, "\(quoted(left)) is \(value.kind.name)",
            expected: "\(value.kind.name)\(value.kind == .integer ? ", without quotes," : "") in the list",
            meant: meant)
    }

    // MARK: values

    struct Value {
        var index: Int16
        var kind: Property.Kind
        /// It is written in the expression.
        var isFixed: Bool
    }

    private mutating func store(_ content: [UInt8]) -> ByteRange {
        program.bytes += content
        return ByteRange(program.bytes.count - content.count, content.count)
    }

    private mutating func add(_ operand: Operand, _ span: Range<Int>) -> Int16 {
        var operand = operand
        operand.start = UInt16(span.lowerBound)
        operand.end = UInt16(span.upperBound)
        program.operands.append(operand)
        return Int16(truncatingIfNeeded: program.operands.count - 1)
    }

    private mutating func value(_ tree: Tree) throws(ExpressionError) -> Value {
        switch tree.kind {
        case .text(let bytes):
            let text = store(bytes)
            return Value(
                index: add(Operand(source: .text, text: text), tree.span), kind: .text, isFixed: true)
        case .number(let number):
            return Value(
                index: add(Operand(source: .number, number: number), tree.span), kind: .integer, isFixed: true
            )
        case .quantity(let number, let kind):
            return Value(
                index: add(Operand(source: .number, number: number), tree.span), kind: kind, isFixed: true)
        case .boolean(let value):
            return Value(
                index: add(Operand(source: .boolean, number: value ? 1 : 0), tree.span), kind: .boolean,
                isFixed: true)
        case .property(let property, let name):
            program.properties.insert(property)
            var operand = Operand(source: .property, property: property, text: store(name))
            switch property {
            case .header:
                operand.field = name.withUnsafeBufferPointer { bytes in
                    bytes.baseAddress.map { FieldID.identify($0, count: bytes.count) } ?? .other
                }
                program.cost += Cost.field
            case .queryParameter, .cookie: program.cost += Cost.pair
            default: break
            }
            return Value(index: add(operand, tree.span), kind: property.definition.kind, isFixed: false)
        case .call(let function, let inner): return try call(function, inner, tree)
        case .first(let parts):
            var chain: [Value] = []
            for part in parts {
                let value = try value(part)
                if let before = chain.last {
                    guard !before.isFixed else {
                        throw ExpressionError(
                            part.span, "a fixed value is always there: this is never reached")
                    }
                    guard value.kind == before.kind else {
                        throw ExpressionError(
                            part.span, "\(before.kind.name) and \(value.kind.name) on the sides of \"??\"",
                            expected: before.kind.name)
                    }
                    // What stands before may be a chain itself: lower(a ?? b) ?? c.
                    var tail = Int(before.index)
                    while program.operands[tail].otherwise >= 0 {
                        tail = Int(program.operands[tail].otherwise)
                    }
                    program.operands[tail].otherwise = value.index
                }
                chain.append(value)
            }
            if chain[0].kind == .list || chain[0].kind == .boolean {
                throw ExpressionError(
                    tree.span, "\(chain[0].kind.name) with \"??\"", expected: "a text, a number or an address"
                )
            }
            return Value(index: chain[0].index, kind: chain[0].kind, isFixed: false)
        case .not, .all, .any, .relation, .among:
            throw ExpressionError(
                tree.span, "a condition where a value belongs",
                expected: "a property, a text in quotes or a number")
        }
    }

    private mutating func call(
        _ function: Tree.Function, _ inner: Tree, _ tree: Tree
    ) throws(ExpressionError) -> Value {
        if function == .has {
            throw ExpressionError(
                tree.span, "has(…) is a condition, and no value",
                expected: "has(…) alone, or with ! before it")
        }
        let value = try value(inner)
        guard value.kind == .text, !value.isFixed else {
            throw ExpressionError(
                inner.span,
                value.isFixed
                    ? "\(function.rawValue)(…) of a fixed value"
                    : "\(value.kind.name) in \(function.rawValue)(…)",
                expected: "a property that is a text")
        }
        let conversion: Operand.Conversion =
            switch function {
            case .length: .length
            case .int: .integer
            case .ip: .address
            case .lower, .has: .none
            }
        if program.operands[Int(value.index)].otherwise >= 0, function == .int || function == .ip {
            throw ExpressionError(
                inner.span, "\"??\" in \(function.rawValue)(…)",
                expected:
                    "\(function.rawValue)(a) ?? \(function.rawValue)(b): what is no \(function == .int ? "number" : "address") is missing"
            )
        }
        // Of a chain each may be the one that is there.
        var index = value.index
        while index >= 0 {
            if function == .lower {
                program.operands[Int(index)].folds = true
            } else {
                program.operands[Int(index)].conversion = conversion
            }
            index = program.operands[Int(index)].otherwise
        }
        program.operands[Int(value.index)].start = UInt16(tree.span.lowerBound)
        program.operands[Int(value.index)].end = UInt16(tree.span.upperBound)
        let kind: Property.Kind = function == .lower ? .text : function == .ip ? .address : .integer
        return Value(index: value.index, kind: kind, isFixed: false)
    }

    // MARK: what could only ever hold, or never

    /// A text beside an address is one.
    private mutating func reconcile(
        _ a: inout Value, _ b: inout Value, _ left: Tree, _ right: Tree
    ) throws(ExpressionError) {
        if a.kind == .address, b.kind == .text, b.isFixed {
            try makeAddress(&b, right)
        } else if b.kind == .address, a.kind == .text, a.isFixed {
            try makeAddress(&a, left)
        }
    }

    private mutating func makeAddress(_ value: inout Value, _ tree: Tree) throws(ExpressionError) {
        guard case .text(let bytes) = tree.kind else { return }
        guard let address = AddressText.parse(bytes) else {
            let isBlock = (try? AddressText.block(bytes, at: tree.span)) != nil
            throw ExpressionError(
                tree.span, isBlock ? "\(text(tree)) is a block of addresses" : "\(text(tree)) is no address",
                expected: isBlock
                    ? "in [\(text(tree))]" : "an address such as \"192.0.2.1\" or \"2001:db8::1\"")
        }
        program.operands[Int(value.index)].source = .address
        program.operands[Int(value.index)].high = address.high
        program.operands[Int(value.index)].number = Int64(bitPattern: address.low)
        value.kind = .address
    }

    private func mismatch(_ a: Value, _ b: Value, _ left: Tree, _ right: Tree, _ span: Range<Int>)
        -> ExpressionError
    {
        let (fixed, fixedTree, other, otherTree) = a.isFixed ? (a, left, b, right) : (b, right, a, left)
        var meant: String?
        var expectation = "\(other.kind.name)"
        switch (other.kind, fixedTree.kind) {
        case (.duration, .number(let number)), (.size, .number(let number)):
            meant = Units.meant(number, other.kind)
        case (.text, .number(let number)):
            meant = "\"\(number)\""
            expectation = "a text in quotes, or int(\(text(otherTree))) for its number"
        case (.integer, .text(let bytes)):
            meant = Int64(String(decoding: bytes, as: UTF8.self)).map { "\($0)" }
            expectation = "a number, without quotes"
        case (.text, _) where fixed.kind == .address:
            expectation = "ip(\(text(otherTree))) for its address"
        default: break
        }
        return ExpressionError(
            fixedTree.span, "\(quoted(otherTree)) is \(other.kind.name), and this is \(fixed.kind.name)",
            expected: expectation, meant: meant)
    }

    private func isLowerCase(_ index: Int16) -> Bool {
        let operand = program.operands[Int(index)]
        return operand.source == .property && operand.property.isLowerCase && operand.conversion == .none
    }

    private func isMethod(_ index: Int16) -> Bool {
        let operand = program.operands[Int(index)]
        return operand.source == .property && operand.property == .method && !operand.folds
            && operand.conversion == .none
    }

    /// Texts that a comparison made of the last operands could never find.
    private func checkCase(from first: Int) throws(ExpressionError) {
        let operands = program.operands.indices.dropFirst(first)
        for a in operands {
            for b in operands where program.operands[b].source == .text {
                try checkCase(Int16(a), Int16(b))
            }
        }
    }

    private func checkCase(_ value: Int16, _ fixed: Int16) throws(ExpressionError) {
        let operand = program.operands[Int(fixed)]
        guard operand.source == .text, value != fixed else { return }
        let bytes = Array(program.bytes[Int(operand.text.offset)..<Int(operand.text.end)])
        let span = Int(operand.start)..<Int(operand.end)
        if program.operands[Int(value)].folds || isLowerCase(value) { try mustBeLowerCase(bytes, span) }
        if isMethod(value) { try mustBeMethod(bytes, span) }
    }

    private func mustBeLowerCase(_ bytes: [UInt8], _ span: Range<Int>) throws(ExpressionError) {
        guard bytes.contains(where: { $0 &- 65 < 26 }) else { return }
        let lower = String(decoding: bytes, as: UTF8.self).lowercased()
        throw ExpressionError(
            span, "this is compared in lower case, and could never be found", expected: "lower case",
            meant: "\"\(lower)\"")
    }

    /// Methods are case-sensitive (RFC 9110 §9.1): "get" would never be found.
    private func mustBeMethod(_ bytes: [UInt8], _ span: Range<Int>) throws(ExpressionError) {
        let text = String(decoding: bytes, as: UTF8.self)
        let known = Method.allCases.contains { $0 != .other && $0.name.description == text.uppercased() }
        guard known, text != text.uppercased() else { return }
        throw ExpressionError(
            span, "methods are in upper case: this could never be found", expected: "upper case",
            meant: "\"\(text.uppercased())\"")
    }
}
