// The router: an immutable table made once per configuration, asked once per request.
//
// It defends against routes being dodged (percent-encoding, case, trailing dots, ports) and against
// requests whose matching cost a lot (regular expressions have limits, hosts a length). It does not
// know services or policies: it returns the index of a rule. RFC 9110 §4.2.3, RFC 3986 §6.2.2.

import HTTPModel

/// Finds the most specific route of a request (the order is described in RouteWalk.swift).
///
/// `@unchecked Sendable`: the tables are written in `init`, freed in `deinit` and never changed between.
public final class Router: @unchecked Sendable {
    /// The rules in the order given; `RouteMatch.route` is an index into them.
    public let rules: [RouteRule]
    /// Whether any rule has a condition on the client's certificate: only then `match` needs it.
    public let asksForCertificates: Bool
    /// Routes that can never win: an error of the configuration.
    public let unreachable: [UnreachableRoute]
    let tables: RouteTables
    let hostIndexes: [HostPattern: Int32]

    public init(_ rules: [RouteRule]) {
        self.rules = rules
        asksForCertificates = rules.contains { rule in
            rule.conditions.contains { if case .certificate = $0.source { true } else { false } }
        }
        var builder = RouteTablesBuilder(rules)
        tables = builder.build()
        unreachable = builder.unreachable
        hostIndexes = builder.hostIndexes
    }

    deinit { tables.deallocate() }

    /// Finds the route of a request. Allocates nothing, except that `scratch` grows to the longest
    /// percent-encoded path or parameter it has seen.
    ///
    /// - Parameter certificate: the client's, verified; nil: it showed none.
    /// - Returns: whether a route matched. `match` is overwritten either way.
    public func match(
        _ request: RequestView, scratch: RouteScratch, certificate: UnsafePointer<CertificateView>? = nil,
        into match: inout RouteMatch
    ) -> Bool {
        var walk = RouteWalk(tables, request, scratch, certificate, NoTrials())
        let found = walk.run()
        match = walk.match
        return found
    }

    /// Names of captures for `TemplateContext`; valid as long as the router.
    public var captureNames: CaptureNames {
        CaptureNames(
            base: tables.base, ranges: UnsafePointer(tables.captureNames.baseAddress.unsafelyUnwrapped))
    }

    /// The name of a capture of a match, for display.
    public func captureName(_ capture: RouteCapture) -> String {
        tables.captureNames[Int(capture.name)].text(in: tables.base)
    }
}

/// Where the names of captures stand. Plain data without ownership.
public struct CaptureNames {
    let base: UnsafePointer<UInt8>
    let ranges: UnsafePointer<ByteRange>
}
