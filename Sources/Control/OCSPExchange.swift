// What is asked of an OCSP responder (RFC 6960 §A.1), and which answers are read at all.
//
// The responder's address comes from a certificate the operator installed, the answer from whoever is on
// the way: it is bounded, and means nothing before its signature is verified (TLS/OCSPQuestion.swift). No redirects,
// no https: a responder behind TLS would need the very thing it vouches for.

import HTTPClient
import TLS

/// Why there is no answer.
enum OCSPProblem: Error, Sendable, Equatable, CustomStringConvertible {
    case badURL(String)
    case refused(status: Int)
    case failed(HTTPClient.Failure)

    var description: String {
        switch self {
        case .badURL(let text): "\(text) is no address of a responder"
        case .refused(let status): "the responder answers with status \(status)"
        case .failed(let failure): failure.description
        }
    }
}

enum OCSPExchange {
    /// Longest body of an answer. Real ones are below 4 KiB.
    static let bodyBytesMax = 65_536
    /// For the whole exchange.
    static let totalMs: UInt64 = 10_000
    static let connectMs: UInt64 = 5_000

    /// The request; nil: the certificate does not name an http URL.
    static func request(_ question: OCSPQuestion) -> HTTPClient.Request? {
        request(question.responder, question.request)
    }

    /// - Parameter der: an OCSPRequest.
    static func request(_ responder: String, _ der: [UInt8]) -> HTTPClient.Request? {
        guard responder.prefix(7).lowercased() == "http://" else { return nil }
        var request = HTTPClient.Request(.ocsp, .post, responder, origin: .configuration)
        request.fields = [
            .init("Content-Type", "application/ocsp-request"), .init("Accept", "application/ocsp-response"),
        ]
        request.body = der
        request.deadlines = .init(connectMs: connectMs, totalMs: totalMs)
        request.bounds.bodyBytes = bodyBytesMax
        return request
    }

    /// The body of an answer with status 200.
    static func body(
        _ answered: Result<HTTPClient.Response, HTTPClient.Failure>
    ) -> Result<[UInt8], OCSPProblem> {
        switch answered {
        case .failure(let failure): .failure(.failed(failure))
        case .success(let response) where response.status == 200: .success(response.body)
        case .success(let response): .failure(.refused(status: response.status))
        }
    }
}
