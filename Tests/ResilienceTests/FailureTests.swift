import WeirResilience
import Testing

@Suite struct FailureTests {
    @Test func reasonsHaveDistinctNames() {
        let names = Reason.allCases.map { $0.name.description }
        #expect(Set(names).count == names.count)
        for name in names where name != "-" {
            #expect(name.utf8.allSatisfy { ($0 >= 97 && $0 <= 122) || $0 == 45 }, "\(name)")
        }
    }

    @Test func detailsOfCodecsDoNotMeet() {
        var numbers: Set<UInt16> = []
        for codec in Detail.Codec.allCases {
            #expect(Detail(codec, 0) == .none)
            for own in UInt8(1)...99 {
                let detail = Detail(codec, own)
                #expect(numbers.insert(detail.number).inserted)
                for other in Detail.Codec.allCases {
                    #expect(detail.own(other) == (other == codec ? own : nil))
                }
            }
            #expect(Detail.none.own(codec) == nil)
        }
        // As docs/conformance.md and docs/reasons.md list them.
        #expect(Detail(.http2, 3).number == 103 && Detail(.grpcWeb, 1).number == 201)
    }

    /// It is copied with every exchange.
    @Test func failuresAreSmall() {
        #expect(MemoryLayout<Failure>.size == 16)
    }

    /// By status: what clients and their retries have been built upon. To change one is to break them, so it is
    /// changed here as well, and not only where it is declared and documented.
    private static let statuses: [UInt16: Set<Reason>] = [
        0: [
            .clientClosedDuringRequest, .clientClosedDuringResponse, .clientTooSlow, .pongTimeout,
            .proxyHeaderMalformed, .sessionViolation, .tlsNoSharedCipher, .tlsVersionUnsupported,
            .tlsNoApplicationProtocol, .tlsClientCertificateMissing, .tlsClientCertificateUntrusted,
            .tlsClientCertificateExpired, .tlsCertificateRefused, .tlsPlainHTTP,
            .tlsClosedDuringHandshake, .tlsHandshakeMalformed, .tlsHandshakeTimeout, .sniUnknown,
            .closedByRoute, .drainDeadline, .idleTimeout, .configurationChanged,
        ],
        400: [
            .requestMalformed, .requestBodyMalformed, .grpcWebMalformed, .requestCodingMalformed,
        ],
        403: [
            .upgradeNotAllowed, .fileForbidden,
        ],
        404: [
            .routeNotFound, .fileNotFound,
        ],
        405: [
            .methodNotAllowed, .fileMethodNotAllowed,
        ],
        408: [
            .requestHeadTimeout, .requestBodyTimeout,
        ],
        413: [
            .requestBodyTooLarge, .requestDecodedTooLarge,
        ],
        414: [
            .requestTargetTooLong
        ],
        415: [
            .requestCodingUnsupported
        ],
        417: [
            .requestExpectationUnknown
        ],
        431: [
            .requestHeadTooLarge
        ],
        500: [
            .fileReadFailed, .fileTruncated,
        ],
        501: [
            .connectNotAllowed
        ],
        502: [
            .connectRefused, .connectFailed, .upstreamClosed, .upstreamReset,
            .upstreamMalformedHead, .upstreamHeadTooLarge, .upstreamMalformedBody,
            .upstreamClosedMidBody, .upstreamUnsolicitedUpgrade, .upstreamCertificateUntrusted,
            .upstreamCertificateName, .upstreamCertificateExpired, .upstreamHandshakeFailed,
            .upstreamProtocolMismatch, .upstreamUpgradeDeclined, .upstreamStreamRefused,
            .upstreamSessionViolation,
        ],
        503: [
            .nameUnresolved, .noEndpoint, .retryBudgetSpent, .connectionLimit, .internalLimit,
        ],
        504: [
            .totalTimeout, .connectTimeout, .upstreamHeadTimeout, .upstreamBodyTimeout,
            .upstreamWriteTimeout, .upstreamSilent,
        ],
        505: [
            .requestVersionUnsupported
        ],
    ]

    @Test func everyReasonHasTheStatusItAlwaysHad() {
        for (status, reasons) in Self.statuses {
            for reason in reasons { #expect(reason.status == status, "\(reason)") }
        }
        let listed = Self.statuses.values.reduce(into: Set<Reason>()) { $0.formUnion($1) }
        #expect(Set(Reason.allCases).subtracting([.none]) == listed)
    }

    @Test func reasonsThatAllowAnotherAttempt() {
        let allowed: [Retry: Set<Reason>] = [
            .lost: [.upstreamClosed, .upstreamReset],
            .broken: [.upstreamSessionViolation],
            .late: [.upstreamHeadTimeout, .upstreamWriteTimeout],
            .unreached: [
                .connectRefused, .connectTimeout, .connectFailed, .upstreamCertificateUntrusted,
                .upstreamCertificateName, .upstreamCertificateExpired, .upstreamHandshakeFailed,
                .upstreamProtocolMismatch, .upstreamStreamRefused,
            ],
        ]
        for retry in Retry.allCases where retry != .never {
            #expect(Set(Reason.allCases.filter { $0.retry == retry }) == allowed[retry])
        }
    }

    @Test func statusesFitTheSide() {
        for reason in Reason.allCases where reason != .none {
            let status = reason.status
            switch reason.side {
            case .client: #expect(status == 0 || (400...499).contains(status) || status == 505, "\(reason)")
            case .weir: #expect(status == 0 || (400...599).contains(status), "\(reason)")
            case .upstream: #expect([502, 504].contains(status), "\(reason)")
            }
            // Whoever can be told gets an error type of RFC 9209 as well.
            #expect(
                (status == 0) == reason.proxyStatus.description.isEmpty || reason.side == .weir, "\(reason)")
        }
    }

    @Test func onlyFailuresOfEndpointsAreRetried() {
        for reason in Reason.allCases where reason.retry != .never {
            #expect(reason.side == .upstream, "\(reason)")
        }
    }

    @Test func boundsHaveANumberOfTheirOwn() {
        let details = InternalLimit.allCases.map { Failure.limit($0, phase: .forward).detail.number }
        #expect(details == [401, 402, 403, 404])
    }

    @Test func phasesAndSidesHaveDistinctNames() {
        #expect(
            Phase.allCases.map { $0.name.description } == [
                "accept", "handshake", "read", "route", "admit", "lookup", "select", "forward", "respond",
                "record",
            ])
        #expect(Set(Side.allCases.map { $0.name.description }).count == 3)
    }
}
