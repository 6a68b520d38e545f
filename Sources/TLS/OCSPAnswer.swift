// What an OCSP response says about one certificate, and whether it may be shown to clients (RFC 6960).
//
// Plain values: reading and verifying is OCSPQuestion's, asking is the control plane's. A response that
// clients would refuse is worse than none: with "must staple" it ends the connection.

import COpenSSL

/// The part of an OCSP response about one certificate. Times are seconds since 1970.
public struct OCSPAnswer: Sendable, Equatable {
    public enum Status: Sendable, Equatable {
        case good
        case revoked(atSeconds: Int64)
        /// The responder does not know the certificate.
        case unknown
    }

    public var status: Status
    /// From when on it was known to be true.
    public var thisUpdate: Int64
    /// When newer information will be there; nil: at any time.
    public var nextUpdate: Int64?

    public init(_ status: Status, thisUpdate: Int64, nextUpdate: Int64?) {
        self.status = status
        self.thisUpdate = thisUpdate
        self.nextUpdate = nextUpdate
    }

    /// How far the responder's clock may be ahead of ours, seconds.
    public static let skewSeconds: Int64 = 300
    /// How long an answer without a next update is shown, seconds; clients go no further either.
    static let lifeWithoutNextUpdateSeconds: Int64 = 86_400

    /// When it must no longer be shown. There is no allowance: the client's clock decides, not ours.
    public var expiresSeconds: Int64 { nextUpdate ?? thisUpdate + Self.lifeWithoutNextUpdateSeconds }

    /// Why it must not be shown; nil: it may. A revocation is shown: clients shall learn of it.
    /// - Parameters:
    ///   - nowSeconds: wall clock.
    ///   - known: what is shown now. An older answer may be a replay from before a revocation (RFC 6960
    ///     §5: transport is not protected).
    public func refusal(nowSeconds: Int64, known: OCSPAnswer? = nil) -> OCSPRefusal? {
        if status == .unknown { return .unknownCertificate }
        if thisUpdate > nowSeconds + Self.skewSeconds { return .fromTheFuture }
        if expiresSeconds <= nowSeconds { return .expired }
        if let known, thisUpdate < known.thisUpdate { return .olderThanKnown }
        return nil
    }
}

/// Why a response is not shown to clients.
public enum OCSPRefusal: Error, Sendable, Equatable, CustomStringConvertible {
    /// Not an OCSP response.
    case malformed
    /// The responder says that it does not answer (RFC 6960 §4.2.1): its number.
    case noAnswer(Int32)
    /// Nothing in it is about the certificate.
    case otherCertificate
    /// Signed by nobody the issuer vouches for (RFC 6960 §4.2.2.2), or changed on the way.
    case untrustedSignature
    case unknownCertificate
    case fromTheFuture
    case expired
    case olderThanKnown

    public var description: String {
        switch self {
        case .malformed: "not an OCSP response"
        case .noAnswer(let status):
            "the responder refuses: "
                + (OCSP_response_status_str(Int(status)).map { String(cString: $0) } ?? "status \(status)")
        case .otherCertificate: "the response is about another certificate"
        case .untrustedSignature: "the response is not signed by the issuer or by whom it trusts with that"
        case .unknownCertificate: "the responder does not know the certificate"
        case .fromTheFuture: "the response is from the future"
        case .expired: "the response has expired"
        case .olderThanKnown: "the response is older than the one known already"
        }
    }
}

/// Why a certificate's responder cannot be asked.
public enum OCSPObstacle: Error, Sendable, Equatable, CustomStringConvertible {
    /// The certificate names none that is asked over HTTP.
    case noResponder
    /// The file ends with the server's certificate.
    case noIssuer

    public var description: String {
        switch self {
        case .noResponder: "the certificate names no OCSP responder with an http:// address"
        case .noIssuer:
            "the issuer's certificate is not in the file, and without it no answer can be verified"
        }
    }
}
