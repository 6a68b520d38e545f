// When certificate files are looked at again, and what was said about them last.

import Configuration
import TLS

/// Remembers between ticks. Plain data, time is a parameter.
struct CertificateWatch {
    /// Files are asked for their time and size; nothing is read unless one changed.
    static let intervalMs: UInt64 = 10_000

    private(set) var nextMs: UInt64 = 0
    private var lastErrors: [ConfigurationError] = []

    /// Whether it is time to look; counts as looked.
    mutating func begin(nowMs: UInt64) -> Bool {
        // The first call only starts the clock: the files have just been read.
        let isDue = nextMs != 0 && nowMs >= nextMs
        if isDue || nextMs == 0 { nextMs = nowMs + Self.intervalMs }
        return isDue
    }

    /// Whether these errors have not been reported yet. A certificate is replaced before its key: until
    /// both are there every look fails in the same way.
    mutating func isNews(_ errors: [ConfigurationError]) -> Bool {
        defer { lastErrors = errors }
        return errors != lastErrors
    }
}

extension CertificateSet {
    /// One certificate of a listener.
    struct Row: Sendable {
        let listener: String
        /// The file as the configuration names it.
        let path: String
        let certificate: ServerCertificate
    }

    /// All of them, in a fixed order.
    var rows: [Row] {
        listeners.sorted { $0.key < $1.key }.flatMap { name, entry in
            zip(entry.context.certificates, entry.settings.certificates).map { certificate, text in
                Row(listener: name, path: text.cert.value, certificate: certificate)
            }
        }
    }
}
