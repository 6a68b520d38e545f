// The certificates, keys and CAs a configuration names: read, checked, and made into what the data
// plane uses.
//
// Everything wrong with a file is reported where the configuration names it, and nothing takes effect
// unless all of it is right. Contexts whose settings and files did not change are kept, so that saved
// sessions and pools live on. Reads from the disk: control plane only.

import Configuration
import NamedFiles
import Reactor
import TLS

/// Everything of TLS a configuration asks for.
public struct CertificateSet: Sendable {
    struct ListenerEntry {
        var settings: Listener.TLS
        var files: [String: PEMFile.Version]
        var context: TLSServerContext
    }
    struct ServiceEntry {
        var settings: Service.TLS
        var alpn: [String]
        var files: [String: PEMFile.Version]
        var context: TLSClientContext
    }

    private(set) var listeners: [String: ListenerEntry] = [:]
    private(set) var services: [String: ServiceEntry] = [:]
    /// Where the listeners' ticket keys come from.
    public let tickets: TicketKeeper

    /// An empty set.
    public init(tickets: TicketKeeper = TicketKeeper()) { self.tickets = tickets }

    public var isEmpty: Bool { listeners.isEmpty && services.isEmpty }

    /// What a listener speaks TLS with.
    public func context(listener: String) -> TLSServerContext? { listeners[listener]?.context }
    /// What connections of a service speak TLS with.
    public func context(service: String) -> TLSClientContext? { services[service]?.context }

    // MARK: loading

    /// Reads and checks all files a configuration names.
    /// - Parameters:
    ///   - file: the configuration's name in messages.
    ///   - old: contexts to keep where nothing changed; its ticket keys go on.
    ///   - nowSeconds: wall clock, to judge validity.
    /// - Returns: the set, and what is wrong: with an error in it the set is not whole.
    public static func load(
        _ configuration: Configuration, file: String, keeping old: CertificateSet, nowSeconds: Int64
    ) -> (set: CertificateSet, problems: [ConfigurationError]) {
        var loader = CertificateLoader(file: file, nowSeconds: nowSeconds, tickets: old.tickets)
        var set = CertificateSet(tickets: old.tickets)
        for listener in configuration.listeners {
            guard let settings = listener.tls else { continue }
            let name = listener.name.value
            if let kept = old.listeners[name], kept.settings == settings, isCurrent(kept.files),
                nowSeconds < kept.context.nextChangeSeconds ?? .max
            {
                set.listeners[name] = kept
                loader.warn(kept.context.certificates, settings)
            } else {
                loader.files = [:]
                guard let context = loader.context(settings, listener: name) else { continue }
                set.listeners[name] = ListenerEntry(
                    settings: settings, files: loader.files, context: context)
            }
        }
        let passedThrough = Set(
            configuration.listeners.filter { $0.protocol == .tcp }.compactMap(\.service?.value))
        for service in configuration.services {
            guard let settings = service.tls else { continue }
            let name = service.name.value
            let alpn = applicationProtocols(of: service, passedThrough: passedThrough)
            if let kept = old.services[name], kept.settings == settings, kept.alpn == alpn,
                isCurrent(kept.files)
            {
                set.services[name] = kept
            } else {
                loader.files = [:]
                guard let context = loader.context(settings, alpn: alpn) else { continue }
                set.services[name] = ServiceEntry(
                    settings: settings, alpn: alpn, files: loader.files, context: context)
            }
        }
        return (set, loader.problems)
    }

    /// What is asked for by ALPN. Bytes that are passed through are of no protocol Weir knows.
    static func applicationProtocols(of service: Service, passedThrough: Set<String>) -> [String] {
        if passedThrough.contains(service.name.value) { return [] }
        return [service.speaksHTTP2 ? "h2" : "http/1.1"]
    }

    private static func isCurrent(_ files: [String: PEMFile.Version]) -> Bool {
        files.allSatisfy { NamedFile.version(of: $0.key) == $0.value }
    }

    // MARK: watching

    /// Whether a file is not what it was when it was read, or a certificate's time has come or gone.
    public func needsReload(nowSeconds: Int64) -> Bool {
        for entry in listeners.values {
            if nowSeconds >= entry.context.nextChangeSeconds ?? .max { return true }
            if !Self.isCurrent(entry.files) { return true }
        }
        return services.values.contains { !Self.isCurrent($0.files) }
    }

    /// Names of listeners and services whose contexts are others than in `old`.
    func changes(from old: CertificateSet) -> [String] {
        listeners.filter { old.listeners[$0.key]?.context !== $0.value.context }.map(\.key).sorted()
            + services.filter { old.services[$0.key]?.context !== $0.value.context }.map(\.key).sorted()
    }
}

/// Reads files for one load; each file once.
private struct CertificateLoader {
    let file: String
    let nowSeconds: Int64
    let tickets: TicketKeeper
    /// Those the context at hand was made from.
    var files: [String: PEMFile.Version] = [:]
    private(set) var problems: [ConfigurationError] = []
    private var read: [String: PEMFile] = [:]

    init(file: String, nowSeconds: Int64, tickets: TicketKeeper) {
        self.file = file
        self.nowSeconds = nowSeconds
        self.tickets = tickets
    }

    mutating func context(_ settings: Listener.TLS, listener: String) -> TLSServerContext? {
        let before = problems.count
        let certificates = settings.certificates.compactMap {
            certificate(cert: $0.cert, key: $0.key, staple: $0.ocsp)
        }
        var wanted = TLSServerContext.Settings()
        wanted.profile = TLSProfile(settings.profile)
        wanted.alpn = settings.alpn.map(\.value)
        wanted.scope = listener
        if settings.ticketLifetimeMs > 0 {
            wanted.ticketLifetimeSeconds = Int(settings.ticketLifetimeMs / 1_000)
            wanted.ticketKeys = tickets.ring(
                lifetimeSeconds: settings.ticketLifetimeMs / 1_000,
                nowSeconds: Int64(Clock.monotonicNs() / 1_000_000_000))
        }
        if let clients = settings.clientCertificates, let authorities = authorities(clients.ca) {
            wanted.clientCertificates = .init(authorities: authorities, isRequired: clients.isRequired)
        }
        // Never with a part of what was asked for: without its CA a listener would ask for no certificate.
        guard problems.count == before else { return nil }
        do throws(TLSSetupError) {
            let context = try TLSServerContext(certificates, wanted, nowSeconds: nowSeconds)
            warn(certificates, settings)
            return context
        } catch {
            report("TLS cannot be set up: \(error)", settings.origin)
            return nil
        }
    }

    mutating func context(_ settings: Service.TLS, alpn: [String]) -> TLSClientContext? {
        let before = problems.count
        var wanted = TLSClientContext.Settings()
        wanted.verifies = settings.verifies
        wanted.serverName = settings.serverName?.value
        wanted.profile = TLSProfile(settings.profile)
        wanted.alpn = alpn
        if let ca = settings.ca { wanted.authorities = authorities(ca) }
        if let cert = settings.cert, let key = settings.key {
            wanted.certificate = certificate(cert: cert, key: key, staple: nil)
        }
        guard problems.count == before else { return nil }
        do throws(TLSSetupError) {
            return try TLSClientContext(wanted)
        } catch {
            report("TLS cannot be set up: \(error)", settings.origin)
            return nil
        }
    }

    private mutating func certificate(
        cert: Text, key: Text, staple: Listener.TLS.Staple?
    ) -> ServerCertificate? {
        var ocsp: Text?
        var asksResponder = false
        switch staple {
        case .file(let file): ocsp = file
        case .responder: asksResponder = true
        case nil: break
        }
        let chainFile = open(cert)
        let keyFile = open(key)
        let statusFile = ocsp.flatMap { open($0) }
        guard let chainFile, let keyFile, ocsp == nil || statusFile != nil else { return nil }
        do throws(CertificateError) {
            return try ServerCertificate(
                chain: chainFile, key: keyFile, status: statusFile, asksResponder: asksResponder)
        } catch {
            let place: Text =
                switch error.subject {
                case .key: key
                case .status: ocsp ?? cert
                case .certificate: cert
                }
            report(error, place)
            return nil
        }
    }

    private mutating func authorities(_ ca: Text) -> CertificateAuthorities? {
        guard let file = open(ca) else { return nil }
        do throws(CertificateError) {
            return try CertificateAuthorities(file)
        } catch {
            report(error, ca)
            return nil
        }
    }

    private mutating func open(_ path: Text) -> PEMFile? {
        if let known = read[path.value] {
            files[path.value] = known.version
            return known
        }
        do throws(CertificateError) {
            let new = try PEMFile(reading: path.value)
            read[path.value] = new
            files[path.value] = new.version
            return new
        } catch {
            report(error, path)
            return nil
        }
    }

    private mutating func report(_ error: CertificateError, _ place: Text) {
        problems.append(
            ConfigurationError(error.description, at: place.origin, file: file, expectation: error.hint))
    }

    private mutating func report(_ message: String, _ origin: Origin) {
        problems.append(ConfigurationError(message, at: origin, file: file))
    }

    /// What does not stop Weir, but will stop clients or leaves them with less than was asked for.
    mutating func warn(_ certificates: [ServerCertificate], _ settings: Listener.TLS) {
        for (certificate, text) in zip(certificates, settings.certificates) {
            let info = certificate.info
            if !info.isValid(atSeconds: nowSeconds) {
                warn(
                    nowSeconds > info.notAfter
                        ? "the certificate expired on \(CalendarDay(info.notAfter))"
                        : "the certificate is not valid before \(CalendarDay(info.notBefore))",
                    text.cert.origin)
            }
            if case .responder(let origin) = text.ocsp, case .failure(let obstacle) = certificate.question {
                warn("nothing is stapled: \(obstacle)", origin)
            }
        }
    }

    private mutating func warn(_ message: String, _ origin: Origin) {
        var problem = ConfigurationError(message, at: origin, file: file)
        problem.severity = .warning
        problems.append(problem)
    }
}

extension TLSProfile {
    init(_ name: TLSProfileName) {
        self =
            switch name {
            case .modern: .modern
            case .intermediate: .intermediate
            case .old: .old
            }
    }
}

/// A day in UTC, from seconds since 1970, printed as 2026-11-21.
public struct CalendarDay: Sendable, CustomStringConvertible {
    let seconds: Int64

    public init(_ seconds: Int64) { self.seconds = seconds }

    public var description: String {
        // Days to civil date, Howard Hinnant's algorithm, with years that begin in March.
        let days = Int((Double(seconds) / 86_400).rounded(.down)) + 719_468
        let era = (days >= 0 ? days : days - 146_096) / 146_097
        let dayOfEra = days - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shifted + 2) / 5 + 1
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(year)-\(two(month))-\(two(day))"
    }
}
