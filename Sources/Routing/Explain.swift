// Why a request took its route: what `weir explain` prints. Same walk as live routing; not hot.

import WeirExpressions
import WeirHTTPModel

/// One route as it was looked at for a request.
public struct RouteTrial: Sendable, Equatable {
    public enum Outcome: Sendable, Equatable, CustomStringConvertible {
        /// This route takes the request.
        case won
        /// It fits, but a more specific (or earlier) one won.
        case outranked
        case host
        case path
        case method
        /// The condition that does not hold, for example "header x-tenant".
        case condition(String)
        /// `when` does not hold.
        case when
        /// A regular expression reached its limits; no further route was tried.
        case expressionFailed

        public var description: String {
            switch self {
            case .won: "won"
            case .outranked: "fits, but a more specific route won"
            case .host: "host does not match"
            case .path: "path does not match"
            case .method: "method does not match"
            case .condition(let subject): "\(subject) does not match"
            case .when: "when does not hold"
            case .expressionFailed: "a regular expression reached its limits"
            }
        }
    }

    /// Index of the rule.
    public var route: Int
    public var name: String
    /// The pattern in question; empty for routes whose host or path do not fit.
    public var host: String
    public var path: String
    public var outcome: Outcome
    /// How `when` was judged; nil where there is none, or something before it did not fit.
    public var when: ConditionTrace?
}

private struct Recorder: TrialObserver {
    static var seesAll: Bool { true }
    var hosts: [Int32] = []
    var trials: [(candidate: Candidate, host: Int32, verdict: Verdict)] = []

    mutating func entered(host: Int32) { hosts.append(host) }
    mutating func tried(_ candidate: Candidate, host: Int32, _ verdict: Verdict) {
        trials.append((candidate, host, verdict))
    }
}

extension Router {
    /// Every route in the order it is tried and why it lost; then those whose host or path do not fit,
    /// in order of declaration. Allocates.
    public func explain(_ request: RequestView, context: UnsafePointer<RequestContext>? = nil)
        -> [RouteTrial]
    {
        trials(request, context, traced: true)
    }

    private func trials(
        _ request: RequestView, _ context: UnsafePointer<RequestContext>?, traced: Bool
    ) -> [RouteTrial] {
        // The walk does not own it, and the path it walks may lie in it.
        let scratch = RouteScratch()
        var walk = RouteWalk(tables, request, scratch, context, Recorder())
        _ = withExtendedLifetime(scratch) { walk.run() }
        let patterns = Dictionary(uniqueKeysWithValues: hostIndexes.map { ($0.value, $0.key) })
        var hasWon = false
        var result: [RouteTrial] = []
        for (candidate, host, verdict) in walk.observer.trials {
            let rule = rules[Int(candidate.route)]
            let outcome: RouteTrial.Outcome
            switch verdict {
            case .matched:
                outcome = hasWon ? .outranked : .won
                hasWon = true
            case .method: outcome = .method
            case .condition(let index):
                outcome =
                    Int(index) < rule.conditions.count
                    ? .condition(rule.conditions[Int(index)].subject) : .when
            case .failed: outcome = .expressionFailed
            }
            var when: ConditionTrace?
            // Not where something before it did not fit.
            if case .condition = verdict, outcome != .when {
            } else if traced, let context {
                when = rule.when?.trace(context)
            }
            let path = rule.paths.isEmpty ? PathPattern.all : rule.paths[Int(candidate.path)]
            result.append(
                RouteTrial(
                    route: Int(candidate.route), name: rule.name,
                    host: patterns[host]?.description ?? "*", path: path.text, outcome: outcome, when: when))
        }
        let tried = Set(walk.observer.trials.map { Int($0.candidate.route) })
        for (index, rule) in rules.enumerated() where !tried.contains(index) {
            let hosts = rule.hosts.isEmpty ? [HostPattern.any] : rule.hosts
            let isHost = hosts.contains { walk.observer.hosts.contains(hostIndexes[$0] ?? -1) }
            result.append(
                RouteTrial(route: index, name: rule.name, host: "", path: "", outcome: isHost ? .path : .host)
            )
        }
        return result
    }

    /// The methods of the routes that match a request in everything but the method: the `Allow` field of
    /// a 405 (RFC 9110 §15.5.6). In the order of specificity, without duplicates. Allocates.
    public func allowedMethods(_ request: RequestView, context: UnsafePointer<RequestContext>? = nil)
        -> [String]
    {
        var result: [String] = []
        for trial in trials(request, context, traced: false) where trial.outcome == .method {
            for method in rules[trial.route].methods where !result.contains(method) { result.append(method) }
        }
        return result
    }
}
