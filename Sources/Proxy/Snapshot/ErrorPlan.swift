// What is sent in place of errors, compiled: by status, then by what the client takes, or by whom it is asked for.

import WeirHTTPModel
import WeirRouting

/// The `errors` of one place of the configuration, or of several of which the first that knows a status
/// decides. Immutable.
public final class ErrorPlan: Sendable {
    private struct Level: Sendable {
        var exact: [UInt16: PagePlan] = [:]
        /// By the first digit.
        var classes: [UInt16: PagePlan] = [:]
    }
    private let levels: [Level]
    /// Some of them stand for answers of endpoints as well.
    public var replacesAnswers: Bool {
        levels.contains { level in
            level.exact.values.contains(where: \.replacesAnswers)
                || level.classes.values.contains(where: \.replacesAnswers)
        }
    }

    /// - Parameter classes: by the first digit of their statuses.
    public init(exact: [UInt16: PagePlan], classes: [UInt16: PagePlan]) {
        levels = [Level(exact: exact, classes: classes)]
    }

    /// The plan of one place, and behind it that of a wider one.
    public init(_ plan: ErrorPlan, before wider: ErrorPlan) { levels = plan.levels + wider.levels }

    private init(levels: [Level]) { self.levels = levels }

    /// What stands for this status; nil: nothing does.
    public subscript(status: UInt16) -> PagePlan? {
        for level in levels {
            if let page = level.exact[status] ?? level.classes[status / 100] { return page }
        }
        return nil
    }

    /// The same plan with other pages.
    public func mapPages(_ change: (PagePlan) -> PagePlan) -> ErrorPlan {
        ErrorPlan(
            levels: levels.map { level in
                Level(exact: level.exact.mapValues(change), classes: level.classes.mapValues(change))
            })
    }
}

/// What is sent in place of one error.
public struct PagePlan: Sendable {
    public enum Source: Sendable {
        case bodies(PageBodies)
        /// Another service has it.
        case service(ServicePage)
    }

    public var source: Source
    /// It also stands for answers of endpoints.
    let replacesAnswers: Bool

    public init(_ source: Source, replacesAnswers: Bool) {
        self.source = source
        self.replacesAnswers = replacesAnswers
    }
}

/// A page that is known, in its forms.
public struct PageBodies: Sendable {
    public enum Content: Sendable {
        case template(Template)
        /// `coded` where the route compresses.
        case fixed(StaticBytes, coded: CodedBodies?)
    }
    public struct Body: Sendable {
        /// Whom it is for; nil: everybody.
        public var form: ContentForm?
        /// Content-Type.
        public var type: StaticBytes
        public var content: Content

        public init(form: ContentForm?, type: StaticBytes, content: Content) {
            self.form = form
            self.type = type
            self.content = content
        }
    }

    /// Most bytes of a body.
    public static let bytesMax = 256 << 10

    /// In order of preference; at least one.
    private let bodies: [Body]
    /// Which body is sent depends on the client.
    var isChosen: Bool { bodies.count > 1 }

    /// - Parameter bodies: at least one, in the order of their forms.
    public init(_ bodies: [Body]) {
        precondition(!bodies.isEmpty)
        self.bodies = bodies
    }

    /// The body for a request; without one, that for clients that say nothing.
    func body(for request: RequestView?) -> Body {
        guard isChosen, let request else { return bodies[0] }
        let form = AcceptedForms(of: request).choice { form in bodies.contains { $0.form == form } }
        return bodies.first { $0.form == form } ?? bodies[0]
    }

    /// The same with fixed bodies in the codings of a route.
    public func coded(_ code: (StaticBytes) -> CodedBodies) -> PageBodies {
        PageBodies(
            bodies.map { body in
                guard case .fixed(let bytes, _) = body.content else { return body }
                return Body(form: body.form, type: body.type, content: .fixed(bytes, coded: code(bytes)))
            })
    }
}

/// A page that a service is asked for.
public struct ServicePage: Sendable {
    public let service: String
    /// Known from when a snapshot is built.
    public var serviceID = -1
    let path: Template
    /// Longest wait for the head of its response, all attempts together, and longest pause within it.
    let timeoutMs: UInt64

    public init(service: String, path: Template, timeoutMs: UInt64) {
        self.service = service
        self.path = path
        self.timeoutMs = timeoutMs
    }
}
