// One request under way: its redirects, its bounds, and what libcurl's result means.

import CCurl
import Glibc
import Reactor

/// A request and what has come of it. The client's thread only.
final class Transfer {
    enum Step {
        case over(Result<HTTPClient.Response, HTTPClient.Failure>)
        /// Redirected: open it again.
        case again
    }

    let id: UInt64
    let request: HTTPClient.Request
    let startedMs: UInt64
    let completion: HTTPClient.Completion
    /// Where it has got to; nil: never a URL.
    private(set) var url: WebURL?
    private let firstURL: WebURL?
    private var redirects = 0
    /// An answer of the resolver is awaited.
    var isNaming = false
    private(set) var easy: UnsafeMutableRawPointer?
    private var lists: [UnsafeMutablePointer<curl_slist>] = []
    private let errorText = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
    private(set) var connectDeadlineMs: UInt64
    private var answer = IncomingAnswer()
    /// The last address that was refused.
    private var denied: String?

    init(
        _ id: UInt64, _ request: HTTPClient.Request, startedMs: UInt64,
        _ completion: @escaping HTTPClient.Completion
    ) {
        self.id = id
        self.request = request
        self.startedMs = startedMs
        self.completion = completion
        firstURL = WebURL(request.url)
        url = firstURL
        connectDeadlineMs = startedMs + min(request.deadlines.connectMs, request.deadlines.totalMs)
    }

    deinit {
        release()
        errorText.deallocate()
    }

    // MARK: before connecting

    /// Why it must not be sent.
    var problem: HTTPClient.Failure? {
        if url == nil { return .badRequest("\(request.url) is no http or https URL") }
        if case .data = request.origin, case .unix(let path) = request.target {
            return .denied(address: "unix:\(path)")
        }
        for field in request.fields where !FieldText.isName(field.name) || !FieldText.isValue(field.value) {
            return .badRequest("\(field.name) cannot be sent as a field")
        }
        return nil
    }

    /// Whether this goes to where the request was meant for: only there are its fields and certificate shown.
    private var isAtHome: Bool {
        guard let url, let firstURL else { return false }
        return url.isSameOrigin(as: firstURL)
    }

    /// The host whose addresses have to be known.
    var nameNeeded: String? {
        guard let url, IPAddress(url.host) == nil else { return nil }
        return isAtHome && request.target != .url ? nil : url.host
    }

    func overdue(nowMs: UInt64) -> HTTPClient.Failure? {
        guard nowMs >= connectDeadlineMs else { return nil }
        return nowMs >= startedMs + request.deadlines.totalMs
            ? .timeout(.total, ms: request.deadlines.totalMs)
            : .timeout(.connect, ms: request.deadlines.connectMs)
    }

    // MARK: libcurl's handle

    /// Makes the handle of the next request. nil: libcurl refuses a setting, or has no memory.
    func prepare(_ addresses: [IPAddress], nowMs: UInt64) -> UnsafeMutableRawPointer? {
        guard let url, let handle = weir_curl_easy_init() else { return nil }
        easy = handle
        answer = IncomingAnswer(bounds: request.bounds)
        denied = nil
        errorText[0] = 0
        var options = EasyOptions(handle)
        setDefaults(&options)
        setMethod(&options)
        setDeadlines(&options, nowMs: nowMs)
        setTarget(&options, url, addresses)
        setTLS(&options)
        setCallbacks(&options)
        lists += options.lists
        return options.isTaken ? handle : nil
    }

    /// Frees what `prepare` made. The handle must not be in a multi handle any more.
    func release() {
        if let easy { weir_curl_easy_cleanup(easy) }
        easy = nil
        for list in lists { weir_curl_slist_free_all(list) }
        lists = []
    }

    /// Nothing that the environment or a file may say, and nothing that was not asked for.
    private func setDefaults(_ options: inout EasyOptions) {
        options.set(CURLOPT_PROTOCOLS_STR, "http,https")
        options.set(CURLOPT_PROXY, "")
        options.set(CURLOPT_NOPROXY, "*")
        options.set(CURLOPT_NETRC, 0)
        options.set(CURLOPT_NOSIGNAL, 1)
        options.set(CURLOPT_FOLLOWLOCATION, 0)
        options.set(CURLOPT_HTTP09_ALLOWED, 0)
        options.set(CURLOPT_TCP_KEEPALIVE, 1)
        options.set(
            CURLOPT_HTTP_VERSION,
            request.allowsHTTP2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1)
        if request.allowsCompression { options.set(CURLOPT_ACCEPT_ENCODING, "gzip") }
        // A kept connection may turn out closed, and libcurl would then send the request again.
        if request.method == .post || request.method == .patch { options.set(CURLOPT_FRESH_CONNECT, 1) }
        // A length that is announced is refused at once; the length of a HEAD's answer is nobody's.
        if request.method != .head {
            options.setSize(CURLOPT_MAXFILESIZE_LARGE, Int64(request.bounds.bodyBytes))
        }
    }

    private func setMethod(_ options: inout EasyOptions) {
        var fields = isAtHome ? request.fields : []
        func has(_ name: String) -> Bool { fields.contains { $0.name.lowercased() == name } }
        if !has("user-agent") { fields.append(.init("User-Agent", "weir")) }
        if let url, url.isSecure, isAtHome, request.tls.serverName != nil, !has("host") {
            fields.append(.init("Host", url.authority))
        }
        switch request.method {
        case .get where request.body.isEmpty: options.set(CURLOPT_HTTPGET, 1)
        case .head: options.set(CURLOPT_NOBODY, 1)
        default:
            options.setSize(CURLOPT_POSTFIELDSIZE_LARGE, Int64(request.body.count))
            options.setBytes(CURLOPT_COPYPOSTFIELDS, request.body)
            options.set(CURLOPT_CUSTOMREQUEST, request.method.rawValue)
        }
        // "Name;" is a field without a value, "Name:" takes one of libcurl's own away.
        var lines = fields.map { $0.value.isEmpty ? "\($0.name);" : "\($0.name): \($0.value)" }
        lines.append("Expect:")
        if !has("content-type") { lines.append("Content-Type:") }
        if !has("accept") { lines.append("Accept: */*") }
        options.setList(CURLOPT_HTTPHEADER, lines)
    }

    private func setDeadlines(_ options: inout EasyOptions, nowMs: UInt64) {
        let endMs = startedMs + request.deadlines.totalMs
        let leftMs = endMs > nowMs ? endMs - nowMs : 1
        let connectMs = connectDeadlineMs > nowMs ? min(connectDeadlineMs - nowMs, leftMs) : 1
        // 0 would be libcurl's default.
        options.set(CURLOPT_TIMEOUT_MS, max(1, Int(clamping: leftMs)))
        options.set(CURLOPT_CONNECTTIMEOUT_MS, max(1, Int(clamping: connectMs)))
        if let rate = request.deadlines.rate {
            options.set(CURLOPT_LOW_SPEED_LIMIT, rate.bytesPerSecond)
            options.set(CURLOPT_LOW_SPEED_TIME, rate.overSeconds)
        }
    }

    private func setTarget(_ options: inout EasyOptions, _ url: WebURL, _ addresses: [IPAddress]) {
        var shown = url.text
        var connectTo: String?
        if isAtHome, url.isSecure, let name = request.tls.serverName, let renamed = url.with(host: name) {
            shown = renamed
            connectTo = "\(WebURL.bracketed(url.host)):\(url.port)"
        }
        if isAtHome {
            switch request.target {
            case .url: break
            case .address(let address, let port):
                connectTo = "\(WebURL.bracketed("\(address)")):\(port)"
            case .unix(let path) where path.hasPrefix("@"):
                options.set(CURLOPT_ABSTRACT_UNIX_SOCKET, String(path.dropFirst()))
            case .unix(let path): options.set(CURLOPT_UNIX_SOCKET_PATH, path)
            }
        }
        options.set(CURLOPT_URL, shown)
        if let connectTo { options.setList(CURLOPT_CONNECT_TO, ["::\(connectTo)"]) }
        if !addresses.isEmpty {
            // "+": forgotten again after a while, for the number of names is not bounded.
            let list = addresses.prefix(HTTPClient.addressesMax).map { WebURL.bracketed("\($0)") }
            options.setList(
                CURLOPT_RESOLVE, ["+\(url.host):\(url.port):\(list.joined(separator: ","))"])
        }
    }

    private func setTLS(_ options: inout EasyOptions) {
        options.set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        options.set(CURLOPT_SSL_VERIFYPEER, 1)
        options.set(CURLOPT_SSL_VERIFYHOST, 2)
        if case .file(let path) = request.tls.authorities {
            options.set(CURLOPT_CAINFO, path)
            options.set(CURLOPT_CAPATH, nil)
        }
        if isAtHome, let certificate = request.tls.certificate {
            options.set(CURLOPT_SSLCERT, certificate.chain)
            options.set(CURLOPT_SSLKEY, certificate.key)
        }
    }

    private func setCallbacks(_ options: inout EasyOptions) {
        // The client keeps the transfer for as long as it has the handle.
        let me = Unmanaged.passUnretained(self).toOpaque()
        options.setPointer(CURLOPT_ERRORBUFFER, errorText)
        options.setPointer(CURLOPT_WRITEDATA, me)
        options.setPointer(CURLOPT_HEADERDATA, me)
        options.setPointer(CURLOPT_OPENSOCKETDATA, me)
        options.setPointer(CURLOPT_PREREQDATA, me)
        weir_curl_sink(options.easy, CURLOPT_WRITEFUNCTION) { bytes, size, count, raw in
            guard let bytes, let raw else { return 0 }
            let transfer = Unmanaged<Transfer>.fromOpaque(raw).takeUnretainedValue()
            let block = UnsafeRawBufferPointer(start: bytes, count: size * count)
            return transfer.answer.take(body: block) ? block.count : 0
        }
        weir_curl_sink(options.easy, CURLOPT_HEADERFUNCTION) { bytes, size, count, raw in
            guard let bytes, let raw else { return 0 }
            let transfer = Unmanaged<Transfer>.fromOpaque(raw).takeUnretainedValue()
            let line = UnsafeRawBufferPointer(start: bytes, count: size * count)
            return transfer.answer.take(line: line) ? line.count : 0
        }
        weir_curl_open_socket(options.easy) { raw, _, address in
            guard let raw, let address else { return CURL_SOCKET_BAD }
            return Unmanaged<Transfer>.fromOpaque(raw).takeUnretainedValue().socket(for: address)
        }
        // A kept connection was opened for another request, maybe one that may go anywhere.
        weir_curl_before_request(options.easy) { raw, address, _, _, _ in
            guard let raw else { return CURL_PREREQFUNC_ABORT }
            let transfer = Unmanaged<Transfer>.fromOpaque(raw).takeUnretainedValue()
            let text = address.map { String(cString: $0) } ?? ""
            return transfer.allows(IPAddress(text), text) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
        }
    }

    private func socket(for address: UnsafeMutablePointer<curl_sockaddr>) -> Int32 {
        var storage = sockaddr_storage()
        let count = min(Int(address.pointee.addrlen), MemoryLayout<sockaddr_storage>.size)
        withUnsafeMutableBytes(of: &storage) {
            $0.baseAddress.map { _ = memcpy($0, weir_curl_address(address), count) }
        }
        let target = SocketAddress(storage)
        var ip: IPAddress?
        if case .ip(let found, _) = target { ip = found }
        guard allows(ip, ip.map { "\($0)" } ?? "\(target)") else { return CURL_SOCKET_BAD }
        let kind = address.pointee.socktype | Int32(SOCK_CLOEXEC.rawValue)
        return Glibc.socket(address.pointee.family, kind, address.pointee.protocol)
    }

    /// - Parameter address: nil when it is none.
    private func allows(_ address: IPAddress?, _ text: String) -> Bool {
        guard case .data(let blocks) = request.origin else { return true }
        if let address {
            if blocks.contains(where: { $0.contains(address) }) || !PrivateRanges.contains(address) {
                return true
            }
        }
        denied = text
        return false
    }

    // MARK: the end

    /// What libcurl's result means.
    func outcome(_ code: CURLcode) -> Step {
        guard let easy, let url else { return .over(.failure(.stopped)) }
        if let failure = answer.failure { return .over(.failure(failure)) }
        guard code == CURLE_OK else { return .over(.failure(failure(code, easy, url))) }
        var status = 0
        var version = 0
        weir_curl_get_number(easy, CURLINFO_RESPONSE_CODE, &status)
        weir_curl_get_number(easy, CURLINFO_HTTP_VERSION, &version)
        if request.redirectsMax > 0, [301, 302, 303, 307, 308].contains(status),
            let location = answer.fields.first(where: { $0.name.lowercased() == "location" })?.value
        {
            return redirected(from: url, to: location)
        }
        return .over(
            .success(
                HTTPClient.Response(
                    status: status, fields: answer.fields, body: answer.body, url: url.text,
                    version: version == CURL_HTTP_VERSION_1_0
                        ? 10 : version == CURL_HTTP_VERSION_2_0 ? 20 : 11)))
    }

    private func redirected(from url: WebURL, to location: String) -> Step {
        guard request.method == .get || request.method == .head, let next = url.resolve(location),
            next.isSecure || !url.isSecure
        else { return .over(.failure(.redirectNotAllowed(to: location))) }
        guard redirects < request.redirectsMax else {
            return .over(.failure(.tooManyRedirects(max: request.redirectsMax)))
        }
        redirects += 1
        self.url = next
        connectDeadlineMs = min(
            Clock.monotonicNs() / 1_000_000 + request.deadlines.connectMs,
            startedMs + request.deadlines.totalMs)
        return .again
    }

    private func failure(
        _ code: CURLcode, _ easy: UnsafeMutableRawPointer, _ url: WebURL
    ) -> HTTPClient.Failure {
        if let denied, code == CURLE_COULDNT_CONNECT || code == CURLE_ABORTED_BY_CALLBACK {
            return .denied(address: denied)
        }
        let said = String(cString: errorText)
        let text = said.isEmpty ? String(cString: weir_curl_easy_strerror(code)) : said
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST: return .name(host: url.host, text)
        case CURLE_COULDNT_CONNECT:
            var number = 0
            weir_curl_get_number(easy, CURLINFO_OS_ERRNO, &number)
            return .connect(to: "\(WebURL.bracketed(url.host)):\(url.port)", Int32(clamping: number))
        case CURLE_OPERATION_TIMEDOUT: return timeout(text, easy)
        case CURLE_FILESIZE_EXCEEDED: return .tooLarge(.body, bytesMax: request.bounds.bodyBytes)
        // The library's own bound of a line, which it reports as having no memory for it.
        case CURLE_OUT_OF_MEMORY: return .tooLarge(.head, bytesMax: request.bounds.headBytes)
        // The one error of reading that is the server's writing.
        case CURLE_RECV_ERROR where text.hasSuffix("in chunked-encoding"): return .malformed(text)
        case CURLE_GOT_NOTHING, CURLE_PARTIAL_FILE, CURLE_RECV_ERROR, CURLE_SEND_ERROR: return .closed
        case CURLE_URL_MALFORMAT: return .badRequest(text)
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM,
            CURLE_SSL_CIPHER, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ENGINE_NOTFOUND, CURLE_SSL_SHUTDOWN_FAILED,
            CURLE_SSL_ISSUER_ERROR, CURLE_SSL_CLIENTCERT:
            return .tls(text)
        default: return .malformed(text)
        }
    }

    private func timeout(_ text: String, _ easy: UnsafeMutableRawPointer) -> HTTPClient.Failure {
        if text.hasPrefix("Operation too slow") { return .timeout(.rate, ms: 0) }
        var connectedUs: curl_off_t = 0
        weir_curl_get_size(easy, CURLINFO_PRETRANSFER_TIME_T, &connectedUs)
        let isConnecting = connectedUs == 0 && connectDeadlineMs < startedMs + request.deadlines.totalMs
        return isConnecting
            ? .timeout(.connect, ms: request.deadlines.connectMs)
            : .timeout(.total, ms: request.deadlines.totalMs)
    }
}

extension HTTPClient {
    /// Addresses of one name that are tried.
    static let addressesMax = 8
}
