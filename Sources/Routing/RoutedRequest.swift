// Routing and templates without pointers.

import WeirHTTPModel

/// What a router found for a request.
public struct RoutedRequest: Sendable {
    /// Number of the rule in the list the router was made from.
    public let rule: Int
    /// The rule's name.
    public let name: String
    /// The named parts of the path.
    public let captures: [String: String]
    let router: Router
    let match: RouteMatch
    /// What was routed: the captures are parts of its path.
    let request: OwnedRequestHead
}

/// Why a router found none.
public enum RoutingRefusal: Error, Equatable, Sendable {
    /// No rule fits: 404.
    case noRoute
    /// A rule would, with another method: 405.
    case methodNotAllowed
    /// Servers read the path differently, and the readings lead to different routes: 400.
    case ambiguousPath
    /// A regular expression ran into its limits, or a condition asks for what is not known here: 503.
    case expressionFailed
}

extension Router {
    /// Finds the route of a request.
    ///
    /// - Parameter isSecure: whether the request came over TLS. Conditions know no client and no certificate.
    public func route(_ request: OwnedRequestHead, isSecure: Bool = false) throws(RoutingRefusal)
        -> RoutedRequest
    {
        let result = request.withView { view -> Result<RoutedRequest, RoutingRefusal> in
            var match = RouteMatch()
            var context = RequestContext(request: view)
            context.origin = RequestOrigin(request.head, isSecure: isSecure)
            let isFound = withUnsafePointer(to: context) {
                self.match(view, scratch: RouteScratch(), context: $0, into: &match)
            }
            guard isFound else {
                return .failure(
                    match.isAmbiguous
                        ? .ambiguousPath
                        : match.expressionFailed
                            ? .expressionFailed : match.methodMismatch ? .methodNotAllowed : .noRoute)
            }
            var captures: [String: String] = [:]
            for i in 0..<Int(match.captureCount) {
                captures[captureName(match.captures[i])] = match.captures[i].range.text(in: view.bytes)
            }
            let rule = Int(match.route)
            return .success(
                RoutedRequest(
                    rule: rule, name: rules[rule].name, captures: captures, router: self, match: match,
                    request: request))
        }
        return try result.get()
    }
}

extension Template {
    /// Most bytes of a text.
    public static let textBytesMax = 1 << 20

    /// The text with its variables replaced; nil: it would be longer than `textBytesMax`, or a value holds a control
    /// character.
    ///
    /// - Parameters:
    ///   - routed: a request with its route, whose captures and name may be asked for.
    ///   - isSecure: whether the request came over TLS.
    public func text(for routed: RoutedRequest, isSecure: Bool = false) -> String? {
        text(for: routed.request, routed: routed, isSecure: isSecure)
    }

    /// The same for a request without a route: what only a route has is not there.
    public func text(for request: OwnedRequestHead, isSecure: Bool = false) -> String? {
        text(for: request, routed: nil, isSecure: isSecure)
    }

    private func text(for request: OwnedRequestHead, routed: RoutedRequest?, isSecure: Bool) -> String? {
        var capacity = 1_024
        while capacity <= Self.textBytesMax {
            var isClean = true
            var isWhole = false
            let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { room, count in
                guard let base = room.baseAddress else { return }
                var writer = ByteWriter(base, capacity: room.count)
                isClean = request.withView { view in
                    var context = RequestContext(request: view)
                    context.origin = RequestOrigin(request.head, isSecure: isSecure)
                    guard let routed else { return render(into: &writer, context: context) }
                    context.captureNames = routed.router.captureNames
                    let name = Array(routed.name.utf8)
                    return name.withUnsafeBufferPointer { name in
                        context.route = name
                        return withUnsafePointer(to: routed.match) { match in
                            context.match = match
                            return withExtendedLifetime(routed.router) {
                                render(into: &writer, context: context)
                            }
                        }
                    }
                }
                isWhole = !writer.overflowed
                count = writer.count
            }
            if !isClean { return nil }
            if isWhole { return String(decoding: bytes, as: UTF8.self) }
            capacity *= 4
        }
        return nil
    }
}
