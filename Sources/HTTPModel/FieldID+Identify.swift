// From the bytes of a field name to its number.
//
// The names are told apart by length first, then by comparing words of four or eight bytes, which
// overlap where the length is not a multiple. The compiler turns each literal into constants, so a
// name costs a jump and a handful of comparisons, whatever its length.

extension FieldID {
    /// The number of a field name, ASCII case ignored; `.other` when it has none. Any bytes may be given.
    public static func identify(_ name: UnsafePointer<UInt8>, count: Int) -> FieldID {
        switch count {
        case 2:
            if matches(name, "te") { return .te }
        case 3:
            if matches(name, "via") { return .via }
            if matches(name, "age") { return .age }
        case 4:
            if matches(name, "host") { return .host }
            if matches(name, "date") { return .date }
            if matches(name, "etag") { return .etag }
            if matches(name, "vary") { return .vary }
        case 5:
            if matches(name, "range") { return .range }
        case 6:
            if matches(name, "accept") { return .accept }
            if matches(name, "cookie") { return .cookie }
            if matches(name, "server") { return .server }
            if matches(name, "origin") { return .origin }
            if matches(name, "expect") { return .expect }
        case 7:
            if matches(name, "referer") { return .referer }
            if matches(name, "upgrade") { return .upgrade }
            if matches(name, "expires") { return .expires }
            if matches(name, "trailer") { return .trailer }
        case 8:
            if matches(name, "location") { return .location }
            if matches(name, "if-match") { return .ifMatch }
            if matches(name, "if-range") { return .ifRange }
        case 9:
            if matches(name, "forwarded") { return .forwarded }
            if matches(name, "x-real-ip") { return .xRealIP }
        case 10:
            if matches(name, "connection") { return .connection }
            if matches(name, "user-agent") { return .userAgent }
            if matches(name, "set-cookie") { return .setCookie }
            if matches(name, "keep-alive") { return .keepAlive }
        case 11:
            if matches(name, "retry-after") { return .retryAfter }
        case 12:
            if matches(name, "content-type") { return .contentType }
            if matches(name, "x-request-id") { return .xRequestID }
            if matches(name, "proxy-status") { return .proxyStatus }
            if matches(name, "max-forwards") { return .maxForwards }
        case 13:
            if matches(name, "cache-control") { return .cacheControl }
            if matches(name, "last-modified") { return .lastModified }
            if matches(name, "if-none-match") { return .ifNoneMatch }
            if matches(name, "authorization") { return .authorization }
            if matches(name, "content-range") { return .contentRange }
        case 14:
            if matches(name, "content-length") { return .contentLength }
            if matches(name, "http2-settings") { return .http2Settings }
        case 15:
            if matches(name, "accept-encoding") { return .acceptEncoding }
            if matches(name, "x-forwarded-for") { return .xForwardedFor }
        case 16:
            if matches(name, "content-encoding") { return .contentEncoding }
            if matches(name, "x-forwarded-host") { return .xForwardedHost }
            if matches(name, "x-forwarded-port") { return .xForwardedPort }
            if matches(name, "proxy-connection") { return .proxyConnection }
            if matches(name, "www-authenticate") { return .wwwAuthenticate }
        case 17:
            if matches(name, "transfer-encoding") { return .transferEncoding }
            if matches(name, "x-forwarded-proto") { return .xForwardedProto }
            if matches(name, "if-modified-since") { return .ifModifiedSince }
        case 18:
            if matches(name, "proxy-authenticate") { return .proxyAuthenticate }
        case 19:
            if matches(name, "if-unmodified-since") { return .ifUnmodifiedSince }
            if matches(name, "proxy-authorization") { return .proxyAuthorization }
        default:
            break
        }
        return .other
    }
}

/// Whether `name`, which has the literal's length, equals the literal (lower case) when ASCII case is
/// ignored.
@inline(__always)
private func matches(_ name: UnsafePointer<UInt8>, _ literal: StaticString) -> Bool {
    let count = literal.utf8CodeUnitCount
    let wanted = literal.utf8Start
    if count >= 8 {
        if count > 16, !wordMatches(name + 8, wanted + 8, UInt64.self) { return false }
        return wordMatches(name, wanted, UInt64.self)
            && wordMatches(name + (count &- 8), wanted + (count &- 8), UInt64.self)
    }
    if count >= 4 {
        return wordMatches(name, wanted, UInt32.self)
            && wordMatches(name + (count &- 4), wanted + (count &- 4), UInt32.self)
    }
    return equals(name, count, lowercase: literal)
}

/// Compares one word. The bit that tells cases apart (0x20) is set only where the literal has a
/// letter (letters have 0x40, the hyphen and digits do not), so no other byte passes for one.
@inline(__always)
private func wordMatches<Word: FixedWidthInteger & BitwiseCopyable>(
    _ name: UnsafePointer<UInt8>, _ literal: UnsafePointer<UInt8>, _: Word.Type
) -> Bool {
    let wanted = UnsafeRawPointer(literal).loadUnaligned(as: Word.self)
    let caseBits = (wanted &>> 1) & (Word.max / 0xFF &* 0x20)
    return UnsafeRawPointer(name).loadUnaligned(as: Word.self) | caseBits == wanted
}
