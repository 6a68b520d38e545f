// What is asked and what is answered, as values.

import Reactor

extension HTTPClient {
    /// Who asks, for the metrics: a closed set.
    public enum Purpose: Int, Sendable, CaseIterable {
        /// The state of a certificate.
        case ocsp

        public var name: String {
            switch self {
            case .ocsp: "ocsp"
            }
        }
    }

    public enum Method: String, Sendable {
        case get = "GET"
        case head = "HEAD"
        case post = "POST"
        case put = "PUT"
        case patch = "PATCH"
        case delete = "DELETE"
    }

    public struct Field: Sendable, Equatable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Who wrote the URL.
    public enum Origin: Sendable, Equatable {
        /// The operator: it may lead anywhere.
        case configuration
        /// Somebody else, and so may what it redirects to: no Unix socket, and no address that is not public but
        /// those of the given blocks. Checked at the address that is connected to, so no name server gets round it.
        case data(allowing: [AddressBlock])
    }

    /// When it has taken too long.
    public struct Deadlines: Sendable, Equatable {
        /// Until the name is known, the connection is there and its TLS handshake is over.
        public var connectMs: UInt64 = 5_000
        /// For everything, redirects included.
        public var totalMs: UInt64 = 30_000
        /// Fewer body bytes than this in every second of the time given end it; nil: whatever fits in `totalMs`.
        public var rate: Rate?

        public struct Rate: Sendable, Equatable {
            public var bytesPerSecond: Int
            public var overSeconds: Int

            public init(bytesPerSecond: Int, overSeconds: Int) {
                self.bytesPerSecond = bytesPerSecond
                self.overSeconds = overSeconds
            }
        }

        public init(connectMs: UInt64 = 5_000, totalMs: UInt64 = 30_000, rate: Rate? = nil) {
            self.connectMs = connectMs
            self.totalMs = totalMs
            self.rate = rate
        }
    }

    /// What an answer may be at most.
    public struct Bounds: Sendable, Equatable {
        /// All heads of an answer and its trailers, interim answers included.
        public var headBytes = 65_536
        /// The body, after its coding is undone.
        public var bodyBytes = 1_048_576

        public init(headBytes: Int = 65_536, bodyBytes: Int = 1_048_576) {
            self.headBytes = headBytes
            self.bodyBytes = bodyBytes
        }
    }

    /// How a server behind `https` is known, and we to it. At least TLS 1.2, and always verified.
    public struct TLS: Sendable, Equatable {
        public enum Authorities: Sendable, Equatable {
            case system
            /// PEM, these only.
            case file(String)
        }

        public var authorities = Authorities.system
        /// Files, PEM.
        public var certificate: Certificate?
        /// The name that is asked for and verified, instead of the URL's host.
        public var serverName: String?

        public struct Certificate: Sendable, Equatable {
            public var chain: String
            public var key: String

            public init(chain: String, key: String) {
                self.chain = chain
                self.key = key
            }
        }

        public init(
            authorities: Authorities = .system, certificate: Certificate? = nil, serverName: String? = nil
        ) {
            self.authorities = authorities
            self.certificate = certificate
            self.serverName = serverName
        }
    }

    /// Where to connect, whatever the URL's host is.
    public enum Target: Sendable, Equatable {
        case url
        /// For the first request; redirects go where they say.
        case address(IPAddress, port: UInt16)
        case unix(path: String)
    }

    public struct Request: Sendable {
        public var purpose: Purpose
        public var method: Method
        /// http:// or https://, without a user's name.
        public var url: String
        public var origin: Origin
        public var fields: [Field] = []
        public var body: [UInt8] = []
        public var deadlines = Deadlines()
        public var bounds = Bounds()
        public var tls = TLS()
        public var target = Target.url
        /// Whether HTTP/2 may be agreed on over TLS.
        public var allowsHTTP2 = false
        /// Whether the answer may be compressed.
        public var allowsCompression = false
        /// How many redirects of a GET or HEAD are followed; never from https to http, and `fields` and the client's
        /// certificate are not shown to another scheme, host or port. 0: an answer with a redirect is an answer.
        public var redirectsMax = 0

        public init(_ purpose: Purpose, _ method: Method, _ url: String, origin: Origin) {
            self.purpose = purpose
            self.method = method
            self.url = url
            self.origin = origin
        }
    }

    /// An answer of any status.
    public struct Response: Sendable, Equatable {
        public var status: Int
        /// In their order; of the last head, trailers left out.
        public var fields: [Field]
        public var body: [UInt8]
        /// The URL that answered.
        public var url: String
        /// 10, 11 or 20.
        public var version: Int

        /// The first field of a name.
        public func field(_ name: String) -> String? {
            fields.first { $0.name.lowercased() == name.lowercased() }?.value
        }
    }
}
