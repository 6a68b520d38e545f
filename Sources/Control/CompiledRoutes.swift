// All routes of a configuration, compiled, and the routers that find them.
//
// Routes that can never win are errors. What is the same as in the configuration before is taken over: ten thousand
// routes are compiled once, not with every line that changes.

import Configuration
import Proxy
import WeirHTTPModel
import WeirRouting

/// Routes compiled from a configuration, independent of any running process: what a snapshot, `weir
/// check` and `weir explain` share.
public struct CompiledRoutes: Sendable {
    public struct Compiled: Sendable {
        public var rule: RouteRule
        public var action: CompiledAction
        public var rewrite: Rewrite?
        public var location: LocationRule?
        public var cookies: CookieRule?
        public var requestRules: FieldRules?
        public var responseRules: FieldRules?
        public var errors: ErrorPlan?
    }
    public enum CompiledAction: Sendable {
        case service(String)
        case redirect(Template, UInt16)
        case respond(UInt16, StaticBytes, StaticBytes)
        case close
    }
    /// One per route of the configuration, in its order.
    public var routes: [Compiled] = []
    /// For each route the one of the configuration before that is the same in everything, files included; -1: none.
    private(set) var kept: [Int32] = []
    /// Per HTTP listener its router, and for each of its rules the index of the route. Listeners with the
    /// same routes share one.
    private var routers: [String: (router: Router, indexes: [Int32])] = [:]
    /// Per HTTP listener what is sent in place of errors, by its own word or that of the top level.
    private(set) var errors: [String: ErrorPlan] = [:]
    /// Which records are logged; nil: all.
    private(set) var accessLogCondition: RequestCondition?
    /// One of them stands for answers of endpoints, too.
    private(set) var listenersReplaceAnswers = false
    /// The parts of `errors`: of the top level, and of listeners.
    private var topErrors: ErrorPlan?
    private var ownErrors: [String: ErrorPlan] = [:]
    /// What stands in the files of error pages, by path.
    private var pageFiles: [String: StaticBytes] = [:]

    /// A configuration that was right, and what was made of it.
    typealias Known = (configuration: Configuration, compiled: CompiledRoutes)

    /// Compiles all routes; every error of every route is reported.
    public static func compile(_ configuration: Configuration, file: String) -> (
        CompiledRoutes, [ConfigurationError]
    ) {
        compile(configuration, file: file, keeping: nil)
    }

    /// - Parameter old: what is the same as there is not made again.
    static func compile(_ configuration: Configuration, file: String, keeping old: Known?) -> (
        CompiledRoutes, [ConfigurationError]
    ) {
        var errors: [ConfigurationError] = []
        var compiled = CompiledRoutes()
        var doubtful: Set<Int32> = []
        let pages = ErrorPageCompiler(file: file, known: old?.compiled.pageFiles ?? [:])
        let earlier = old.map { EarlierRoutes($0) }
        for (index, route) in configuration.routes.enumerated() {
            if let same = earlier?.same(as: route) {
                var taken = same.compiled
                taken.errors = pages.compile(route.errors, keeping: taken.errors, &errors)
                compiled.kept.append(taken.errors === same.compiled.errors ? same.index : -1)
                compiled.routes.append(taken)
                continue
            }
            let before = errors.count
            compiled.routes.append(RouteCompiler(route: route, file: file).compile(&errors))
            if route.isFaulty || errors.count > before { doubtful.insert(Int32(index)) }
            compiled.routes[index].errors = pages.compile(route.errors, &errors)
            compiled.kept.append(-1)
        }
        compiled.compileErrors(configuration, pages, keeping: old, &errors)
        compiled.pageFiles = pages.files
        compiled.listenersReplaceAnswers = compiled.errors.values.contains(where: \.replacesAnswers)
        for text in configuration.services.flatMap({ $0.files?.candidates ?? [] }) {
            _ = checked(text.asTemplate, file, &errors, FileCandidate.parse)
        }
        compiled.accessLogCondition = configuration.accessLog?.when.flatMap {
            compileCondition($0, known: .end, file, &errors)
        }
        var shared: [[Int32]: Router] = [:]
        for (listener, indexes) in indexes(configuration, leavingOut: doubtful) {
            let router =
                shared[indexes] ?? compiled.router(as: listener, in: old, for: indexes, configuration)
                ?? Router(indexes.map { compiled.routes[Int($0)].rule })
            shared[indexes] = router
            compiled.routers[listener] = (router, indexes)
        }
        errors += compiled.unreachable(configuration, Array(shared), file: file)
        return (compiled, errors)
    }

    /// What is sent in place of errors by listeners and by the top level.
    private mutating func compileErrors(
        _ configuration: Configuration, _ pages: ErrorPageCompiler, keeping old: Known?,
        _ errors: inout [ConfigurationError]
    ) {
        func compile(_ new: [ErrorPage], _ before: [ErrorPage]?, _ plan: ErrorPlan?) -> ErrorPlan? {
            pages.compile(new, keeping: before == new ? plan : nil, &errors)
        }
        topErrors = compile(configuration.errors, old?.configuration.errors, old?.compiled.topErrors)
        let before = Dictionary(
            (old?.configuration.listeners ?? []).map { ($0.name.value, $0.errors) },
            uniquingKeysWith: { first, _ in first })
        for listener in configuration.listeners where listener.protocol == .http {
            let name = listener.name.value
            let own = compile(listener.errors, before[name], old?.compiled.ownErrors[name])
            ownErrors[name] = own
            if let old, own === old.compiled.ownErrors[name], topErrors === old.compiled.topErrors {
                self.errors[name] = old.compiled.errors[name] ?? topErrors
            } else {
                self.errors[name] =
                    if let own, let topErrors { ErrorPlan(own, before: topErrors) } else { own ?? topErrors }
            }
        }
    }

    /// The router a listener had, if it finds the same routes by the same rules in the same order.
    private func router(
        as listener: String, in old: Known?, for indexes: [Int32], _ configuration: Configuration
    ) -> Router? {
        guard let old, let (router, places) = old.compiled.routers[listener], places.count == indexes.count
        else { return nil }
        let isSame = zip(indexes, places).allSatisfy { new, place in
            if kept[Int(new)] == place { return true }
            let route = configuration.routes[Int(new)]
            let before = old.configuration.routes[Int(place)]
            return route.name == before.name && route.match == before.match
        }
        return isSame ? router : nil
    }

    /// Per HTTP listener the indexes of its routes.
    private static func indexes(
        _ configuration: Configuration, leavingOut doubtful: Set<Int32>
    ) -> [String: [Int32]] {
        var lists: [String: [Int32]] = [:]
        for listener in configuration.listeners where listener.protocol == .http {
            lists[listener.name.value] = []
        }
        let all = Array(lists.keys)
        for (index, route) in configuration.routes.enumerated() where !doubtful.contains(Int32(index)) {
            for name in route.listeners.isEmpty ? all : Array(Set(route.listeners.map(\.value))) {
                lists[name]?.append(Int32(index))
            }
        }
        return lists
    }

    /// Routes that win on none of their listeners. By name: a route that inherits different things from its
    /// listeners stands here once for each.
    private func unreachable(
        _ configuration: Configuration, _ routers: [(key: [Int32], value: Router)], file: String
    ) -> [ConfigurationError] {
        var places: [String: Int] = [:]
        var lost: [String: (times: Int, route: Int32, by: Int32)] = [:]
        for (indexes, router) in routers {
            for index in indexes { places[configuration.routes[Int(index)].name.value, default: 0] += 1 }
            for found in router.unreachable {
                let name = configuration.routes[Int(indexes[found.route])].name.value
                lost[name, default: (0, indexes[found.route], indexes[found.shadowedBy])].times += 1
            }
        }
        return lost.filter { places[$0.key] == $0.value.times }.values.sorted { $0.route < $1.route }.map {
            let route = configuration.routes[Int($0.route)]
            let other = configuration.routes[Int($0.by)]
            return ConfigurationError(
                "route \"\(route.name.value)\" can never match", at: route.name.origin, file: file,
                expectation: "route \"\(other.name.value)\" before it matches everything it would")
        }
    }

    /// The router of an HTTP listener, and for each of its rules the index of the route.
    public func router(for listener: String) -> (Router, [Int32]) {
        routers[listener] ?? (Router([]), [])
    }
}

/// The routes of the configuration before, by name.
private struct EarlierRoutes {
    private let known: CompiledRoutes.Known
    /// A route that inherits different things from its listeners stands there once for each.
    private var places: [String: [Int32]] = [:]

    init(_ known: CompiledRoutes.Known) {
        self.known = known
        places.reserveCapacity(known.configuration.routes.count)
        for (index, route) in known.configuration.routes.enumerated() {
            places[route.name.value, default: []].append(Int32(index))
        }
    }

    func same(as route: Route) -> (index: Int32, compiled: CompiledRoutes.Compiled)? {
        places[route.name.value]?.first { known.configuration.routes[Int($0)] == route }.map {
            ($0, known.compiled.routes[Int($0)])
        }
    }
}
