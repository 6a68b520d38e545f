// What a request would meet, found by the code that serves requests.
//
// The request is written out as bytes and read by the data plane's parser with the listener's limits,
// matched by the listener's router, and its templates are rendered as for a real exchange. Nothing is
// sent anywhere. What only a real exchange has stands in angle brackets: <request-id>, <endpoint>.

import Configuration
import WeirHTTP1
import WeirHTTPModel
import Proxy
import Reactor
import WeirResilience
import WeirRouting
import Telemetry

/// Explains requests against one configuration.
public struct Explainer: Sendable {
    private let configuration: Configuration
    private let compiled: CompiledRoutes
    private let file: String
    /// Of the running process; nil for a file.
    private let live: (snapshot: Snapshot, names: [String: NameTracker])?

    /// - Parameter compiled: from the same configuration.
    public init(_ configuration: Configuration, _ compiled: CompiledRoutes, file: String) {
        self.init(configuration, compiled, file: file, live: nil)
    }

    init(
        _ configuration: Configuration, _ compiled: CompiledRoutes, file: String,
        live: (snapshot: Snapshot, names: [String: NameTracker])?
    ) {
        self.configuration = configuration
        self.compiled = compiled
        self.file = file
        self.live = live
    }

    public func explain(_ question: ExplainQuestion) -> Explanation {
        let head = question.headText()
        var explanation = Explanation(
            question: question, file: file, generation: live?.snapshot.generation ?? 0,
            request: head.split(separator: "\r\n").map(String.init))
        for listener in configuration.listeners where listener.protocol == .http {
            explanation.listeners.append(explain(Array(head.utf8), question.client, listener))
        }
        return explanation
    }

    private func explain(_ head: [UInt8], _ peer: IPAddress, _ listener: Listener) -> ListenerExplanation {
        var result = ListenerExplanation(
            name: listener.name.value, line: listener.name.origin.line,
            addresses: listener.addresses.map(\.text.shown), outcome: .refused(Self.refusal(.internalLimit)))
        let parser = RequestParser(limits: SnapshotBuilder.headLimits(listener))
        var request = RequestHead()
        var refusing: Route?
        withUnsafeTemporaryAllocation(of: Field.self, capacity: parser.limits.fieldsMax) { fields in
            head.withUnsafeBufferPointer { bytes in
                guard let base = bytes.baseAddress, let table = fields.baseAddress else { return }
                switch parser.parse(base, count: bytes.count, fields: table, into: &request) {
                case .complete:
                    // As the data plane keeps it: the path's normal form stands behind the head.
                    let path = Int(request.path.count)
                    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: bytes.count + path) { kept in
                        guard let start = kept.baseAddress else { return }
                        start.update(from: base, count: bytes.count)
                        if request.pathTraits.needWriting {
                            request.path = ByteRange(
                                bytes.count,
                                PathForm.write(
                                    base + Int(request.path.offset), path, into: start + bytes.count)
                            )
                        }
                        withUnsafePointer(to: request) { request in
                            let view = RequestView(bytes: start, head: request, fields: UnsafePointer(table))
                            refusing = explain(view, peer, listener, &result)
                        }
                    }
                case .incomplete:
                    result.outcome = .refused(
                        Self.refusal(.requestHeadTimeout, "the head has no end, Weir would wait for it"))
                case .malformed(let violation, let at):
                    var refusal = Self.refusal(Reason(violation), violation.text.description)
                    refusal.section = violation.section.description
                    refusal.position = at
                    result.outcome = .refused(refusal)
                case .tooLarge(let limit):
                    result.outcome = .refused(Self.refusal(Reason(limit), Self.text(limit, listener.limits)))
                }
            }
        }
        if case .refused(var refusal) = result.outcome {
            refusal.page = page(for: refusal.status, route: refusing, listener)
            result.outcome = .refused(refusal)
        }
        return result
    }

    /// - Returns: the route that refuses, where one does.
    private func explain(
        _ view: RequestView, _ peer: IPAddress, _ listener: Listener, _ result: inout ListenerExplanation
    ) -> Route? {
        let client = ClientAddress(
            peer: peer, request: view,
            trusted: trusted)
        result.client = ClientExplanation(address: "\(client.address)", text: Self.text(client, peer))
        let (router, indexes) = router(listener)
        let origin = client.origin(of: view, isSecure: listener.tls != nil)
        var match = RouteMatch()
        var allowed: [String] = []
        let isFound = withContext(view, client.address, origin, listener) { context in
            result.trials = router.explain(view, context: context).map { trial in
                let route = configuration.routes[Int(indexes[trial.route])]
                return TrialExplanation(
                    route: trial.name, line: route.name.origin.line,
                    host: Self.shown(trial.host, route.match.hosts),
                    path: Self.shown(trial.path, route.match.paths),
                    won: trial.outcome == .won, text: trial.outcome.description,
                    when: route.match.when.flatMap { Self.explained($0, trial) })
            }
            let isFound = router.match(view, scratch: RouteScratch(), context: context, into: &match)
            if match.methodMismatch { allowed = router.allowedMethods(view, context: context) }
            return isFound
        }
        let isConnect = view.head.pointee.method == .connect
        guard isFound else {
            if isConnect {
                result.outcome = .refused(Self.refusal(.connectNotAllowed, "no route allows CONNECT here"))
                return nil
            }
            result.outcome = .refused(Self.unrouted(match, allowed))
            return nil
        }
        let index = Int(indexes[Int(match.route)])
        let route = configuration.routes[index]
        if let reason = refusedUpgrade(view, route) {
            let what = isConnect ? "connect" : "this protocol"
            result.outcome = .refused(
                Self.refusal(
                    reason,
                    "route \"\(route.name.value)\" matches, but \(what) is not among its upgrades (\(route.upgrades.joined(separator: ", ")))"
                ))
            return route
        }
        let exchange = ExplainedExchange(
            view: view, match: match, router: router, client: client.address, route: route,
            compiled: compiled.routes[index], origin: origin)
        var explained = explain(exchange)
        explained.pages = pages(route, listener).map(PageExplanation.init)
        result.outcome = .routed(explained)
        return route
    }

    private func files(of route: Route) -> ServedFiles? {
        guard case .service(let name) = route.action else { return nil }
        return configuration.services.first { $0.name.value == name.value }?.files
    }

    private var trusted: [AddressBlock] { configuration.trustedProxies.compactMap { AddressBlock($0.value) } }
    /// What conditions of routes may ask, as far as there is something to tell without a connection.
    private func withContext<Result>(
        _ view: RequestView, _ client: IPAddress, _ origin: RequestOrigin, _ listener: Listener,
        _ body: (UnsafePointer<RequestContext>) -> Result
    ) -> Result {
        let texts = ["\(client)", listener.name.value, "<request-id>", Self.now].map(StaticBytes.init(_:))
        return withExtendedLifetime(texts) {
            var context = RequestContext(request: view)
            context.origin = origin
            context.clientIP = texts[0].bytes
            if client != .unix { context.clientAddress = ClientBits(high: client.high, low: client.low) }
            context.listener = texts[1].bytes
            context.requestID = texts[2].bytes
            context.timeISO = texts[3].bytes
            return withUnsafePointer(to: context) { body($0) }
        }
    }

    private static var now: String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 40) { room in
            guard let start = room.baseAddress else { return "" }
            var writer = ByteWriter(start, capacity: room.count)
            var clock = TimestampText()
            clock.write(us: Clock.wallUs(), to: &writer)
            return String(decoding: UnsafeBufferPointer(start: start, count: writer.count), as: UTF8.self)
        }
    }

    /// A condition and how it was judged. What references in it stand for is not shown, nor what it comes to.
    private static func explained(_ when: Text, _ trial: RouteTrial) -> ConditionExplanation? {
        guard let trace = trial.when else { return nil }
        return ConditionExplanation(
            line: when.origin.line, text: when.shown,
            holds: trace.outcome == .unknown ? nil : trace.outcome == .holds,
            why: when.isSubstituted ? "" : trace.text)
    }

    // MARK: errors

    private func page(for status: UInt16, route: Route?, _ listener: Listener) -> PageExplanation? {
        pages(route, listener).first { $0.statuses.covers(Int(status)) }.map(PageExplanation.init)
    }

    /// What is sent in place of errors, in the order in which it is looked for.
    private func pages(_ route: Route?, _ listener: Listener) -> [ErrorPage] {
        var pages: [ErrorPage] = []
        for level in [route?.errors ?? [], listener.errors, configuration.errors] {
            let exact = level.filter { if case .one = $0.statuses { true } else { false } }
            let classes = level.filter { if case .all = $0.statuses { true } else { false } }
            // Those of narrower places leave nothing to some of these.
            pages += (exact + classes).filter { page in
                !pages.contains { $0.statuses.covers(page.statuses) }
            }
        }
        return pages
    }

    /// Why the data plane would not let this client change protocols, nil when it would, or is not asked to.
    private func refusedUpgrade(_ view: RequestView, _ route: Route) -> Reason? {
        let isService = if case .service = route.action { true } else { false }
        if view.head.pointee.method == .connect {
            return isService && route.upgrades.contains("connect") ? nil : .connectNotAllowed
        }
        // Files change no protocol: where there is one, it is the answer.
        if case .service(let name) = route.action,
            configuration.services.contains(where: { $0.name.value == name.value && $0.files != nil })
        {
            return nil
        }
        guard isService, route.refusesOtherUpgrades, view.head.pointee.wantsUpgrade, !view.asksForH2C else {
            return nil
        }
        let token = view.field(named: "upgrade").map { String(decoding: $0, as: UTF8.self).lowercased() }
        return route.upgrades.contains(token ?? "") ? nil : .upgradeNotAllowed
    }

    private func router(_ listener: Listener) -> (Router, [Int32]) {
        let name = listener.name.value
        if let plan = live?.snapshot.listeners.first(where: { $0?.name.description == name }), let plan {
            return (plan.router, plan.routeIndexes)
        }
        return compiled.router(for: name)
    }

    // MARK: the route

    private func explain(_ exchange: ExplainedExchange) -> RouteExplanation {
        let route = exchange.route
        var result = RouteExplanation(
            name: route.name.value, line: route.name.origin.line, action: action(exchange))
        result.captures = exchange.captures
        result.requestChanges = exchange.changes(exchange.compiled.requestRules, route.headers.request)
        result.responseChanges = exchange.changes(exchange.compiled.responseRules, route.headers.response)
        if case .service = route.action { result.settings = Settings.of(route) }
        result.policies = RoutePolicies.of(
            PolicyInput(
                route: route, compiled: exchange.compiled, trusted: trusted, files: files(of: route))
        ).map(PolicyExplanation.init)
        return result
    }

    private func action(_ exchange: ExplainedExchange) -> ActionExplanation {
        switch (exchange.route.action, exchange.compiled.action) {
        case (.redirect(let redirect), .redirect(let template, let status)):
            return .redirect(
                status: Int(status), location: exchange.render(template, redirect.to),
                line: redirect.to.origin.line)
        case (.respond(let response), _):
            return .respond(
                status: response.status, type: response.type.shown, body: response.body.shown,
                line: response.body.origin.line)
        case (.service(let name), _):
            return .service(service(name, exchange))
        case (.close, _):
            return .close
        case (.redirect(let redirect), _):
            return .redirect(
                status: redirect.status, location: redirect.to.shown, line: redirect.to.origin.line)
        }
    }

    private func service(_ name: Text, _ exchange: ExplainedExchange) -> ServiceExplanation {
        let service = configuration.services.first { $0.name.value == name.value } ?? Service(name: name)
        var result = ServiceExplanation(
            name: name.value, line: service.name.origin.line,
            balance: service.files == nil ? service.balance.rawValue : "files",
            endpoints: service.endpoints.map { endpoint in
                var resolved: [String]?
                if let live, case .name(let host, let port) = endpoint.address.kind {
                    resolved = (live.names[host]?.addresses ?? []).map {
                        SocketAddress.ip($0, port: port).description
                    }
                }
                return EndpointExplanation(
                    address: endpoint.address.text.shown, weight: endpoint.weight,
                    line: endpoint.address.text.origin.line, resolved: resolved)
            },
            target: exchange.target(), isRewritten: exchange.route.rewrite != nil,
            rewriteLine: exchange.rewriteLine, settings: service.files == nil ? Settings.of(service) : [],
            root: service.files?.root.shown)
        if let files = service.files { look(files, exchange, &result) }
        return result
    }

    /// Looks for the file as the data plane does.
    private func look(_ files: ServedFiles, _ exchange: ExplainedExchange, _ result: inout ServiceExplanation)
    {
        let plan = FilesPlan(files)
        func answer() -> String {
            switch files.otherwise {
            case .service(let name):
                result.next = [service(name, exchange)]
                return "service \(name.value)"
            case .status(let status): return "\(status) \(Reason.fileNotFound.name)"
            }
        }
        func tell(_ candidate: Text, _ text: String) {
            result.tried.append(
                TriedExplanation(candidate: candidate.shown, line: candidate.origin.line, text: text))
        }
        let method = exchange.view.head.pointee.method
        guard method == .get || method == .head else {
            if case .service = files.otherwise {
                tell(Text("any"), "files answer GET and HEAD only: \(answer())")
            } else if method != .options {
                tell(Text("any"), "files answer GET, HEAD and OPTIONS only: 405 file-method-not-allowed")
            }
            return
        }
        let tree = plan.openRoot()
        guard tree.fd >= 0 else {
            tell(files.root, "\(FileError(code: -tree.fd))")
            return
        }
        defer { tree.close() }
        let texts = files.candidates + (files.fallback.map { [$0] } ?? [])
        for (candidate, text) in zip(plan.candidates, texts) {
            switch exchange.look(at: candidate, plan, tree) {
            case .missing:
                tell(text, "no file")
                continue
            case .found(let path): tell(text, "\(files.root.shown)/\(text.isSubstituted ? text.shown : path)")
            case .folder: tell(text, "a folder: 301 to it with a slash")
            case .failed(let error): tell(text, "not served: \(error)")
            }
            return
        }
        tell(Text("none"), answer())
    }

    // MARK: refusals

    private static func refusal(_ reason: Reason, _ text: String = "") -> Refusal {
        Refusal(status: reason.status, reason: reason.name.description, text: text)
    }

    private static func unrouted(_ match: RouteMatch, _ allowed: [String]) -> Refusal {
        if match.isAmbiguous {
            var refusal = refusal(
                .requestMalformed,
                "\(Violation.pathAmbiguous.text): with its slashes merged, or its encoded slashes decoded, it leads to another route"
            )
            refusal.section = Violation.pathAmbiguous.section.description
            return refusal
        }
        if match.expressionFailed {
            return refusal(.internalLimit, "a regular expression reached its limits, no route is guessed")
        }
        guard match.methodMismatch else { return refusal(.routeNotFound, "no route matches") }
        var refusal = refusal(.methodNotAllowed, "a route matches in everything but the method")
        refusal.allow = allowed
        return refusal
    }

    private static func text(_ limit: HeadLimit, _ limits: Listener.Limits) -> String {
        switch limit {
        case .bytes: "the head is longer than \(limits.headBytes) bytes"
        case .fields: "the head has more than \(limits.fields) fields"
        case .target: "the target is longer than \(limits.targetBytes) bytes"
        case .fieldName: "a field name is longer than \(HeadLimits().fieldNameBytesMax) bytes"
        }
    }

    /// A pattern of a route as it may be shown: what references stand for is not.
    private static func shown(_ pattern: String, _ written: [Text]) -> String {
        let plain = written.contains { !$0.isSubstituted && $0.value.lowercased() == pattern.lowercased() }
        return plain ? pattern : written.first { $0.isSubstituted }?.shown ?? pattern
    }

    private static func text(_ client: ClientAddress, _ peer: IPAddress) -> String {
        switch client.end {
        case .peerNotTrusted: "the peer, which is not a trusted proxy"
        case .untrusted: "told by trusted proxies; the peer is \(peer)"
        case .allTrusted:
            client.isFromPeer
                ? "the peer, a trusted proxy that names no client"
                : "the first of trusted proxies; the peer is \(peer)"
        case .hidden: "as far as trusted proxies tell: one hides the address before it"
        case .malformed: "as far as trusted proxies tell: what stands before it cannot be read"
        case .tooManyHops: "the walk ended after \(ClientAddress.hopsMax) trusted proxies"
        }
    }
}

extension PageExplanation {
    fileprivate init(_ page: ErrorPage) {
        self.init(
            statuses: page.statuses.text,
            bodies: Self.contents(page.source), replacesAnswers: page.replacesAnswers, line: page.origin.line)
    }

    private static func contents(_ source: ErrorPage.Source) -> [String] {
        switch source {
        case .service(let page): ["service \(page.name.shown) \(page.path.shown)"]
        case .bodies(let bodies):
            bodies.map { body in
                let content =
                    switch body.content {
                    case .text(let text): "\(text.shown.utf8.count) bytes"
                    case .file(let path): path.shown
                    }
                return (body.form.map { "\($0): " } ?? "") + content
            }
        }
    }
}

extension ExplainQuestion {
    /// The request as bytes on the wire. Nothing is repaired: what the question has wrong is refused
    /// by the parser as it would be from a client. A fragment is not cut off either.
    func headText() -> String {
        var rest = url[...]
        var authority: Substring?
        for scheme in ["http://", "https://"] where rest.lowercased().hasPrefix(scheme) {
            rest = rest.dropFirst(scheme.count)
            authority = rest.prefix { !"/?#".contains($0) }
        }
        if authority == nil, !rest.hasPrefix("/"), rest != "*", method != "CONNECT" {
            authority = rest.prefix { !"/?#".contains($0) }
        }
        if let authority { rest = rest.dropFirst(authority.count) }
        if rest.isEmpty || rest.hasPrefix("?") { rest = "/" + rest }
        var text = "\(method) \(rest) HTTP/1.1\r\n"
        if !headers.contains(where: { $0.name.lowercased() == "host" }) {
            let host = authority ?? (method == "CONNECT" ? rest : "localhost")
            text += "Host: \(host)\r\n"
        }
        for header in headers { text += "\(header.name): \(header.value)\r\n" }
        return text + "\r\n"
    }
}

/// A request that found its route.
private struct ExplainedExchange {
    let view: RequestView
    let match: RouteMatch
    let router: Router
    let client: IPAddress
    let route: Route
    let compiled: CompiledRoutes.Compiled
    let origin: RequestOrigin

    /// Room for one rendered text.
    private static let textBytesMax = 128 << 10

    var captures: [RouteExplanation.Capture] {
        (0..<Int(match.captureCount)).map { i in
            RouteExplanation.Capture(
                name: router.captureName(match.captures[i]),
                value: match.captures[i].range.text(in: view.bytes))
        }
    }

    var rewriteLine: Int {
        switch route.rewrite {
        case nil: 0
        case .path(let text): text.origin.line
        case .prefix(let from, _): from.origin.line
        case .pattern(let pattern, _): pattern.origin.line
        }
    }

    /// The rewrite with references as they were written.
    private var shownRewrite: Rewrite? {
        switch (route.rewrite, compiled.rewrite) {
        case (.path(let text), .target(let template)):
            .target(text.isSubstituted ? (try? Template.parse(text.shownTemplate)) ?? template : template)
        case (.prefix(let from, let to), .prefix) where to.isSubstituted:
            .prefix(.showing(to.shown, from: from.value))
        case (.pattern(_, let with), .part(let part)) where with.isSubstituted:
            (try? Template.parse(with.shownTemplate)).map {
                .part(WeirRouting.Substitution(part.expression, with: $0))
            }
        default: compiled.rewrite
        }
    }

    /// What goes to the service, as it may be shown.
    func target() -> String { target(shownRewrite) }

    private func target(_ rewrite: Rewrite?) -> String {
        written { writer in
            let outcome = UpstreamTarget.write(
                view.head.pointee, view.bytes, rewrite, scratch: RouteScratch(), into: &writer
            ) { template, groups, writer in
                render(template, &writer, groups: groups)
            }
            switch outcome {
            case .written: break
            case .limitReached: writer.append("<the expression reaches its limits>")
            case .dotSegment: writer.append(" <a dot segment: 400>")
            }
        }
    }

    /// What references stand for is not shown: the text is rendered as it was written.
    func render(_ template: Template, _ text: Text) -> String {
        let shown = text.isSubstituted ? (try? Template.parse(text.shownTemplate)) : template
        return written { render(shown ?? template, &$0) }
    }

    enum Look {
        case found(String)
        case folder, missing
        case failed(FileError)
    }

    /// What one candidate of a folder comes to for this request.
    func look(at candidate: FileCandidate, _ plan: FilesPlan, _ tree: FileTree) -> Look {
        var path = Array(target(compiled.rewrite).utf8.prefix { $0 != UInt8(ascii: "?") })
        if path.isEmpty { path = [UInt8(ascii: "/")] }
        let received = view.head.pointee.path.bytes(in: view.bytes)
        return path.withUnsafeBufferPointer { path in
            withUnsafeTemporaryAllocation(
                of: UInt8.self, capacity: FileSearch.nameBytes + FileSearch.textBytes
            ) { room in
                guard let name = room.baseAddress else { return .missing }
                let search = FileSearch(
                    plan, tree, path: path,
                    redirects: received.last != UInt8(ascii: "/") && !received.isEmpty
                        && (compiled.rewrite?.keepsFolders ?? true),
                    name: name, text: name + FileSearch.nameBytes)
                switch search.look(at: candidate, render: { render($0, &$1) }) {
                case .found(let file, let count):
                    file.close()
                    return .found(
                        String(decoding: UnsafeBufferPointer(start: name, count: count), as: UTF8.self))
                case .folder: return .folder
                case .failed(let error): return .failed(FileError(code: error))
                case .missing: return .missing
                }
            }
        }
    }

    func changes(_ rules: FieldRules?, _ written: Route.Changes) -> [FieldChange] {
        guard let rules else { return [] }
        var changes = self.written(written.remove)
        for field in written.replace {
            changes.append(
                FieldChange(
                    kind: .replace, name: field.name.value,
                    value: "\(field.pattern.shown) → \(field.with.shown)",
                    line: field.name.origin.line))
        }
        for (rule, field) in zip(rules.set, written.set) { changes.append(change(.set, rule, field)) }
        for (rule, field) in zip(rules.add, written.add) { changes.append(change(.add, rule, field)) }
        return changes
    }

    private func written(_ removed: [Text]) -> [FieldChange] {
        removed.map { FieldChange(kind: .remove, name: $0.shown, value: "", line: $0.origin.line) }
    }

    private func change(
        _ kind: FieldChange.Kind, _ rule: FieldRules.Rule, _ field: Route.Changes.Field
    ) -> FieldChange {
        FieldChange(
            kind: kind, name: field.name.value, value: render(rule.value, field.value),
            line: field.name.origin.line)
    }

    private func written(_ body: (inout ByteWriter) -> Void) -> String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.textBytesMax) { room in
            guard let start = room.baseAddress else { return "" }
            var writer = ByteWriter(start, capacity: room.count)
            body(&writer)
            let text = String(decoding: UnsafeBufferPointer(start: start, count: writer.count), as: UTF8.self)
            return writer.overflowed ? text + "…" : text
        }
    }

    private func render(
        _ template: Template, _ writer: inout ByteWriter, groups: UnsafePointer<MatchedGroups>? = nil
    ) {
        withUnsafePointer(to: match) { match in
            let texts = [
                client.description, route.name.value, service, "<request-id>",
                service.isEmpty ? "" : "<endpoint>",
            ].map(StaticBytes.init(_:))
            withExtendedLifetime(texts) {
                var context = RequestContext(request: view)
                context.match = match
                context.origin = origin
                context.groups = groups
                context.captureNames = router.captureNames
                context.clientIP = texts[0].bytes
                context.route = texts[1].bytes
                context.service = texts[2].bytes
                context.requestID = texts[3].bytes
                context.endpoint = texts[4].bytes
                template.render(into: &writer, context: context)
            }
        }
    }

    private var service: String {
        if case .service(let name) = route.action { name.value } else { "" }
    }
}

/// Values in effect beside their defaults.
private enum Settings {
    static func of(_ route: Route) -> [SettingExplanation] {
        let usual = Route(name: route.name, action: route.action)
        return [
            one("timeout.head", route.timeout.headMs, usual.timeout.headMs, duration),
            one("timeout.idle", route.timeout.idleMs, usual.timeout.idleMs, duration),
            one("timeout.total", route.timeout.totalMs, usual.timeout.totalMs) { $0.map(duration) ?? "none" },
            one("retry.attempts", route.retry.attempts, usual.retry.attempts) { "\($0)" },
            one("retry.on", route.retry.on, usual.retry.on) { $0.map(text).joined(separator: ", ") },
            one("hold", route.holdBytes, usual.holdBytes, size),
            one("location", route.rewritesLocation, usual.rewritesLocation) { $0 ? "rewrite" : "off" },
            one("cookies", route.cookies, usual.cookies) { $0.text },
            one("compression", route.compression, usual.compression) { $0?.text ?? "off" },
            one("grpc-web", route.grpcWeb, usual.grpcWeb) { "\($0)" },
            one("decompress-requests", route.decompression, usual.decompression) { $0?.text ?? "off" },
        ]
    }

    static func of(_ service: Service) -> [SettingExplanation] {
        let usual = Service(name: service.name)
        return [
            one("timeout.connect", service.timeout.connectMs, usual.timeout.connectMs, duration),
            one("connections.idle", service.connections.idle, usual.connections.idle) { "\($0)" },
            one(
                "connections.idle-timeout", service.connections.idleTimeoutMs,
                usual.connections.idleTimeoutMs,
                duration),
            one("connections.max", service.connections.max, usual.connections.max) {
                $0 == 0 ? "none" : "\($0)"
            },
            one("retry-budget", service.retryBudget, usual.retryBudget) {
                "\($0.ratioPerMille / 10)% of requests and \($0.floorPerSecond)/s"
            },
            one("proxy-protocol", service.proxyProtocol, usual.proxyProtocol) { $0.rawValue },
        ]
    }

    private static func one<Value: Equatable>(
        _ name: String, _ value: Value, _ usual: Value, _ text: (Value) -> String
    ) -> SettingExplanation {
        SettingExplanation(name: name, value: text(value), isDefault: value == usual)
    }

    private static func text(_ condition: Route.Retry.Condition) -> String {
        switch condition {
        case .connect: "connect"
        case .reset: "reset"
        case .timeout: "timeout"
        case .status(let status): "\(status)"
        }
    }

    /// With the largest unit that divides it.
    private static func duration(_ ms: Int64) -> String {
        if ms == 0 { return "0s" }
        for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] as [(Int64, String)]
        where ms % unit == 0 {
            return "\(ms / unit)\(name)"
        }
        return "\(ms)ms"
    }

    private static func size(_ bytes: Int) -> String {
        if bytes == 0 { return "0" }
        for (unit, name) in [(1 << 20, "MiB"), (1 << 10, "KiB")] where bytes % unit == 0 {
            return "\(bytes / unit)\(name)"
        }
        return "\(bytes)B"
    }
}
