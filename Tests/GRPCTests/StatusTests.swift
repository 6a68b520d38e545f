// The two tables of status codes, and the fields that carry one.

import WeirGRPC
import WeirHTTPModel
import WeirResilience
import Testing

@Suite("Status")
struct StatusTests {
    @Test("the specification's numbers and names")
    func names() {
        let names = [
            "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
            "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
            "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
        ]
        #expect(GRPCStatus.allCases.map { "\($0.name)" } == names)
        #expect(GRPCStatus.allCases.map { Int($0.rawValue) } == Array(0...16))
    }

    @Test("an HTTP status without grpc-status (specification's table)")
    func http() {
        let table: [UInt16: GRPCStatus] = [
            400: .internal, 401: .unauthenticated, 403: .permissionDenied, 404: .unimplemented,
            429: .unavailable, 502: .unavailable, 503: .unavailable, 504: .unavailable,
        ]
        for status in UInt16(100)...599 {
            #expect(GRPCStatus(httpStatus: status) == table[status] ?? .unknown)
        }
    }

    @Test(
        "grpc-status values",
        arguments: [
            ("0", .ok), ("5", .notFound), ("16", .unauthenticated), ("17", nil), ("99", nil), ("", nil),
            ("00", nil), ("05", nil), ("-1", nil), ("1 ", nil), ("OK", nil), ("160", nil),
        ] as [(String, GRPCStatus?)])
    func values(text: String, status: GRPCStatus?) {
        #expect(bytes(text) { GRPCStatus($0) } == status)
    }

    @Test("a failure is never OK, and what ran out of time says so")
    func reasons() {
        for reason in Reason.allCases where reason != .none {
            #expect(reason.grpcStatus != .ok, "\(reason.name)")
            if reason.status == 504 && reason != .connectTimeout {
                #expect(reason.grpcStatus == .deadlineExceeded, "\(reason.name)")
            }
            // A client that retries UNAVAILABLE must not repeat what cannot succeed.
            if reason.side == .client { #expect(reason.grpcStatus != .unavailable, "\(reason.name)") }
            // Where another attempt may be made by Weir, one may be made by the client.
            if reason.retry != .never && reason.retry != .late {
                #expect(reason.grpcStatus == .unavailable, "\(reason.name)")
            }
        }
        #expect(Reason.none.grpcStatus == .ok)
    }

    @Test(
        "messages are escaped",
        arguments: [
            ("plain text, ~!", "plain text, ~!"), ("100 %", "100 %25"), ("a\r\nb", "a%0D%0Ab"),
            ("ü", "%C3%BC"), ("\u{7F}\u{0}", "%7F%00"), ("", ""),
        ])
    func escaping(message: String, expected: String) {
        let made = written { writer in bytes(message) { GRPCFields.writeEscaped($0, &writer) } }
        #expect(made == expected)
    }

    @Test("a long message is cut at its bound")
    func longMessage() {
        for count in [GRPCFields.messageBytesMax, GRPCFields.messageBytesMax + 1] {
            let message = String(repeating: "x", count: count)
            let made = written { writer in bytes(message) { GRPCFields.writeEscaped($0, &writer) } }
            #expect(made.utf8.count == GRPCFields.messageBytesMax)
        }
    }

    @Test("a trailers-only response")
    func trailersOnly() {
        let made = written { writer in
            bytes("no route") {
                GRPCFields.writeTrailersOnly(.unimplemented, message: $0, kind: .grpc, &writer)
            }
        }
        #expect(made == "content-type: application/grpc\r\ngrpc-status: 12\r\ngrpc-message: no route\r\n")
        let silent = written { writer in
            bytes("") { GRPCFields.writeTrailersOnly(.unavailable, message: $0, kind: .webText, &writer) }
        }
        #expect(silent == "content-type: application/grpc-web-text\r\ngrpc-status: 14\r\n")
    }
}

@Suite("Content types")
struct ContentTypeTests {
    @Test(
        "families",
        arguments: [
            ("application/grpc", .grpc, ""), ("application/grpc+proto", .grpc, "+proto"),
            ("Application/GRPC", .grpc, ""), ("application/grpc;charset=x", .grpc, ""),
            ("application/grpc-web", .web, ""), ("application/grpc-web+json", .web, "+json"),
            ("application/grpc-web-text", .webText, ""),
            ("application/grpc-web-text+proto ; a=b", .webText, "+proto"),
        ] as [(String, GRPCKind, String)])
    func family(text: String, kind: GRPCKind, format: String) throws {
        let type = try #require(bytes(text) { GRPCContentType($0) })
        #expect(type.kind == kind)
        for other in GRPCKind.allCases {
            let made = written { writer in bytes(text) { type.write(as: other, of: $0, &writer) } }
            #expect(made == "\(other.mediaType)\(format)")
        }
    }

    @Test(
        "others",
        arguments: [
            "", "application/json", "application/grpcx", "application/grpc-web-tex", "application/grpc+",
            "application/grpc+a+b", "text/application/grpc", "application/grpc-webx+proto", "grpc",
        ])
    func others(text: String) {
        #expect(bytes(text) { GRPCContentType($0) } == nil)
    }

    @Test(
        "the kind of a response",
        arguments: [
            ("", .webText, .webText), ("*/*", .web, .web), ("application/grpc-web-text", .web, .webText),
            ("application/grpc-web", .webText, .web),
            ("text/html, application/grpc-web-text+proto", .web, .webText),
            (" application/grpc-web+proto ,application/grpc-web-text", .webText, .web),
            ("application/grpc-web-text", .grpc, .grpc), ("application/grpc", .web, .web),
            (",,,", .web, .web),
        ] as [(String, GRPCKind, GRPCKind)])
    func response(accept: String, request: GRPCKind, expected: GRPCKind) {
        #expect(bytes(accept) { GRPCContentType.responseKind(request: request, accept: $0) } == expected)
    }
}
