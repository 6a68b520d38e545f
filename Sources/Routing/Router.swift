// The router: an immutable table made once per configuration, asked once per request.
//
// It defends against routes being dodged (percent-encoding, paths that servers read differently, case,
// trailing dots, ports) and against requests whose matching cost a lot (regular expressions have limits,
// hosts a length). It does not know services or policies: it returns the index of a rule. RFC 9110 §4.2.3,
// RFC 3986 §6.2.2.

import WeirHTTPModel

/// Finds the most specific route of a request (the order is described in RouteWalk.swift).
///
/// `@unchecked Sendable`: the tables are written in `init`, freed in `deinit` and never changed between.
public final class Router: @unchecked Sendable {
    /// The rules in the order given; `RouteMatch.route` is an index into them.
    public let rules: [RouteRule]
    /// Whether any rule asks for more than the request's head: only then `match` needs a context.
    public let asksForContext: Bool
    /// Whether any rule has a condition on the client's certificate: only then has the context to have it.
    public let asksForCertificates: Bool
    /// Whether any rule asks for the time: only then has the context to have it.
    public let asksForTime: Bool
    /// Routes that can never win: an error of the configuration.
    public let unreachable: [UnreachableRoute]
    let tables: RouteTables
    let hostIndexes: [HostPattern: Int32]

    public init(_ rules: [RouteRule]) {
        self.rules = rules
        asksForCertificates = rules.contains { rule in
            rule.when?.usesCertificate ?? false
                || rule.conditions.contains { if case .certificate = $0.source { true } else { false } }
        }
        asksForTime = rules.contains { $0.when?.usesTime ?? false }
        asksForContext = asksForCertificates || rules.contains { $0.when != nil }
        var builder = RouteTablesBuilder(rules)
        tables = builder.build()
        unreachable = builder.unreachable
        hostIndexes = builder.hostIndexes
    }

    deinit { tables.deallocate() }

    /// Finds the route of a request. Allocates nothing, except that `scratch` grows to the longest
    /// percent-encoded path or parameter it has seen.
    ///
    /// A path with two slashes in a row, or with an encoded slash or backslash, is read by some servers as
    /// another path. It is served when all readings lead to one route; when they do not, no route matches.
    ///
    /// - Parameters:
    ///   - request: with its path in normal form, and the path's traits.
    ///   - context: what conditions ask for beyond the head, as far as it is known before there is a route.
    /// - Returns: whether a route matched. `match` is overwritten either way.
    public func match(
        _ request: RequestView, scratch: RouteScratch, context: UnsafePointer<RequestContext>? = nil,
        into match: inout RouteMatch
    ) -> Bool {
        var walk = RouteWalk(tables, request, scratch, context, NoTrials())
        let found = walk.run()
        match = walk.match
        if found, request.head.pointee.pathTraits.haveOtherReadings {
            return settle(request, walk.path, walk.count, scratch, context, &match)
        }
        return found
    }

    /// Whether the other readings of a path lead to the route that was found.
    @inline(never)
    private func settle(
        _ request: RequestView, _ path: UnsafePointer<UInt8>, _ count: Int, _ scratch: RouteScratch,
        _ context: UnsafePointer<RequestContext>?, _ match: inout RouteMatch
    ) -> Bool {
        for reading in PathForm.Reading.allCases {
            let room = scratch.readingRoom(count)
            let length = PathForm.write(reading, of: path, count, into: room)
            var walk = RouteWalk(tables, request, room, length, scratch, context, NoTrials())
            _ = walk.run()
            if walk.match.route == match.route { continue }
            match = RouteMatch()
            match.isAmbiguous = !walk.match.expressionFailed
            match.expressionFailed = walk.match.expressionFailed
            return false
        }
        return true
    }

    /// Names of captures for `RequestContext`; valid as long as the router.
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
