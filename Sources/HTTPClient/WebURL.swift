// A URL as libcurl reads it, so that what is checked is what is connected to.

import CCurl
import Reactor

/// An http or https URL without a user's name.
struct WebURL: Equatable {
    static let bytesMax = 8_192

    /// In normal form, without its fragment.
    let text: String
    let isSecure: Bool
    /// A name, or an address without brackets.
    let host: String
    let port: UInt16

    /// nil: it is none.
    init?(_ text: String) { self.init([text]) }

    /// Where a reference in an answer of this URL leads; nil: nowhere HTTP is spoken.
    func resolve(_ reference: String) -> WebURL? { WebURL([text, reference]) }

    /// Each relative to the one before.
    private init?(_ references: [String]) {
        guard weir_curl_load() == nil, let handle = weir_curl_url() else { return nil }
        defer { weir_curl_url_cleanup(handle) }
        for reference in references {
            // What libcurl would convert (names in other letters) or skip is not taken.
            guard !reference.isEmpty, reference.utf8.count <= Self.bytesMax,
                reference.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }),
                weir_curl_url_set(handle, CURLUPART_URL, reference, UInt32(CURLU_DISALLOW_USER)) == CURLUE_OK
            else { return nil }
        }
        weir_curl_url_set(handle, CURLUPART_FRAGMENT, nil, 0)
        guard let text = Self.part(handle, CURLUPART_URL), let scheme = Self.part(handle, CURLUPART_SCHEME),
            scheme == "http" || scheme == "https", let host = Self.part(handle, CURLUPART_HOST),
            !host.isEmpty, Self.part(handle, CURLUPART_ZONEID) == nil,
            let port = Self.part(handle, CURLUPART_PORT, UInt32(CURLU_DEFAULT_PORT)).flatMap({ UInt16($0) }),
            port > 0
        else { return nil }
        self.text = text
        isSecure = scheme == "https"
        self.host = (host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host).lowercased()
        self.port = port
    }

    /// As in a Host field.
    var authority: String {
        let name = Self.bracketed(host)
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }

    func isSameOrigin(as other: WebURL) -> Bool {
        isSecure == other.isSecure && host == other.host && port == other.port
    }

    /// The same with another host.
    func with(host: String) -> String? {
        guard let handle = weir_curl_url() else { return nil }
        defer { weir_curl_url_cleanup(handle) }
        guard weir_curl_url_set(handle, CURLUPART_URL, text, 0) == CURLUE_OK,
            weir_curl_url_set(handle, CURLUPART_HOST, host, 0) == CURLUE_OK
        else { return nil }
        return Self.part(handle, CURLUPART_URL)
    }

    static func bracketed(_ host: String) -> String { host.contains(":") ? "[\(host)]" : host }

    private static func part(_ handle: OpaquePointer, _ part: CURLUPart, _ flags: UInt32 = 0) -> String? {
        var found: UnsafeMutablePointer<CChar>?
        guard weir_curl_url_get(handle, part, &found, flags) == CURLUE_OK, let found else { return nil }
        defer { weir_curl_free(found) }
        return String(cString: found)
    }
}
