// An expression as a tree, as it is written; types are looked at when it is compiled (Compiler.swift).
//
//   condition  = all *("||" all)
//   all        = relation *("&&" relation)
//   relation   = value [operator value | "in" list | "in" value]
//   value      = single *("??" single)
//   single     = "!" single | "(" condition ")" | function "(" condition ")" | property | literal

struct Tree {
    indirect enum Kind {
        case text([UInt8])
        case number(Int64)
        case quantity(Int64, Property.Kind)
        case boolean(Bool)
        case property(Property, name: [UInt8])
        case call(Function, Tree)
        case not(Tree)
        case all([Tree])
        case any([Tree])
        /// The first that is there.
        case first([Tree])
        case relation(Relation, Tree, Tree)
        case among(Tree, [Tree])
    }

    enum Function: String, CaseIterable {
        case has, lower, length, int, ip
    }

    enum Relation: String, CaseIterable {
        case equal = "=="
        case unequal = "!="
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
        case matches, contains, startsWith, endsWith
        case isIn = "in"
    }

    let kind: Kind
    let span: Range<Int>
}

struct Parser {
    private let text: [UInt8]
    private let tokens: [Token]
    private let known: Known
    private var at = 0
    private var depth = 0

    init(_ text: [UInt8], known: Known) throws(ExpressionError) {
        guard text.count <= ExpressionLimits.bytes else {
            throw ExpressionError(
                at: ExpressionLimits.bytes, "the expression is longer than \(ExpressionLimits.bytes) bytes")
        }
        self.text = text
        self.known = known
        var lexer = Lexer(text)
        tokens = try lexer.tokens()
    }

    mutating func parse() throws(ExpressionError) -> Tree {
        if token.kind == .end {
            throw ExpressionError(
                at: 0, "the expression is empty",
                expected: "a condition such as client.ip in [\"10.0.0.0/8\"]")
        }
        let tree = try condition()
        guard token.kind == .end else { throw unexpected("an operator such as && or ||, or the end") }
        return tree
    }

    // MARK: tokens

    private var token: Token { tokens[at] }

    private mutating func take(_ sign: String) -> Bool {
        guard token.kind == .sign(sign) else { return false }
        at += 1
        return true
    }

    private mutating func expect(_ sign: String, _ purpose: String) throws(ExpressionError) {
        if !take(sign) { throw unexpected("'\(sign)' \(purpose)") }
    }

    private func unexpected(_ expectation: String) -> ExpressionError {
        let written = String(decoding: text[token.span], as: UTF8.self)
        var meant: String?
        if case .word(let word) = token.kind { meant = Self.here[word.lowercased()] }
        return ExpressionError(
            token.span,
            token.kind == .end
                ? "the expression ends too early" : "\(Self.quoted(written)) does not fit here",
            expected: expectation, meant: meant)
    }

    private static func quoted(_ text: String) -> String {
        text.hasPrefix("\"") || text.hasPrefix("'") ? text : "\"\(text)\""
    }

    /// Words of other languages, and what is written for them here.
    private static let here = [
        "and": "&&", "or": "||", "not": "!", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">",
        "ge": ">=",
        "is": "==", "startswith": "startsWith", "endswith": "endsWith", "starts_with": "startsWith",
        "ends_with": "endsWith", "match": "matches", "contain": "contains", "like": "matches",
        "regex": "matches",
        "null": "!has(…)", "nil": "!has(…)", "none": "!has(…)",
    ]

    private mutating func deeper(_ span: Range<Int>) throws(ExpressionError) {
        depth += 1
        guard depth <= ExpressionLimits.depth else {
            throw ExpressionError(span, "nested deeper than \(ExpressionLimits.depth) levels")
        }
    }

    // MARK: conditions

    private mutating func condition() throws(ExpressionError) -> Tree {
        try deeper(token.span)
        defer { depth -= 1 }
        var parts = [try all()]
        while take("||") { parts.append(try all()) }
        return parts.count == 1 ? parts[0] : Tree(kind: .any(parts), span: Self.span(parts))
    }

    private mutating func all() throws(ExpressionError) -> Tree {
        var parts = [try relation()]
        while take("&&") { parts.append(try relation()) }
        return parts.count == 1 ? parts[0] : Tree(kind: .all(parts), span: Self.span(parts))
    }

    private static func span(_ parts: [Tree]) -> Range<Int> {
        (parts.first?.span.lowerBound ?? 0)..<(parts.last?.span.upperBound ?? 0)
    }

    /// The operator that stands here.
    private var relationHere: Tree.Relation? {
        switch token.kind {
        case .sign(let text), .word(let text): Tree.Relation(rawValue: text)
        default: nil
        }
    }

    private mutating func relation() throws(ExpressionError) -> Tree {
        let left = try value()
        guard let relation = relationHere else { return left }
        at += 1
        if relation == .isIn, token.kind == .sign("[") {
            let elements = try list()
            let end = tokens[at - 1].span.upperBound
            try mustEnd()
            return Tree(kind: .among(left, elements), span: left.span.lowerBound..<end)
        }
        let right = try value()
        try mustEnd()
        return Tree(kind: .relation(relation, left, right), span: Self.span([left, right]))
    }

    private func mustEnd() throws(ExpressionError) {
        if relationHere != nil {
            throw ExpressionError(
                token.span, "comparisons do not chain", expected: "two comparisons with && between them")
        }
    }

    private mutating func list() throws(ExpressionError) -> [Tree] {
        at += 1
        var elements: [Tree] = []
        repeat {
            if token.kind == .sign("]"), !elements.isEmpty { break }
            let element = try single()
            switch element.kind {
            case .text, .number, .quantity: elements.append(element)
            default:
                throw ExpressionError(
                    element.span, "a list has fixed values only", expected: "a text in quotes or a number")
            }
        } while take(",")
        try expect("]", "at the end of the list")
        return elements
    }

    // MARK: values

    private mutating func value() throws(ExpressionError) -> Tree {
        var parts = [try single()]
        while take("??") { parts.append(try single()) }
        if parts.count == 1 { return parts[0] }
        // Parentheses make no difference: the first that is there is the first of all of them.
        let flat = parts.flatMap { part in if case .first(let inner) = part.kind { inner } else { [part] } }
        return Tree(kind: .first(flat), span: Self.span(parts))
    }

    private mutating func single() throws(ExpressionError) -> Tree {
        let token = token
        switch token.kind {
        case .sign("!"):
            try deeper(token.span)
            defer { depth -= 1 }
            at += 1
            let inner = try single()
            if relationHere != nil {
                let rest = String(decoding: text[inner.span.lowerBound...], as: UTF8.self)
                throw ExpressionError(
                    token.span, "\"!\" stands before what is right of it only",
                    expected: "parentheses: !(\(rest.prefix(40))\(rest.count > 40 ? "…" : "")) or !=")
            }
            return Tree(kind: .not(inner), span: token.span.lowerBound..<inner.span.upperBound)
        case .sign("("):
            at += 1
            let inner = try condition()
            try expect(")", "for the one that is open")
            // Of conditions people are shown what is compared; a value is one with its parentheses.
            if case .first = inner.kind {
                return Tree(kind: inner.kind, span: token.span.lowerBound..<tokens[at - 1].span.upperBound)
            }
            return inner
        case .text(let bytes):
            at += 1
            return Tree(kind: .text(bytes), span: token.span)
        case .number(let number):
            at += 1
            return Tree(kind: .number(number), span: token.span)
        case .quantity(let number, let kind):
            at += 1
            return Tree(kind: .quantity(number, kind), span: token.span)
        case .word(let word): return try self.word(word, token.span)
        case .sign("["):
            throw ExpressionError(
                token.span, "a list does not fit here", expected: "a list behind \"in\" only")
        default: throw unexpected("a property, a text in quotes, a number, or '('")
        }
    }

    private mutating func word(_ word: String, _ span: Range<Int>) throws(ExpressionError) -> Tree {
        if word == "true" || word == "false" {
            at += 1
            return Tree(kind: .boolean(word == "true"), span: span)
        }
        if tokens[at + 1].kind == .sign("(") { return try call(word, span) }
        if word == "null" || word == "nil" {
            throw ExpressionError(
                span, "there is no \"\(word)\"",
                expected: "has(PROPERTY) for what is there, !has(PROPERTY) for what is not")
        }
        at += 1
        let written = tokens[at].kind == .sign("[") ? word + "." : word
        guard let found = Property.written(written), found.property.definition.isForTemplatesOnly == false
        else {
            // `request.path["x"]`: a property that takes no name.
            if written != word, Property.written(word)?.nameAt == nil, Property.written(word) != nil {
                throw ExpressionError(tokens[at].span, "\"\(word)\" has no parts by name")
            }
            throw unknown(word, span)
        }
        let property = found.property
        guard known.contains(property) else {
            throw ExpressionError(
                span, "\"\(word)\" is not known here",
                expected: "what is known \(Self.text(known)); it is known \(property.definition.moment.text)")
        }
        if written != word, found.nameAt != written.utf8.count {
            throw ExpressionError(tokens[at].span, "\"\(word)\" has no parts by name")
        }
        guard let nameAt = found.nameAt else { return Tree(kind: .property(property, name: []), span: span) }
        var name: [UInt8]
        var end = span.upperBound
        var nameSpan = span.lowerBound + min(nameAt, span.count)..<span.upperBound
        if take("[") {
            guard case .text(let bytes) = token.kind else { throw unexpected("a name in quotes") }
            (name, nameSpan) = (bytes, token.span)
            at += 1
            try expect("]", "behind the name")
            end = tokens[at - 1].span.upperBound
        } else {
            name = Array(word.utf8.dropFirst(nameAt))
        }
        guard !name.isEmpty else {
            throw ExpressionError(nameSpan, "the name is empty", expected: "\(property.definition.name)NAME")
        }
        if property == .header || property == .cookie || property == .capture {
            guard name.allSatisfy(isTokenByte) else {
                throw ExpressionError(
                    nameSpan, "no \(property == .header ? "field" : "name") is called that",
                    expected: "letters, digits and '-'")
            }
        }
        if property == .header { name = name.map { $0 &- 65 < 26 ? $0 | 0x20 : $0 } }
        return Tree(kind: .property(property, name: name), span: span.lowerBound..<end)
    }

    private static func text(_ known: Known) -> String {
        known == .request ? "before there is a route" : known == .route ? "once there is a route" : "here"
    }

    private func unknown(_ word: String, _ span: Range<Int>) -> ExpressionError {
        let names = Property.names(known)
        // `client.ip.startsWith("10.")` of other languages.
        if tokens[at].kind != .sign("["), let dot = word.lastIndex(of: ".") {
            let last = String(word[word.index(after: dot)...])
            let method =
                Tree.Relation(rawValue: last)
                ?? Self.here[last.lowercased()].flatMap(Tree.Relation.init(rawValue:))
            if let method, Property.written(String(word[..<dot])) != nil {
                return ExpressionError(
                    span, "\"\(last)\" is an operator", expected: "\(word[..<dot]) \(method.rawValue) \"…\"")
            }
        }
        let meant = Self.here[word.lowercased()] ?? Property.meant(by: word, known)
        return ExpressionError(
            span, "unknown property \"\(word)\"",
            expected: meant == nil ? "one of \(names.joined(separator: ", "))" : nil, meant: meant)
    }

    private mutating func call(_ word: String, _ span: Range<Int>) throws(ExpressionError) -> Tree {
        guard let function = Tree.Function(rawValue: word) else {
            if let dot = word.lastIndex(of: ".") {
                let last = String(word[word.index(after: dot)...])
                let here = Tree.Relation(rawValue: last)?.rawValue ?? Self.here[last.lowercased()]
                if let here, Property.written(String(word[..<dot])) != nil {
                    throw ExpressionError(
                        span, "\"\(last)\" is an operator", expected: "\(word[..<dot]) \(here) \"…\"")
                }
            }
            let names = Tree.Function.allCases.map(\.rawValue)
            let alias = [
                "len": "length", "size": "length", "tolower": "lower", "lowercase": "lower", "exists": "has",
            ]
            throw ExpressionError(
                span, "unknown function \"\(word)\"", expected: "one of \(names.joined(separator: ", "))",
                meant: alias[word.lowercased()] ?? Self.here[word.lowercased()]
                    ?? Nearest.meant(by: word, in: names))
        }
        at += 2
        let inner = try condition()
        try expect(")", "behind what \(word)(…) is asked about")
        return Tree(kind: .call(function, inner), span: span.lowerBound..<tokens[at - 1].span.upperBound)
    }
}

/// RFC 9110 §5.6.2
private func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x21, 0x23...0x27, 0x2a, 0x2b, 0x2d, 0x2e, 0x30...0x39, 0x41...0x5a, 0x5e...0x7a, 0x7c, 0x7e: true
    default: false
    }
}
