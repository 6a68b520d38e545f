// Which fields go with a page that a service is asked for in place of an error.

import WeirHTTPModel

/// Which fields go with a page.
enum PageFields {
    /// Of the client's request: what the choice among forms of a page depends on, and the client's number for it.
    ///
    /// Nothing that is about another resource (conditions, ranges, the body), and nothing that says who the
    /// client is to the application (cookies, credentials): a page is for everybody.
    static func isAskedWith(_ field: Field, _ base: UnsafePointer<UInt8>) -> Bool {
        switch field.id {
        case .accept, .acceptEncoding, .userAgent, .xRequestID: true
        case .other: named("accept-language", field, base)
        default: false
        }
    }

    /// Of the service's response: all but what is true of a 200 only (validators, ranges, how long and by whom it
    /// may be kept, the start of a session), and what the error says itself.
    static func isSent(_ field: Field, _ base: UnsafePointer<UInt8>) -> Bool {
        switch field.id {
        case .etag, .lastModified, .contentRange, .cacheControl, .expires, .age, .setCookie,
            .retryAfter, .proxyStatus, .xRequestID, .wwwAuthenticate:
            false
        case .other: !named("accept-ranges", field, base) && !named("allow", field, base)
        default: !field.isHopByHop
        }
    }

    private static func named(_ name: StaticString, _ field: Field, _ base: UnsafePointer<UInt8>) -> Bool {
        equals(base + Int(field.nameOffset), Int(field.nameCount), lowercase: name)
    }
}
