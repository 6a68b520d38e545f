// Why there is no answer.

import Glibc

extension HTTPClient {
    /// Every way in which a request ends without an answer.
    public enum Failure: Error, Sendable, Equatable, CustomStringConvertible {
        public enum Deadline: Sendable { case connect, total, rate }
        public enum Part: Sendable { case head, body }

        /// It cannot be sent as it is.
        case badRequest(String)
        /// libcurl is not there.
        case unavailable(String)
        /// The host has no address.
        case name(host: String, String)
        /// Nobody takes the connection; the code is the system's, 0 when it gave none.
        case connect(to: String, Int32)
        /// The URL comes from data and leads to an address that is not public.
        case denied(address: String)
        /// The handshake failed, or whoever answers is not who was asked for.
        case tls(String)
        case timeout(Deadline, ms: UInt64)
        case tooLarge(Part, bytesMax: Int)
        /// It leads to another protocol, from https to http, or was no answer to a GET or HEAD.
        case redirectNotAllowed(to: String)
        case tooManyRedirects(max: Int)
        /// The connection ended before the answer did.
        case closed
        /// What came is no HTTP.
        case malformed(String)
        /// As many requests as there may be are under way.
        case overloaded
        case cancelled
        /// The client was stopped.
        case stopped

        public var description: String {
            switch self {
            case .badRequest(let text): text
            case .unavailable(let text): "libcurl cannot be loaded: \(text)"
            case .name(let host, let text): "\(host) is not resolved: \(text)"
            case .connect(let to, let code):
                "cannot connect to \(to)" + (code == 0 ? "" : ": \(String(cString: strerror(code)))")
            case .denied(let address): "\(address) is no public address"
            case .tls(let text): "TLS: \(text)"
            case .timeout(.connect, let ms): "no connection in \(ms) ms"
            case .timeout(.total, let ms): "no answer in \(ms) ms"
            case .timeout(.rate, _): "the answer comes too slowly"
            case .tooLarge(.head, let bytes): "the answer's head is larger than \(bytes / 1_024) KiB"
            case .tooLarge(.body, let bytes): "the answer is larger than \(bytes / 1_024) KiB"
            case .redirectNotAllowed(let to): "redirected to \(to), which is not followed"
            case .tooManyRedirects(let max): "more than \(max) redirects"
            case .closed: "the connection ended before the answer"
            case .malformed(let text): "the answer is not HTTP: \(text)"
            case .overloaded: "too many requests are under way"
            case .cancelled: "cancelled"
            case .stopped: "stopped"
            }
        }

        var outcome: Outcome {
            switch self {
            case .badRequest: .badRequest
            case .unavailable: .unavailable
            case .name: .name
            case .connect: .connect
            case .denied: .denied
            case .tls: .tls
            case .timeout: .timeout
            case .tooLarge: .tooLarge
            case .redirectNotAllowed, .tooManyRedirects: .redirect
            case .closed: .closed
            case .malformed: .malformed
            case .overloaded: .overloaded
            case .cancelled, .stopped: .cancelled
            }
        }
    }

    /// How requests end, for the metrics.
    public enum Outcome: Int, Sendable, CaseIterable {
        case answered, badRequest, name, connect, denied, tls, timeout, tooLarge, redirect, closed, malformed,
            overloaded, cancelled, unavailable

        public var name: String {
            switch self {
            case .badRequest: "bad-request"
            case .tooLarge: "too-large"
            default: "\(self)"
            }
        }
    }
}
