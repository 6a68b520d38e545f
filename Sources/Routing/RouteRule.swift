// Routes as the configuration hands them over: plain values, checked, not yet compiled.

import WeirHTTPModel

/// A condition on a header field, a query parameter, a cookie or the client's certificate.
public struct Condition: Sendable {
    public enum Source: Sendable, Hashable {
        /// Name in any case. True when any field line of that name fits; values are not split at commas.
        case field(String)
        /// Name and value are compared percent-decoded, with `+` as a space.
        case query(String)
        /// Name compared exactly.
        case cookie(String)
        /// Of the alternative names one has to fit. Without a certificate nothing is there.
        case certificate(CertificatePart)
    }

    public enum Test: Sendable {
        case present
        case equals(String)
        case prefix(String)
        case expression(RegularExpression)
    }

    public var source: Source
    public var test: Test
    /// The condition holds when the test fails for every value (also when there is none).
    public var isNegated: Bool

    public init(_ source: Source, _ test: Test, isNegated: Bool = false) {
        self.source = source
        self.test = test
        self.isNegated = isNegated
    }

    /// "header x-tenant", "query page", "cookie session", "client certificate subject".
    public var subject: String {
        switch source {
        case .field(let name): "header \(name)"
        case .query(let name): "query \(name)"
        case .cookie(let name): "cookie \(name)"
        case .certificate(.whole): "client certificate"
        case .certificate(let part): "client certificate \(part)"
        }
    }

    /// Equal for conditions that are the same, for finding shadowed routes.
    var identity: String {
        let what =
            switch test {
            case .present: "present"
            case .equals(let text): "=\(text)"
            case .prefix(let text): "^\(text)"
            case .expression(let expression): "~\(expression.text)"
            }
        let name = if case .field(let name) = source { "header \(name.lowercased())" } else { subject }
        return "\(isNegated)|\(name)|\(what)"
    }
}

/// One route. Empty lists mean "no restriction".
public struct RouteRule: Sendable {
    public var name: String
    public var hosts: [HostPattern]
    public var paths: [PathPattern]
    /// Method names as on the wire, upper case ("GET"). GET does not include HEAD.
    public var methods: [String]
    /// All must hold.
    public var conditions: [Condition]
    /// Must hold as well. Looked at last.
    public var when: RequestCondition?
    /// Prefixes of this route are tried before regular expressions, not after them.
    public var isBeforeExpressions: Bool

    public init(
        name: String, hosts: [HostPattern] = [], paths: [PathPattern] = [], methods: [String] = [],
        conditions: [Condition] = [], when: RequestCondition? = nil, isBeforeExpressions: Bool = false
    ) {
        self.name = name
        self.hosts = hosts
        self.paths = paths
        self.methods = methods
        self.conditions = conditions
        self.when = when
        self.isBeforeExpressions = isBeforeExpressions
    }
}

extension RouteRule {
    /// What it asks for beyond host, path and methods, each once.
    var identity: Set<String> {
        var identity = Set(conditions.map(\.identity))
        if let when { identity.insert("when|\(when.expression.text)") }
        return identity
    }
}

/// A named part of the path.
@frozen
public struct RouteCapture: Sendable, BitwiseCopyable {
    /// Index into the router's capture names.
    public var name: UInt16 = 0
    /// Bytes of the path itself (PathForm.swift): escapes stay.
    public var range = ByteRange.empty

    @inlinable @inline(__always) public init() {}
}

/// The result of routing one request. Plain data.
@frozen
public struct RouteMatch: Sendable, BitwiseCopyable {
    /// Index in the list the router was built from; -1 when no route matched.
    public var route: Int32 = -1
    public var captureCount: Int32 = 0
    public var captures = InlineArray<8, RouteCapture>(repeating: RouteCapture())
    /// Bytes of the path the pattern's fixed part covers: "/v1" (3) for /v1/* and /v1/x. The
    /// whole path for exact and segment patterns; up to the end of the match for expressions.
    public var pathPrefixCount: UInt32 = 0
    /// Without a route: at least one matched in everything but the method (405, `allowedMethods`).
    public var methodMismatch = false
    /// Without a route: there is one, but another reading of the path (`PathForm.Reading`) leads to another
    /// or to none. Whoever serves the request may read it that way: 400.
    public var isAmbiguous = false
    /// Without a route: a regular expression ran into its limits, and matching ended there because the
    /// routes behind it might be less protected ones.
    public var expressionFailed = false

    @inlinable @inline(__always) public init() {}
}
