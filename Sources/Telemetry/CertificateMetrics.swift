// When certificates expire, for alerts.

import Reactor

/// The certificates in use. Control plane only.
public final class CertificateMetrics: Sendable {
    private let current = Locked<[CertificateValues]>([])

    public init() {}

    /// Replaces all of them.
    public func set(_ certificates: [CertificateValues]) { current.withLock { $0 = certificates } }

    public func values() -> [CertificateValues] { current.withLock { $0 } }
}

/// One certificate of a listener.
public struct CertificateValues: Sendable, Equatable {
    public var listener: String
    /// The file as the configuration names it.
    public var certificate: String
    /// Seconds since 1970.
    public var notAfter: Int64

    public init(listener: String, certificate: String, notAfter: Int64) {
        self.listener = listener
        self.certificate = certificate
        self.notAfter = notAfter
    }
}
