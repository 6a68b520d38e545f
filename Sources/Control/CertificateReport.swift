// What `weir cert` shows: every certificate a configuration names, what it is for and how it stands.

import Configuration
import TLS

/// The certificates of a configuration at one moment.
public struct CertificateReport: Sendable, Equatable {
    public enum State: String, Sendable {
        /// Some name is answered with it.
        case served
        /// Valid, but newer ones answer for all of its names.
        case superseded
        case expired
        case notYetValid = "not yet valid"
    }
    /// What is stapled, as far as the files tell.
    public enum Staple: Sendable, Equatable {
        /// What the response given as a file says.
        case file(OCSPAnswer, isExpired: Bool)
        /// A running Weir asks this responder.
        case responder(String)
        /// It would, but cannot.
        case obstacle(OCSPObstacle)
    }
    public struct Row: Sendable, Equatable {
        public var listener: String
        /// The file.
        public var path: String
        public var state: State
        public var info: CertificateInfo
        /// Whether clients that name no known server are shown it.
        public var isDefault: Bool
        /// Whole days from now until it expires; negative afterwards.
        public var daysLeft: Int
        /// nil: the configuration asks for none.
        public var staple: Staple?
    }

    public var file: String
    public var rows: [Row] = []
    /// What cannot be used, and warnings.
    public var problems: [ConfigurationError] = []

    /// Whether every certificate can be used and none is expired.
    public var isOk: Bool {
        !problems.contains { $0.severity == .error } && !rows.contains { $0.state == .expired }
    }

    /// Reads what a configuration names.
    public init(_ source: any ConfigurationSource, nowSeconds: Int64) {
        file = source.name
        switch source.text().flatMap({ text in
            Configuration.parse(text, file: source.name).map { (text, $0.0) }
        }) {
        case .failure(let failure):
            problems = failure.errors
        case .success(let (text, configuration)):
            let (set, found) = CertificateSet.load(
                configuration, file: source.name, keeping: CertificateSet(), nowSeconds: nowSeconds)
            problems = Configuration.located(found, text: text)
            for listener in configuration.listeners {
                guard let context = set.context(listener: listener.name.value), let tls = listener.tls else {
                    continue
                }
                add(context, listener.name.value, tls.certificates.map(\.cert.value), nowSeconds)
            }
        }
    }

    private mutating func add(
        _ context: TLSServerContext, _ listener: String, _ paths: [String], _ nowSeconds: Int64
    ) {
        let defaults = context.certificates(forName: nil)
        for (certificate, path) in zip(context.certificates, paths) {
            let info = certificate.info
            let isDefault = defaults.contains { $0 === certificate }
            let isServed =
                isDefault
                || info.names.contains { name in
                    // For a wildcard any name below it stands.
                    let asked = name.hasPrefix("*.") ? "weir-any-name" + name.dropFirst(1) : name
                    return context.certificates(forName: asked).contains { $0 === certificate }
                }
            let state: State =
                nowSeconds > info.notAfter
                ? .expired : nowSeconds < info.notBefore ? .notYetValid : isServed ? .served : .superseded
            rows.append(
                Row(
                    listener: listener, path: path, state: state, info: info, isDefault: isDefault,
                    daysLeft: Int(((info.notAfter - nowSeconds) / 86_400)),
                    staple: Self.staple(certificate, nowSeconds)))
        }
    }

    private static func staple(_ certificate: ServerCertificate, _ nowSeconds: Int64) -> Staple? {
        if let answer = certificate.statusGiven {
            return .file(answer, isExpired: answer.expiresSeconds <= nowSeconds)
        }
        switch certificate.question {
        case .success(let question): return .responder(question.responder)
        case .failure(let obstacle): return .obstacle(obstacle)
        case nil: return nil
        }
    }
}
