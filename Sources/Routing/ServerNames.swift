// Which of several choices a TLS server name selects (RFC 6066 §3): the routing of connections whose TLS
// Weir does not end.
//
// The most specific name wins, as for hosts of routes: exact, then the longest wildcard, then "*". The
// name comes from a stranger in clear text and proves nothing; whoever answers for it has the key. What
// the choices stand for is the caller's business.

/// An immutable table from names to numbers of choices. Asked once per connection.
public struct ServerNames: Sendable, Equatable {
    private var exact: [String: Int] = [:]
    /// "example.com" for "*.example.com".
    private var below: [String: Int] = [:]
    /// The choice of `*`: names nothing else fits, and whatever has no name. nil: there is none.
    public private(set) var other: Int?

    public init() {}

    /// Adds a name. Of two equal ones the first stays.
    public mutating func add(_ pattern: HostPattern, choice: Int) {
        switch pattern.kind {
        case .exact: if exact[pattern.name] == nil { exact[pattern.name] = choice }
        case .wildcard: if below[pattern.name] == nil { below[pattern.name] = choice }
        case .any: if other == nil { other = choice }
        }
    }

    /// The choice for a name; nil when nobody is known by it.
    /// - Parameter name: in lower case and without a dot at its end; nil: the client named none.
    public func choice(for name: String?) -> Int? {
        guard let name else { return other }
        if let found = exact[name] { return found }
        if !below.isEmpty {
            var rest = Substring(name)
            while let dot = rest.utf8.firstIndex(of: 0x2e) {
                rest = rest[rest.utf8.index(after: dot)...]
                // Something stands before the dot, or the name is not below anything.
                if dot != name.utf8.startIndex, let found = below[String(rest)] { return found }
            }
        }
        return other
    }
}
