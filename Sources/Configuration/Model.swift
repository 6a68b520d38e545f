// The configuration as plain values, with every default filled in.
//
// This is what the rest of Weir sees of a file: no YAML, no optional that means "the default", no
// unit left to interpret. Durations are milliseconds, sizes are bytes, ratios are parts per thousand.
// Names that refer to other objects (a route's service) have been checked to exist. Templates, path
// patterns, header names and regular expressions stay text; whoever compiles them reports what is
// wrong with them as a `ConfigurationError` at the `Origin` kept beside the text.

import Balancing
import HTTPModel

/// Where a value was written. Origins never count in a comparison: a line that moved is no change, so
/// a reload can compare two configurations with `==`.
public struct Origin: Sendable, Hashable {
    /// Line, from 1; 0 when the value was not written (a default, or made by the program).
    public var line: Int
    /// Column in characters, from 1; 0 when the value was not written.
    public var column: Int
    /// Length in characters of the text to underline.
    public var length: Int
    /// Of a literal block text (`|`), which begins in the line below: the column its lines begin in. 0: the text
    /// stands where the origin points.
    var blockColumn = 0
    /// What was written there, if the text was made from references.
    var substitution: Substitution?

    public init(line: Int, column: Int, length: Int = 1) {
        self.line = line
        self.column = column
        self.length = length
    }

    /// The place of something within the text that stands here.
    ///
    /// - Parameter position: bytes from the beginning of the text.
    public func place(at position: Int, in text: String) -> Origin {
        var place = self
        if blockColumn > 0 {
            let before = text.utf8.prefix(position)
            place.line += 1 + before.count { $0 == 0x0a }
            // Characters of the line up to there: bytes that continue none.
            let column = before.reversed().prefix { $0 != 0x0a }.count { $0 & 0xc0 != 0x80 }
            place.column = blockColumn + column
            place.blockColumn = 0
            place.length = 1
        } else {
            place.column += position
            place.length = max(1, length - position)
        }
        return place
    }

    /// The value was not written in a file.
    public static let none = Origin(line: 0, column: 0, length: 0)

    public static func == (_: Origin, _: Origin) -> Bool { true }
    public func hash(into _: inout Hasher) {}
}

/// A piece of text and where it was written.
public struct Text: Sendable, Hashable {
    public var value: String
    public var origin: Origin

    public init(_ value: String, at origin: Origin = .none) {
        self.value = value
        self.origin = origin
    }

    /// What may be shown: the references instead of what they stand for.
    public var shown: String { origin.substitution?.shown ?? value }
    /// Whether the text was made from references.
    public var isSubstituted: Bool { origin.substitution != nil }
    /// The text to read as a template, in which references stand for themselves.
    public var template: String { origin.substitution?.template ?? value }
    /// The same of what may be shown.
    public var shownTemplate: String { origin.substitution?.shownTemplate ?? value }
}

/// A whole configuration.
public struct Configuration: Sendable, Equatable {
    /// The pinned set of defaults, "2026-1".
    public var defaults = "2026-1"
    /// Number of worker threads; nil means one per core allowed by cpuset and cgroup quota.
    public var workers: Int?
    public var workersOrigin = Origin.none
    /// In file order; at least one.
    public var listeners: [Listener] = []
    /// In file order, which breaks ties between equally specific matches.
    public var routes: [Route] = []
    /// In file order.
    public var services: [Service] = []
    /// Address blocks ("10.0.0.0/8", "::1", "unix") whose word about the client's address is believed.
    public var trustedProxies: [Text] = []
    public var forwarded = Forwarded()
    public var resolver = Resolver()
    public var accessLog: AccessLog?
    /// What is sent in place of errors where neither listener nor route says.
    public var errors: [ErrorPage] = []
    /// Where the admin API listens; nil when switched off.
    public var admin: Admin? = Admin()
    /// Deadline for accepted requests after SIGTERM; connections still open then are closed.
    public var drainMs: Int64 = 30_000

    public init() {}
}

public struct AccessLog: Sendable, Equatable {
    public enum Destination: Sendable, Hashable {
        case stdout, stderr
        case file(String)
    }
    public enum Format: String, Sendable, CaseIterable {
        case json, text
    }
    public var destination = Destination.stdout
    public var format = Format.json
    public var origin = Origin.none

    public init() {}
}

public struct Admin: Sendable, Equatable {
    public var addresses = [
        Address(kind: .ip(host: "127.0.0.1", port: 9900), text: Text("127.0.0.1:9900"))
    ]
    /// Names besides those without a dot that may stand in Host, in lower case.
    public var hosts: [String] = []
    public var socketAccess = SocketAccess()

    public init() {}
}

/// Who may connect to a Unix socket; nil: as the process's umask, user and group have it.
public struct SocketAccess: Sendable, Equatable {
    /// Permission bits.
    public var mode: UInt32?
    /// Names or numbers.
    public var owner: Text?
    public var group: Text?

    public init() {}
}

/// An address as written, taken apart but not resolved.
public struct Address: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// ":8080": every IPv4 and IPv6 address of the machine. Listeners only.
        case any(port: UInt16)
        /// A literal IPv4 or IPv6 address, without brackets; where it is listened on also "fe80::1%eth0".
        case ip(host: String, port: UInt16)
        /// A name to resolve, in lower case. Endpoints only.
        case name(host: String, port: UInt16)
        /// "unix:/path": an absolute path of at most 107 bytes; "unix:@name": a name that is no file.
        case unix(path: String)
    }
    public var kind: Kind
    /// The address as written.
    public var text: Text

    public init(kind: Kind, text: Text) {
        self.kind = kind
        self.text = text
    }
}

/// An address and protocol traffic is accepted on.
public struct Listener: Sendable, Equatable {
    public enum `Protocol`: String, Sendable, CaseIterable {
        case http, tcp, udp
    }
    public enum ProxyProtocol: String, Sendable, CaseIterable {
        /// Connections start with the client's own bytes.
        case off
        /// Every connection starts with a PROXY header, version 1 or 2; others are closed.
        case required
    }
    public enum Underscores: String, Sendable, CaseIterable {
        /// They go on, but for those that read like a field Weir writes or strips for trust.
        case pass
        /// None goes on.
        case drop
        /// The request is refused.
        case refuse
    }

    /// A server name and whose it is.
    public struct ServerName: Sendable, Equatable {
        /// "api.example.com", "*.example.com" (any name below it), or "*" (whatever is left).
        public var pattern: Text
        public var service: Text

        public init(pattern: Text, service: Text) {
            self.pattern = pattern
            self.service = service
        }
    }

    /// Paths that are not plain.
    public enum Paths: String, Sendable, CaseIterable {
        /// Dot segments are resolved; other readings are refused where they lead to another route.
        case normalize
        /// Dot segments, two slashes in a row, encoded slashes and backslashes are refused.
        case refuse
    }

    public var name: Text
    public var addresses: [Address] = []
    /// Of the Unix sockets among them.
    public var socketAccess = SocketAccess()
    public var `protocol` = Protocol.http
    /// The service connections or datagrams go to: set if `protocol` is udp, or tcp without `serverNames`.
    public var service: Text?
    /// TCP: the services of connections by the server name their ClientHello asks for; TLS is passed on.
    public var serverNames: [ServerName] = []
    public var proxyProtocol = ProxyProtocol.off
    public var timeout = Timeout()
    /// Least average rate of a request body, in bytes per second, once it is 10 s old; 0 is no minimum.
    public var bodyRateMin = 240
    public var limits = Limits()
    public var paths = Paths.normalize
    /// Age at which a client's HTTP/2 connection is asked to end; nil is no limit.
    public var connectionAgeMaxMs: Int64?
    /// nil: connections are not encrypted.
    public var tls: TLS?
    public var udp = UDP()

    /// What becomes of request fields with `_` in their names.
    public var underscores = Underscores.pass
    /// What is sent in place of errors where the route does not say.
    public var errors: [ErrorPage] = []

    public init(name: Text) { self.name = name }
}

/// What to do with the requests that match.
public struct Route: Sendable, Equatable {
    public enum Action: Sendable, Equatable {
        case service(Text)
        case redirect(Redirect)
        case respond(Response)
        /// `respond: close`: no answer at all.
        case close
    }
    public struct Redirect: Sendable, Equatable {
        /// Template of the Location field.
        public var to: Text
        /// 301, 302, 303, 307 or 308.
        public var status = 308

        public init(to: Text) { self.to = to }
    }
    public struct Response: Sendable, Equatable {
        /// 200…599.
        public var status = 200
        public var body = Text("")
        /// Content-Type of the body.
        public var type = Text("text/plain; charset=utf-8")

        public init() {}
    }
    public enum Rewrite: Sendable, Equatable {
        /// `rewrite: { path: TEMPLATE }`: the whole path (with query, unless the template has one).
        case path(Text)
        /// `rewrite: { prefix: { from: /old, to: /new } }`: whole path segments at the start are
        /// exchanged; other paths are left alone.
        case prefix(from: Text, to: Text)
        /// `rewrite: { pattern: REGEX, with: TEMPLATE }`: what the expression finds in the path is exchanged.
        case pattern(Text, with: Text)
    }
    public struct Headers: Sendable, Equatable {
        public var request = Changes()
        public var response = Changes()

        public init() {}
    }
    /// Applied in the order remove, replace, set, add.
    public struct Changes: Sendable, Equatable {
        public struct Field: Sendable, Equatable {
            public var name: Text
            /// Template of the value.
            public var value: Text

            public init(name: Text, value: Text) {
                self.name = name
                self.value = value
            }
        }
        public struct Replacement: Sendable, Equatable {
            public var name: Text
            /// A regular expression looked for in each value.
            public var pattern: Text
            /// Template of what takes the place of what it finds.
            public var with: Text

            public init(name: Text, pattern: Text, with: Text) {
                self.name = name
                self.pattern = pattern
                self.with = with
            }
        }
        public var replace: [Replacement] = []
        public var set: [Field] = []
        public var add: [Field] = []
        public var remove: [Text] = []

        public init() {}
        public var isEmpty: Bool { replace.isEmpty && self.set.isEmpty && add.isEmpty && remove.isEmpty }
    }

    public var name: Text
    /// Names of HTTP listeners; empty is all of them.
    public var listeners: [Text] = []
    public var match = Match()
    public var action: Action
    public var rewrite: Rewrite?
    /// Where endpoints send clients is turned back to what clients see.
    public var rewritesLocation = false
    public var cookies = Cookies()
    public var headers = Headers()
    public var timeout = Timeout()
    public var retry = Retry()
    /// Bytes of a request body.
    public enum BodyLimit: Sendable, Equatable {
        /// What the listener says.
        case ofListener
        case none
        case bytes(Int64)
    }
    public var bodyLimit = BodyLimit.ofListener
    /// Bytes of a request body held before an endpoint is chosen, so that it can be sent again.
    public var holdBytes = 65_536
    /// Protocols a client may upgrade to, lower case; "connect" is the CONNECT method.
    public var upgrades = ["websocket"]
    /// Requests for other protocols are refused instead of served without the change.
    public var refusesOtherUpgrades = false
    public var webSocket = WebSocket()
    /// Nil: responses go as they come.
    public var compression: Compression?
    /// gRPC-Web requests are forwarded as gRPC.
    public var grpcWeb = false
    /// Nil: request bodies go as they come.
    public var decompression: Decompression?
    /// What is sent in place of errors.
    public var errors: [ErrorPage] = []
    /// Something in it is wrong and was left out: it says nothing about which requests it would take.
    public var isFaulty = false

    public init(name: Text, action: Action) {
        self.name = name
        self.action = action
    }
}

/// Which requests a route is for: all parts that are given must agree.
public struct Match: Sendable, Equatable {
    public enum Condition: Sendable, Equatable {
        case equals(Text)
        case prefix(Text)
        case regex(Text)
        case present(Bool)
    }
    public struct Named: Sendable, Equatable {
        public var name: Text
        public var condition: Condition

        public init(name: Text, condition: Condition) {
            self.name = name
            self.condition = condition
        }
    }
    /// Exact names or "*.example.com"; empty is any host. One of them has to agree.
    public var hosts: [Text] = []
    /// Patterns: "/exact", "/prefix/*", "/users/{id}", "~regex"; empty is any path.
    public var paths: [Text] = []
    /// Prefixes among the paths are tried before regular expressions.
    public var isBeforeExpressions = false
    /// Empty is any method.
    public var methods: [Text] = []
    public var headers: [Named] = []
    public var query: [Named] = []
    public var cookies: [Named] = []
    /// Conditions on the certificate the client showed.
    public var certificate: [OfCertificate] = []

    public struct OfCertificate: Sendable, Equatable {
        public enum Part: String, Sendable, CaseIterable {
            /// The certificate as such, with `Condition.present`.
            case present
            case subject, issuer, san, fingerprint
        }
        public var part: Part
        public var condition: Condition

        public init(part: Part, condition: Condition) {
            self.part = part
            self.condition = condition
        }
    }

    public init() {}
}

/// A named pool of endpoints.
public struct Service: Sendable, Equatable {
    public enum ProxyProtocol: String, Sendable, CaseIterable {
        case off, v1, v2
    }

    public var name: Text
    /// The folder that answers instead of endpoints; nil for a service with endpoints.
    public var files: ServedFiles?
    public var balance = BalancingMethodName.leastRequest
    /// Endpoints speak HTTP/2.
    public var speaksHTTP2 = false
    /// At least one unless `files` is set; `Address.Kind.any` does not occur.
    public var endpoints: [Endpoint] = []
    public var timeout = Timeout()
    public var connections = Connections()
    public var retryBudget = RetryBudget()
    /// PROXY header sent at the start of each connection to an endpoint.
    public var proxyProtocol = ProxyProtocol.off
    /// nil: connections to endpoints are not encrypted.
    public var tls: TLS?
    /// In what its endpoints may break the standard.
    public var quirks: Quirks = []

    public init(name: Text) { self.name = name }
}

/// A folder of files, served by Weir itself.
public struct ServedFiles: Sendable, Equatable {
    /// Where symbolic links below the root may lead.
    public enum Links: String, Sendable, CaseIterable {
        case inside, none, anywhere
    }
    public enum Precompressed: String, Sendable, CaseIterable {
        case zstd, br, gzip
    }
    /// What caches are told about the files that match.
    public struct Cache: Sendable, Equatable {
        public enum Action: Sendable, Equatable {
            /// The value of Cache-Control.
            case control(Text)
            /// Fresh for so many seconds.
            case expires(seconds: Int64)
        }
        /// At least one. "/…" is compared with the whole path, others with the file's name.
        public var paths: [Text]
        public var action: Action

        public init(paths: [Text], action: Action) {
            self.paths = paths
            self.action = action
        }
    }
    public struct ContentType: Sendable, Equatable {
        /// Without its dot; "*" is all that is not known.
        public var fileExtension: Text
        public var type: Text

        public init(fileExtension: Text, type: Text) {
            self.fileExtension = fileExtension
            self.type = type
        }
    }

    /// An absolute path.
    public var root: Text
    /// Names tried in order when a folder is asked for; may be empty.
    public var index = [Text("index.html")]
    /// Relative to the root: answers for paths at which there is no file.
    public var fallback: Text?
    /// Where a file is looked for, in order; `fallback` comes behind.
    public var candidates = [Text("{path}"), Text("{path}/")]
    /// Who answers when there is none.
    public var otherwise = Otherwise.status(404)

    public enum Otherwise: Sendable, Equatable {
        case service(Text)
        /// 400…599.
        case status(Int)
    }
    /// Serve names that begin with a dot.
    public var hidden = false
    public var links = Links.inside
    /// In order of preference, without duplicates.
    public var precompressed: [Precompressed] = []
    /// The first that matches decides.
    public var cache: [Cache] = []
    public var types: [ContentType] = []

    public init(root: Text) { self.root = root }
}

/// One address traffic can be sent to.
public struct Endpoint: Sendable, Hashable {
    public var address: Address
    /// 1…1000, relative to the other endpoints of the service.
    public var weight = 1

    public init(address: Address, weight: Int = 1) {
        self.address = address
        self.weight = weight
    }
}
