// When certificates expire and what is stapled to them, for alerts.

import Reactor
import Synchronization

/// The certificates in use. Control plane only.
public final class CertificateMetrics: Sendable {
    private let current = Locked<[CertificateValues]>([])
    private let taken = Atomic<UInt64>(0)
    private let failed = Atomic<UInt64>(0)

    public init() {}

    /// Replaces all of them.
    public func set(_ certificates: [CertificateValues]) { current.withLock { $0 = certificates } }

    /// An OCSP responder was asked.
    public func asked(wasTaken: Bool) {
        if wasTaken {
            taken.wrappingAdd(1, ordering: .relaxed)
        } else {
            failed.wrappingAdd(1, ordering: .relaxed)
        }
    }

    public func values() -> [CertificateValues] { current.withLock { $0 } }

    public func responderValues() -> ResponderValues {
        ResponderValues(taken: taken.load(ordering: .relaxed), failed: failed.load(ordering: .relaxed))
    }
}

/// One certificate of a listener.
public struct CertificateValues: Sendable, Equatable {
    /// The OCSP response of a certificate that is to have one.
    public struct Staple: Sendable, Equatable {
        /// Seconds since 1970; 0: none is stapled.
        public var notAfter: Int64
        public var isRevoked: Bool

        public init(notAfter: Int64, isRevoked: Bool) {
            self.notAfter = notAfter
            self.isRevoked = isRevoked
        }
    }

    public var listener: String
    /// The file as the configuration names it.
    public var certificate: String
    /// Seconds since 1970.
    public var notAfter: Int64
    /// nil: no response is asked for in the configuration.
    public var staple: Staple?

    public init(listener: String, certificate: String, notAfter: Int64) {
        self.listener = listener
        self.certificate = certificate
        self.notAfter = notAfter
    }
}

/// Questions to OCSP responders, by what came of them.
public struct ResponderValues: Sendable, Equatable {
    public var taken: UInt64 = 0
    public var failed: UInt64 = 0
}
