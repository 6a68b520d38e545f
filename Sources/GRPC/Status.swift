// gRPC status codes, and which of them stands for what happened.
//
// Two tables, both closed. A failure of Weir's own has a Reason, and the reason alone decides the code
// (one row each: a new reason does not compile without one). An answer that is no gRPC at all, such as
// an error page of something in between, has only its HTTP status; the code for it is the one the gRPC
// specification gives clients ("HTTP to gRPC Status Code Mapping").

import WeirResilience

/// Status codes of gRPC ("Status codes and their use in gRPC").
public enum GRPCStatus: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    case ok = 0
    case cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists
    case permissionDenied, resourceExhausted, failedPrecondition, aborted, outOfRange, unimplemented
    case `internal`, unavailable, dataLoss, unauthenticated

    /// As the specification spells it.
    public var name: StaticString {
        switch self {
        case .ok: "OK"
        case .cancelled: "CANCELLED"
        case .unknown: "UNKNOWN"
        case .invalidArgument: "INVALID_ARGUMENT"
        case .deadlineExceeded: "DEADLINE_EXCEEDED"
        case .notFound: "NOT_FOUND"
        case .alreadyExists: "ALREADY_EXISTS"
        case .permissionDenied: "PERMISSION_DENIED"
        case .resourceExhausted: "RESOURCE_EXHAUSTED"
        case .failedPrecondition: "FAILED_PRECONDITION"
        case .aborted: "ABORTED"
        case .outOfRange: "OUT_OF_RANGE"
        case .unimplemented: "UNIMPLEMENTED"
        case .internal: "INTERNAL"
        case .unavailable: "UNAVAILABLE"
        case .dataLoss: "DATA_LOSS"
        case .unauthenticated: "UNAUTHENTICATED"
        }
    }

    /// The code for an answer without `grpc-status`, by its HTTP status.
    public init(httpStatus: UInt16) {
        switch httpStatus {
        case 400: self = .internal
        case 401: self = .unauthenticated
        case 403: self = .permissionDenied
        case 404: self = .unimplemented
        case 429, 502, 503, 504: self = .unavailable
        default: self = .unknown
        }
    }

    /// The code for a `grpc-status` value: decimal digits without leading zeros, 0 to 16; nil for others.
    public init?(_ value: UnsafeBufferPointer<UInt8>) {
        guard (1...2).contains(value.count) else { return nil }
        var number: UInt8 = 0
        for byte in value {
            guard byte &- 48 < 10 else { return nil }
            number = number * 10 + (byte - 48)
        }
        if value.count == 2, value[0] == UInt8(ascii: "0") { return nil }
        self.init(rawValue: number)
    }
}

extension Reason {
    /// The code a gRPC client gets for a failure.
    ///
    /// `unavailable` is what clients retry: it is for what another attempt may well survive, and for a lost
    /// connection, which gRPC libraries themselves call so. What ran out of time is `deadlineExceeded`,
    /// whoever set the limit; what is wrong in the same way every time is neither.
    public var grpcStatus: GRPCStatus {
        switch self {
        case .none: .ok

        // The client's doing
        case .requestMalformed, .requestBodyMalformed, .grpcWebMalformed, .proxyHeaderMalformed: .internal
        case .requestCodingMalformed: .internal
        case .requestCodingUnsupported: .unimplemented
        case .requestHeadTooLarge, .requestTargetTooLong, .requestDecodedTooLarge, .requestBodyTooLarge:
            .resourceExhausted
        case .requestHeadTimeout, .requestBodyTimeout: .deadlineExceeded
        case .requestVersionUnsupported, .requestExpectationUnknown: .unimplemented
        case .clientClosedDuringRequest, .clientClosedDuringResponse, .clientTooSlow, .pongTimeout:
            .cancelled

        case .sessionViolation: .internal

        // Before there is a request nobody is told a code; what a log says.
        case .tlsNoSharedCipher, .tlsVersionUnsupported, .tlsNoApplicationProtocol: .unauthenticated
        case .tlsClientCertificateMissing, .tlsClientCertificateUntrusted: .unauthenticated
        case .tlsClientCertificateExpired, .tlsCertificateRefused, .tlsPlainHTTP: .unauthenticated
        case .tlsClosedDuringHandshake, .tlsHandshakeMalformed, .tlsHandshakeTimeout: .unauthenticated
        case .sniUnknown: .unauthenticated

        // Weir's decisions
        case .routeNotFound, .methodNotAllowed, .fileNotFound, .fileMethodNotAllowed: .unimplemented
        case .fileForbidden: .permissionDenied
        case .fileReadFailed, .fileTruncated: .internal
        case .configurationChanged: .unavailable
        case .upgradeNotAllowed, .connectNotAllowed, .closedByRoute: .unimplemented
        case .nameUnresolved, .noEndpoint, .retryBudgetSpent, .connectionLimit, .drainDeadline: .unavailable
        case .internalLimit: .resourceExhausted
        case .totalTimeout: .deadlineExceeded

        // The endpoint's doing
        case .connectRefused, .connectTimeout, .connectFailed: .unavailable
        case .upstreamClosed, .upstreamReset: .unavailable
        case .upstreamHeadTimeout, .upstreamBodyTimeout, .upstreamWriteTimeout: .deadlineExceeded
        case .upstreamMalformedHead, .upstreamHeadTooLarge, .upstreamMalformedBody: .internal
        case .upstreamSilent: .deadlineExceeded
        case .upstreamClosedMidBody: .unavailable
        case .upstreamUnsolicitedUpgrade: .internal
        case .upstreamCertificateUntrusted, .upstreamCertificateName: .unavailable
        case .upstreamCertificateExpired, .upstreamHandshakeFailed: .unavailable
        case .upstreamProtocolMismatch, .upstreamStreamRefused, .upstreamUpgradeDeclined: .unavailable
        case .upstreamSessionViolation: .unavailable

        // L4 connections
        case .idleTimeout: .deadlineExceeded
        }
    }
}
