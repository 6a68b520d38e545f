// What a request would meet, as a value: what `weir explain` and `/api/v1/explain` show.
//
// Made by Explainer (Explain.swift), printed by Admin. Lines are those of the configuration file,
// from 1; 0 where nothing was written (a default, or a configuration without a file).

import Reactor

/// The question: one request and where it comes from.
public struct ExplainQuestion: Sendable, Equatable {
    public struct Header: Sendable, Equatable {
        public var name: String
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// As on the wire, case-sensitive.
    public var method: String
    /// "http://host/path", "host/path", "/path" or, for OPTIONS, "*".
    public var url: String
    public var headers: [Header]
    /// Where the connection comes from.
    public var client: IPAddress

    public init(
        method: String, url: String, headers: [Header] = [], client: IPAddress = IPAddress(v4: 0x7f00_0001)
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.client = client
    }
}

/// The answer, per HTTP listener.
public struct Explanation: Sendable, Equatable {
    public var question: ExplainQuestion
    /// The configuration file, "command line" without one.
    public var file: String
    /// The generation asked; 0 when it was a file.
    public var generation: UInt64
    /// The request head that was judged, one element per line.
    public var request: [String]
    public var listeners: [ListenerExplanation] = []
}

public struct ListenerExplanation: Sendable, Equatable {
    public enum Outcome: Sendable, Equatable {
        /// Weir answers with a failure itself.
        case refused(Refusal)
        case routed(RouteExplanation)
    }

    public var name: String
    public var line: Int
    public var addresses: [String]
    /// nil when the head could not be read.
    public var client: ClientExplanation?
    /// Every route in the order it is tried, then those whose host or path do not fit.
    public var trials: [TrialExplanation] = []
    public var outcome: Outcome
}

/// A failure Weir answers itself.
public struct Refusal: Sendable, Equatable {
    public var status: UInt16
    /// As in logs, metrics and `Proxy-Status`.
    public var reason: String
    /// What is wrong, in words.
    public var text: String
    /// The clause of the standard; empty when it is none.
    public var section = ""
    /// Offset of the offending byte in the head; nil when there is none.
    public var position: Int?
    /// Methods that would have matched, for 405.
    public var allow: [String] = []
    /// What is sent instead of Weir's own text.
    public var page: PageExplanation?
}

/// What is sent in place of an error.
public struct PageExplanation: Sendable, Equatable {
    /// "502" or "5xx".
    public var statuses: String
    /// Texts and files, each with the form it is for, or the service that is asked.
    public var bodies: [String]
    /// It also stands for answers of endpoints.
    public var replacesAnswers: Bool
    public var line: Int
}

/// Who the client is taken to be.
public struct ClientExplanation: Sendable, Equatable {
    public var address: String
    public var text: String
}

public struct TrialExplanation: Sendable, Equatable {
    public var route: String
    public var line: Int
    /// The pattern in question; empty for routes whose host or path do not fit.
    public var host: String
    public var path: String
    public var won: Bool
    public var text: String
    /// How the route's `when` was judged; nil where it has none, or was not asked.
    public var when: ConditionExplanation?
}

/// A condition, and why it holds or does not.
public struct ConditionExplanation: Sendable, Equatable {
    public var line: Int
    /// As it is written.
    public var text: String
    /// nil: a regular expression in it reached its limits.
    public var holds: Bool?
    /// The comparisons that decided, and what they saw; empty where that must not be shown.
    public var why: String
}

public struct RouteExplanation: Sendable, Equatable {
    public var name: String
    public var line: Int
    public var captures: [Capture] = []
    public var action: ActionExplanation
    /// Response header changes apply to Weir's own answers too.
    public var requestChanges: [FieldChange] = []
    public var responseChanges: [FieldChange] = []
    public var settings: [SettingExplanation] = []
    /// In the order in which their steps run at each hook.
    public var policies: [PolicyExplanation] = []
    /// What is sent in place of errors, of which the first that has a status decides.
    public var pages: [PageExplanation] = []

    public struct Capture: Sendable, Equatable {
        public var name: String
        public var value: String
    }
}

public enum ActionExplanation: Sendable, Equatable {
    case service(ServiceExplanation)
    case redirect(status: Int, location: String, line: Int)
    case respond(status: Int, type: String, body: String, line: Int)
    /// No answer: the connection, or the stream, ends.
    case close
}

public struct ServiceExplanation: Sendable, Equatable {
    public var name: String
    public var line: Int
    public var balance: String
    public var endpoints: [EndpointExplanation]
    /// The request target as the endpoint gets it.
    public var target: String
    public var isRewritten: Bool
    /// The line of the rewrite.
    public var rewriteLine: Int
    public var settings: [SettingExplanation]
    /// The folder that answers instead of endpoints.
    public var root: String?
    /// What looking for the file came to, in order; ends where something was found.
    public var tried: [TriedExplanation] = []
    /// The service that answers in place of the folder; one at most.
    public var next: [ServiceExplanation] = []
}

public struct TriedExplanation: Sendable, Equatable {
    /// As in the file.
    public var candidate: String
    public var line: Int
    public var text: String
}

public struct EndpointExplanation: Sendable, Equatable {
    public var address: String
    public var weight: Int
    public var line: Int
    /// What the name stands for now; nil for addresses, and when a file was asked.
    public var resolved: [String]?
}

public struct FieldChange: Sendable, Equatable {
    public enum Kind: String, Sendable { case remove, replace, set, add }
    public var kind: Kind
    public var name: String
    /// With its variables filled in; the pattern and its replacement for `replace`; empty for `remove`.
    public var value: String
    public var line: Int
}

/// What a route does with the request besides answering it.
public struct PolicyExplanation: Sendable, Equatable {
    /// As its key is called.
    public var name: String
    /// Where its steps run: "admit", "request head".
    public var hooks: [String]
    /// Its settings in effect.
    public var text: String
    /// Which requests it concerns: "with a body"; empty: all.
    public var concerns: [String]
}

/// A value in effect.
public struct SettingExplanation: Sendable, Equatable {
    /// As in the file, "timeout.head".
    public var name: String
    public var value: String
    /// The value is the default; written or not makes no difference.
    public var isDefault: Bool
}
